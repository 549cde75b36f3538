"""Runs a plan: one fresh worker a trial, one record a trial, nothing else beside a measurement."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rigmark.bench import datasets
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.worker_package import Files
from rigmark.bench.enums import TIMED, Isa, Mode, Outcome, Precision, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.host import limits as host
from rigmark.bench.ir.graph import Graph
from rigmark.bench.launch import ranks
from rigmark.bench.launch.agents import Agents
from rigmark.bench.machine import hardware, isa, system
from rigmark.bench.machine.node import node
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial, proof_case
from rigmark.bench.processes.persistent import Ended, LiveWorker
from rigmark.bench.processes.spawn import Answer
from rigmark.bench.runner.tally import Progress, Silent, Tally
from rigmark.bench.runner.workers import DEFAULT_DEADLINE_S, Workers, layer_variables
from rigmark.bench.store.record import BASE, NEW, Identity, Record, key_of
from rigmark.bench.store.store import Store
from rigmark.bench.store.stored import LeftOut
from rigmark.bench.trials import instruction_sets, jobs, layers, pair, parity
from rigmark.bench.trials.inputs import SEED, Inputs
from rigmark.bench.trials.oracle import Oracle
from rigmark.bench.worker import frameworks, microbenchmarks, strategies
from rigmark.bench.worker.strategies import SINGLE

ANY_MODEL = ""               # instruction sets are watched once for all networks
ANY_SESSION = "any"          # of a proof: agreement with the oracle does not depend on the hour

HOPELESS = frozenset(
    {
        Outcome.UNSUPPORTED, Outcome.NOT_INSTALLED, Outcome.BUILD_BROKEN, Outcome.OUT_OF_MEMORY, Outcome.TIMEOUT,
        Outcome.PARITY_FAILED,
    }
)
"""Outcomes that the next repetition of the same case would only meet again; it is not started."""


PASSING = frozenset({Outcome.TIMEOUT, Outcome.CRASHED, Outcome.OUT_OF_MEMORY, Outcome.BUILD_BROKEN})
"""Failures that another attempt need not meet: the next run of the same command makes one, in their place."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What the trials of a runner are paired with: the same cases in another build, or measured by other code."""

    runner: Runner
    build: str


class Runner:
    """Measures trials into a store. Use it as a context manager: its working folder goes with it.

    ``shipped`` replaces our worker package by another revision's; the oracle is always ours. Pairs need a ``base``.
    """

    def __init__(
        self, store: Store, builds: Mapping[str, Build], *, suite: str, command: str, session: str = "1",
        deadline_s: float = DEFAULT_DEADLINE_S, agents: Agents | None = None, telemetry: bool = True,
        telemetry_rate_hz: float | None = None, shipped: Files | None = None, base: Base | None = None,
    ):
        self._store = store
        self._node = node(store.salt)
        self._suite = suite
        self._command = command
        self._session = session
        self._base = base
        self._run_id = uuid.uuid4().hex[:12]
        self._workers = Workers(
            builds, cache=store.cache, deadline_s=deadline_s, agents=agents, telemetry=telemetry,
            telemetry_rate_hz=telemetry_rate_hz, shipped=shipped,
        )
        self._dispatched: dict[Case, dict[str, Any]] = {}
        self._needed_bytes: dict[Case, int] = {}         # by pairs

    def __enter__(self) -> Runner:
        self._workers.__enter__()
        self._inputs = Inputs(self._workers.folder)
        self._oracle = Oracle(self._store, self._inputs, self._workers.ask_oracle)
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)

    # What a trial is ------------------------------------------------------------------------------------------------

    def identity(self, trial: Trial) -> Identity:
        """All that makes this trial this one, on this machine, in this build as it is installed now."""
        case = self._workers.held(trial.case)
        settings: dict[str, Any] = {"seed": SEED}
        if trial.timing is not None:
            settings |= trial.timing.plain()
        base = None
        if trial.kind is TrialKind.PAIR:
            assert self._base is not None
            other = self._base.runner.identity(replace(self._of_base(trial), kind=TrialKind.TIMING))
            base = {
                "name": other.case["build"], "isa": other.case["isa"], "code_version": other.code_version,
                **other.build,
            }
            settings |= pair.SETTINGS
        return Identity(
            kind=trial.kind, case=case.plain(), repetition=trial.repetition,
            session=ANY_SESSION if trial.kind is TrialKind.PROOF else self._session,
            graph_fingerprint=self._fingerprint(case), build=self._build_facts(case),
            machine=hardware.machine().id, settings=settings, base=base,
            code_version=self._workers.code_version(),
        )

    def key(self, trial: Trial) -> str:
        """Under which this trial is stored when this machine has measured it."""
        return self._key(self.identity(trial))

    def _key(self, identity: Identity) -> str:
        return key_of(identity.id, self._node.id)

    def _held(self, trial: Trial) -> Trial:
        """At the instruction set of its build; a pair as it was asked for, since each side has a build of its own."""
        return trial if trial.kind is TrialKind.PAIR else replace(trial, case=self._workers.held(trial.case))

    def _of_base(self, trial: Trial) -> Trial:
        assert self._base is not None
        return replace(trial, case=replace(trial.case, build=self._base.build))

    def _fingerprint(self, case: Case) -> str:
        if not case.is_limit:
            return self._inputs.graph(case.model).fingerprint
        work = microbenchmarks.work(case.model, Precision.FP32)       # as that of a graph, the same for each precision
        return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:16]

    def _build_facts(self, case: Case) -> dict[str, Any]:
        probed = self._workers.probe(case.build)
        adapter = frameworks.load(case.framework)
        versions = probed.facts.get("packages", {})
        beside = microbenchmarks.distributions(case.framework, case.model) if case.is_limit else ()
        packages = {name: versions.get(name) for name in sorted({*adapter.DISTRIBUTIONS, *beside, "numpy"})}
        return {
            "python": probed.facts.get("python"),
            "framework_version": next((v for n in adapter.DISTRIBUTIONS if (v := versions.get(n))), None),
            "packages": packages,
            "variables": self._workers.variables(case),
            "adapter": self._workers.adapter_version(case),
        }

    # Running --------------------------------------------------------------------------------------------------------

    def run(self, trials: Sequence[Trial], progress: Progress | None = None) -> Tally:
        """Measure every trial that is not stored yet; each record is safe on disk before the next trial starts.

        Cases are held to the instruction sets of their builds, whoever asks; raises UserError where one asks for
        another, and stored.TooNew where a record of one is of a later Rigmark, both before anything is measured.
        """
        progress = progress or Silent()
        tally = Tally()
        hopeless: set[Case] = set()
        started = time.monotonic()
        trials = [self._held(trial) for trial in trials]
        with self._store.measuring():
            for trial in trials:
                self._store.keep_newer(self.key(trial))
            for index, trial in enumerate(trials):
                if trial.kind is not TrialKind.PROOF and trial.case in hopeless:
                    tally.not_started += 1
                    continue
                identity = self.identity(trial)
                known = self._known(identity, tally)
                if known is not None and known["outcome"] not in PASSING:
                    outcome = Outcome(known["outcome"])
                    tally.already_there.append(known)
                    record = None
                else:
                    progress.before(trial, index, len(trials))
                    record = self._measure(trial, identity, known)
                    self._store.put(record, instead_of=known)
                    outcome = record.outcome
                    tally.stored.append(record)
                    tally.stepping_time_s += _stepping_time_s(record)
                self._forget_unanswered(identity)
                progress.after(trial, record)
                if trial.kind in TIMED and outcome in HOPELESS:      # a proof's case may equal a timed one
                    hopeless.add(trial.case)
        tally.wall_time_s = time.monotonic() - started
        return tally

    def _known(self, identity: Identity, tally: Tally) -> dict[str, Any] | None:
        """The stored record of a trial; None where there is none, or it cannot be read: then it is measured anew."""
        try:
            return self._store.find(self._key(identity))
        except LeftOut as error:
            tally.damaged.append(error.what)
            return None

    def _forget_unanswered(self, identity: Identity) -> None:
        """Remove what was stored of a trial while its build did not say what it is, now that it does.

        A build's contents are part of a trial's identity, so no later attempt would stand in the place of that one.
        """
        asked = [identity.build, *([] if identity.base is None else [identity.base])]
        for silent in itertools.product((False, True), repeat=len(asked)):
            build, *base = (_unanswered(each) if is_silent else each
                            for each, is_silent in zip(asked, silent, strict=True))
            other = replace(identity, build=build, base=base[0] if base else None)
            if other.id != identity.id:
                self._store.forget_failed(self._key(other))

    def is_settled(self, trial: Trial) -> bool:
        """Whether a record is stored that makes measuring this trial unnecessary."""
        known = self._known(self.identity(trial), Tally())
        return known is not None and known["outcome"] not in PASSING

    def _measure(self, trial: Trial, identity: Identity, known: Mapping[str, Any] | None) -> Record:
        """``known`` is the record in whose place the new one comes; None where there is none."""
        case, kind = trial.case, trial.kind
        load_before, described = hardware.load_average(), system.described()
        recorded_at = host.now().isoformat(timespec="seconds")
        self._workers.get_ready()
        started = time.monotonic()
        measure = {
            TrialKind.PROOF: self._prove, TrialKind.TIMING: self._time, TrialKind.LAYERS: self._take_apart,
            TrialKind.LIMIT: self._reach, TrialKind.PAIR: self._take_turns,
        }
        hindrance = None if kind is TrialKind.PAIR else self._hindrance(case)    # a pair says on which side it is
        answer = hindrance or measure[kind](trial)
        of_world = answer.result.pop("world", None)
        found = {**answer.result, "marks": answer.marks} if answer.result else None
        return Record(
            identity=identity, suite=self._suite, run_id=self._run_id, command=self._command,
            recorded_at=recorded_at, outcome=answer.outcome, reason=answer.reason, last_words=answer.last_words,
            graph=None if case.is_limit else _described(self._inputs.graph(case.model)),
            work=microbenchmarks.work(case.model, case.precision) if case.is_limit else None,
            interpreter=self._workers.probe(case.build).build.interpreter,
            machine=hardware.machine().plain(), node=self._node.id, boot=self._node.boot, system=described,
            telemetry=self._told(identity, known), load_before=load_before, wall_time_s=time.monotonic() - started,
            measurement=found if kind in TIMED else None, layers=found if kind is TrialKind.LAYERS else None,
            parity=answer.result if kind is TrialKind.PROOF and answer.result else None,
            pair=answer.result if kind is TrialKind.PAIR and answer.result else None,
            isa=self._isa(trial) if kind in TIMED and answer.outcome is Outcome.OK else None,
            cpus=self._workers.cpus_of(case), world=of_world,
            certificate=None if kind in (TrialKind.PROOF, TrialKind.LIMIT) else self._certificate_key(case),
        )

    def _hindrance(self, case: Case) -> Answer | None:
        """Why no worker can measure this case, as far as that is known without trying; None where one may."""
        if failure := self._workers.probe(case.build).failure:
            return _not_run(*failure)
        refusal = isa.refusal(case.framework, case.isa, case.device, hardware.cpu_features())
        refusal = refusal or strategies.parse(case.strategy).refusal()
        if self._workers.agents is not None:
            refusal = self._workers.agents.refusal(case) or refusal
        return _not_run(Outcome.UNSUPPORTED, refusal) if refusal else None

    def _told(self, identity: Identity, known: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The telemetry of a record, after its series was stored beside it."""
        recording = self._workers.recording
        if recording is None:
            return None
        block = recording.block
        try:
            self._store.keep_other(self._key(identity), known)       # whose series that is, too
            return block | {"series": self._store.put_series(self._key(identity), recording.write_parquet)}
        except (OSError, MemoryError, UserError) as error:     # what was measured is not lost for it
            return block | {"problem": block["problem"] or f"its series could not be stored: {error}"}

    # Proof ----------------------------------------------------------------------------------------------------------

    def _prove(self, trial: Trial) -> Answer:
        case = trial.case
        if case.precision not in parity.TOLERANCES:
            return _not_run(Outcome.UNSUPPORTED, f"no tolerance is derived for precision {case.precision} yet")
        job = jobs.proof(case, self._inputs)
        if case.world_size == 1:
            answer, arrays = self._workers.ask(trial, job)
        else:
            ran = self._workers.ask_world(trial, [job] * case.processes)
            answer = ranks.joined(case, [answer for answer, _ in ran])
            arrays = ranks.proof_arrays([found for _, found in ran]) if answer.outcome is Outcome.OK else {}
        if answer.outcome is not Outcome.OK:
            return answer
        oracle = self._oracle.proof(case, job)
        if isinstance(oracle, Answer):
            return oracle
        found = parity.compare(arrays, oracle, case.precision)
        failures = found.failures()
        return replace(
            answer, result={**found.plain(), **answer.result},
            outcome=Outcome.PARITY_FAILED if failures else Outcome.OK,
            reason="did not compute the same as the oracle: " + "; ".join(failures) if failures else None,
        )

    def _certificate_key(self, case: Case) -> str:
        return self.key(Trial(kind=TrialKind.PROOF, case=proof_case(case, len(self._workers.cpus))))

    # Timing ---------------------------------------------------------------------------------------------------------

    def _take_apart(self, trial: Trial) -> Answer:
        answer, case = self._time(trial), trial.case
        if answer.outcome is not Outcome.OK:
            return answer
        graph = self._inputs.graph(case.model)
        found = layers.described(
            answer.result, graph, mode=case.mode, batch=case.local_batch, precision=case.precision
        )
        return replace(answer, result={**found, "variables": layer_variables(case)})

    def _time(self, trial: Trial) -> Answer:
        """The worker's answer on a timing or a layer trial, which differ only in what is done with the steps."""
        if trial.case.world_size > 1:
            return self._unproven(trial.case) or self._time_world(trial)
        job = self._unproven(trial.case) or jobs.steps(trial, self._inputs, self._oracle)
        return job if isinstance(job, Answer) else self._workers.ask(trial, job)[0]

    def _unproven(self, case: Case) -> Answer | None:
        """What the proof of a case ended as, where that is not ok."""
        certificate = self._store.get(self._certificate_key(case))
        if certificate["outcome"] == Outcome.OK:
            return None
        return _not_run(Outcome(certificate["outcome"]), f"its proof: {certificate['reason']}")

    def _time_world(self, trial: Trial) -> Answer:
        case, agents = trial.case, self._workers.agents
        asked = jobs.steps_of_ranks(trial, self._inputs, self._oracle)
        if isinstance(asked, Answer):
            return asked
        answer = ranks.joined(case, [answer for answer, _ in self._workers.ask_world(trial, asked)])
        if answer.outcome is Outcome.OK:
            answer.result["world"]["nodes"] = 1 if agents is None else agents.nodes(case)
            parameters = self._inputs.graph(case.model).parameter_count
            answer.result["world"]["sent_bytes"] = ranks.sent_bytes(case, parameters)
        return answer

    # Pairs ----------------------------------------------------------------------------------------------------------

    def _take_turns(self, trial: Trial) -> Answer:
        assert self._base is not None
        assert trial.timing is not None
        base, other = self._base.runner, self._of_base(trial)
        for workers in (base._workers, self._workers):
            workers.close_servers()      # of the proofs: nothing but the pair is to hold memory
        answer = pair.measure(
            {
                BASE: lambda is_beside: base.start(other, is_beside=is_beside),
                NEW: lambda is_beside: self.start(trial, is_beside=is_beside),
            },
            seed=f"{self._session}/{trial.repetition}/{trial.case.label}", max_time_s=2 * trial.timing.max_time_s,
            needed_bytes=self._needed_bytes.get(trial.case),
        )
        if answer.outcome is Outcome.OK:
            self._needed_bytes[trial.case] = pair.memory_of(answer.result)
            held = {BASE: base._workers.held(other.case), NEW: self._workers.held(trial.case)}
            asks = any(case.isa != Isa.NATIVE for case in held.values())
            for side, runner in ((BASE, base), (NEW, self)):
                answer.result[side]["certificate"] = runner._certificate_key(held[side])
                answer.result[side]["isa"] = runner._isa(replace(trial, case=held[side], asks_for_isa=asks))
        return answer

    def start(self, trial: Trial, *, is_beside: bool) -> LiveWorker:
        """A worker that steps this trial's network when it is told to; raises Ended where there can be none.

        ``is_beside``: another starts at the same time, so this one starts on other cores than its turns have, if there
        are such with the same memory.
        """
        trial = replace(trial, case=self._workers.held(trial.case))
        job = (
            self._hindrance(trial.case) or _no_pair(trial.case) or self._unproven(trial.case)
            or jobs.steps(trial, self._inputs, self._oracle)
        )
        if isinstance(job, Answer):
            raise Ended(job)
        return self._workers.live(trial, job, is_beside=is_beside)

    # Limits ---------------------------------------------------------------------------------------------------------

    def _reach(self, trial: Trial) -> Answer:
        return self._workers.ask(trial, jobs.limit(trial, self._store.root))[0]

    # Instruction sets -----------------------------------------------------------------------------------------------

    def _isa(self, trial: Trial) -> dict[str, Any] | None:
        """What was asked for and what ran, watched once for all cases with the same settings.

        None where neither the case nor its sweep asks for a level.
        """
        case = trial.case
        if (case.isa == Isa.NATIVE and not trial.asks_for_isa) or not case.device.startswith("cpu"):
            return None
        alike = replace(
            case, model=ANY_MODEL, mode=Mode.INFERENCE, local_batch=1, threads=1, data=datasets.SYNTHETIC,
            steps_per_timing=1, world_size=1, devices_per_process=1, strategy=SINGLE, oversubscribed=False,
        )
        if alike not in self._dispatched:
            self._dispatched[alike] = self._watch(alike)
        return self._dispatched[alike]

    def _watch(self, case: Case) -> dict[str, Any]:
        answer, log = self._workers.overhear(
            case, jobs.job("isa", case, **instruction_sets.job()), instruction_sets.VARIABLES
        )
        if answer.outcome is Outcome.OK:
            proof = instruction_sets.proof(answer.result, log)
        else:
            proof = instruction_sets.unproven(
                f"the worker that was to be watched ended as {answer.outcome}: {answer.reason}"
            )
        return {"asked": case.isa.value, "proof": proof, "summary": instruction_sets.summary(proof)}


def _no_pair(case: Case) -> Answer | None:
    """Why this case cannot take turns with another; None where it can."""
    if case.world_size == 1:
        return None
    return _not_run(Outcome.UNSUPPORTED, "processes of one device take turns; compare worlds of several by sessions")


def _described(graph: Graph) -> dict[str, Any]:
    """What a network amounts to, for its record."""
    return {
        "name": graph.name, "parameters": graph.parameter_count, "multiply_adds": graph.multiply_adds,
        "flops_per_sample": {mode.value: graph.flops_per_sample(training=mode is Mode.TRAINING) for mode in Mode},
        "optimizer": graph.optimizer.kind, "loss": graph.loss,
    }


def _not_run(outcome: Outcome, reason: str) -> Answer:
    return Answer(outcome=outcome, reason=reason, result={}, marks={}, last_words="", wall_time_s=0.0)


def _unanswered(build: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the same build, as they are where it does not start."""
    return {**build, "python": None, "framework_version": None, "packages": dict.fromkeys(build["packages"])}


def _stepping_time_s(record: Record) -> float:
    if record.layers is not None:
        return math.fsum(
            time_s
            for name in ("warm_up_timings_s", "plain_step_times_s", "step_times_s")
            for time_s in record.layers[name]
        )
    if record.measurement is None:
        return 0.0
    return math.fsum([*record.measurement["warm_up_timings_s"], *record.measurement["host_times_s"]])
