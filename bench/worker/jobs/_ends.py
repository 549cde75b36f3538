"""Checks the end of a timed trial against the oracle: the result of its last step, and of one more.

NumPy in float64 computes what the network, with its parameters at that time, must answer for the batch of that step.
So a network that repeats an answer, gives it a step late, or trains without updates is detected. Nothing here is timed,
and facts of the timed steps, such as their peak memory, must be read before.
"""

import numpy as np

from .. import frameworks, generation
from ..graphs import inputs_of, objectives, trainable_keys
from ..samples import answer_keys, count, first, joined, mapped, packed, part_of, unpacked
from . import Failed
from ._common import arrays, has_dropout, loss_of
from ._steps import last_result, part_of_each, refuse_replaced_clocks, samples_of

LEARNT = 1e-3        # of the first loss; below it a step may be lost in the rounding of the parameters


def checked_at_the_end(job, prepared, steps, first_loss):
    """{"last_check": the results of the checks} after so many ``steps``; takes one step more.

    All ranks of a world call it after equally many steps. Raises Failed with "parity_failed" if an answer is wrong, if
    no parameter changed, or if a clock was replaced.
    """
    refuse_replaced_clocks()
    if job["settings"]["mode"] == "decode":
        checked = check_texts(job, prepared, steps)
    elif job["settings"]["mode"] == "inference":
        checked = check_outputs(job, prepared, steps, first_loss)
    else:
        checked = check_update(job, prepared, steps, first_loss)
    return {"last_check": checked}


def one_more_step(prepared):
    """The result of one more step."""
    prepared.step()
    prepared.synchronize()
    return last_result(prepared)


# Inference ------------------------------------------------------------------------------------------------------------


def check_outputs(job, prepared, steps, first_loss):
    """Compares the last outputs, and those of one more step, with the oracle's for their own batches."""
    if job["graph"].get("carried"):
        return check_carried_outputs(job, prepared, steps, first_loss)
    samples, places = job["last_check"]["samples"], (steps - 1, steps)
    batches = [of_all_devices(samples_of(job, place, samples)) for place in places]
    answer = Answer(
        job, [arrays(job["weights"])], [joined([x for x, _ in batches])], is_training=False,
        exact=known_outputs(job, places),
    )
    half = count(answer.exact) // 2
    last, more = slice(None, half), slice(half, None)
    check_output(job, last_result(prepared), answer, last, more)
    output, checked = check_output(job, one_more_step(prepared), answer, more, last)
    y = batches[1][1]
    loss = loss_of(job["graph"]["loss"], output, y)[0]
    return dict(
        judged_loss(job, loss, answer, more, y, first_loss), are_parameters_moved=None, **checked
    )


def check_carried_outputs(job, prepared, steps, first_loss):
    """Compares the outputs of one more step with the oracle's for the state before it.

    They must be nearer to these than to the oracle's for the state with which the batch began.
    """
    samples, state = job["last_check"]["samples"], prepared.state()
    x, y = of_all_devices(samples_of(job, steps, samples))
    inputs = joined([with_state(job, x, state, samples), x])
    answer = Answer(job, [arrays(job["weights"])], [inputs], is_training=False)
    half = count(answer.exact) // 2
    carried, fresh = slice(None, half), slice(half, None)
    output, checked = check_output(job, one_more_step(prepared), answer, carried, fresh)
    loss = loss_of(job["graph"]["loss"], output, y)[0]
    return dict(judged_loss(job, loss, answer, carried, y, first_loss), are_parameters_moved=None, **checked)


def with_state(job, x, state, samples):
    """The inputs, of which the carried ones are what the network of this process was left with."""
    names = [each["name"] for each in inputs_of(job["graph"])]
    return packed([
        part_of_each(state[name], devices_of(job), samples).astype(each.dtype) if name in state else each
        for name, each in zip(names, unpacked(x))
    ])


def known_outputs(job, places):
    """The oracle's outputs for the batches of these steps, if the parent sent them; None if it did not."""
    check = job["last_check"]
    if check["outputs"] is None:
        return None
    stored, samples = arrays(check["outputs"]), check["samples"]
    known = packed([stored[key] for key in answer_keys(job["graph"])])
    begins = [place % (count(known) // samples) * samples for place in places]
    return joined([part_of(known, slice(begin, begin + samples)) for begin in begins])


def check_output(job, result, answer, part, other):
    """(the compared samples of the output that the loss takes, facts about the output with the largest error).

    ``part`` are the samples of a batch in the answer, ``other`` those of the other batch. Raises Failed if the error of
    an output is larger than rounding explains, or if it belongs to the other batch.
    """
    given = mapped(
        lambda each: np.asarray(each, np.float64), part_of_each(result, devices_of(job), job["last_check"]["samples"])
    )
    facts = [check_one(job, answer, index, part, other, each) for index, each in enumerate(unpacked(given))]
    return first(given), max(facts, key=lambda each: each["output_error"] / each["allowed_output_error"])


def check_one(job, answer, index, part, other, output):
    """The facts about the output with this index."""
    check, every = job["last_check"], unpacked(answer.exact)[index]
    exact = every[part]
    error, allowed, rounding = relative_error(output, exact), check["output_tolerance"], 0.0
    if not error <= allowed:
        rounding = relative_error(unpacked(answer.rounded)[index][part], exact)
        allowed += check["roundings"] * rounding
    if not error <= allowed:
        raise Failed("parity_failed", "the last output is off by %.2g (relative L2) from the oracle's for the same "
                     "batch (allowed %.2g)" % (error, allowed))
    distance, to_other = relative_error(every[other], exact), np.linalg.norm(output - every[other])
    # A narrow format may allow more than the difference of two answers; if rounding alone reaches half of that
    # difference, the answers cannot be distinguished.
    if 2 * rounding < distance <= allowed and to_other < np.linalg.norm(output - exact):
        raise Failed("parity_failed", "the last output is nearer to the oracle's for another batch than to that for "
                     "the same batch")
    return {"output_error": error, "allowed_output_error": allowed, "output_distance": distance}


# Decoding -------------------------------------------------------------------------------------------------------------


def check_texts(job, prepared, steps):
    """Compares the texts of the first step, of the last one and of one more with the oracle's choices.

    The oracle reads each text as a whole, without a cache, and so gives the scores by which each of its tokens should
    have been chosen. Those of the last token are compared too, since they depend on all that the cache holds.
    """
    samples, length = job["last_check"]["samples"], job["decoding"]["generated_length"]
    given = [prepared.first, prepared.text()]
    one_more_step(prepared)
    given.append(prepared.text())
    prompts = [samples_of(job, place, samples)[0][0] for place in (0, steps - 1, steps)]
    texts = [np.concatenate([x, tokens[:samples, :-1]], axis=1) for x, (tokens, _) in zip(prompts, given)]
    answer = Answer(job, [arrays(job["weights"])], [np.concatenate(texts)], is_training=False)
    parts = [slice(samples * index, samples * (index + 1)) for index in range(len(given))]
    facts = []
    for part, other, (tokens, scores) in zip(parts, (parts[2], parts[2], parts[1]), given):
        facts.append(check_output(job, scores, LastScores(answer), part, other)[1])
        refuse_other_tokens(answer.exact[part, -length:], tokens[:samples], facts[-1]["allowed_output_error"])
    return dict(dict.fromkeys(("loss", "expected_loss", "allowed_difference", "are_parameters_moved")), **facts[-1])


class LastScores(object):
    """Of an Answer, the scores of the last token only."""

    def __init__(self, answer):
        self._answer = answer

    @property
    def exact(self):
        return self._answer.exact[:, -1]

    @property
    def rounded(self):
        return self._answer.rounded[:, -1]


def refuse_other_tokens(scores, tokens, tolerance):
    """Raises Failed for a token that is not what the oracle chooses by these scores, unless rounding may decide."""
    is_wrong, _ = generation.judged(scores, tokens, tolerance)
    if np.any(is_wrong):
        sample, place = (int(index[0]) for index in np.nonzero(is_wrong))
        raise Failed("parity_failed", "token %d of sequence %d is %d, where the oracle chooses %d by more than "
                     "rounding explains" % (
                         place + 1, sample + 1, tokens[sample, place], scores[sample, place].argmax()))


# Training -------------------------------------------------------------------------------------------------------------


def check_update(job, prepared, steps, first_loss):
    """Compares the loss of one more step with the oracle's for the parameters before it; the step must change them."""
    graph, parts = job["graph"], objectives(job["graph"])
    before, state, overflows = prepared.replicas(), prepared.state(), prepared.overflow_steps()
    losses = np.ravel(one_more_step(prepared))
    after, is_skipped = prepared.replicas(), prepared.overflow_steps() != overflows
    if has_dropout(graph):
        # That step drew masks of its own, so its loss is not known: the network after the step is checked instead.
        samples = job["last_check"]["samples"]
        # As many samples as the start was compiled for.
        x = of_all_devices(samples_of(job, steps, job["check_samples"]))[0]
        output = part_of_each(first(prepared.forward(x)), devices_of(job), samples)
        batch = samples_of(job, steps, samples)
        loss = loss_of(graph["loss"], np.asarray(output, np.float64), of_all_devices(batch)[1])[0]
        every = [checked_loss(job, loss, after, batch, first_loss, is_training=False)]
    else:
        batch, weights, every = samples_of(job, steps, job["check_samples"]), before, []
        if state:                        # on one device
            batch = [(with_state(job, x, state, job["check_samples"]), y) for x, y in batch]
        for part, loss in zip(parts, losses):
            every.append(checked_loss(dict(job, graph=part), float(loss), weights, batch, first_loss, is_training=True))
            # What the next objective meets: no other one changes the parameters of this one.
            changed = set(trainable_keys(part))
            weights = [
                dict(old, **{key: new[key] for key in changed}) for old, new in zip(weights, after)
            ]
    told = max(every, key=lambda each: abs(each["loss"] - each["expected_loss"]) / (each["allowed_difference"] or 1))
    is_learnt = told["expected_loss"] < LEARNT * abs(first_loss)
    since = [arrays(job["weights"])] * len(after) if is_learnt else before
    unmoved = [part for part in parts if not all(is_moved(part, *each) for each in zip(since, after))]
    if unmoved and not is_skipped:
        of = " of objective '%s'" % unmoved[0]["objective"] if "objective" in unmoved[0] else ""
        raise Failed("parity_failed", "the last step left every parameter%s as it was, so that nothing is trained" % of)
    no_output = dict.fromkeys(("output_error", "allowed_output_error", "output_distance"))
    return dict(told, are_parameters_moved=not unmoved, **no_output)


def checked_loss(job, loss, weights, batch, first_loss, is_training):
    """The result of ``judged_loss`` for the graph of a job with these weights of each device."""
    answer = Answer(job, weights, [x for x, _ in batch], is_training=is_training)
    return judged_loss(job, loss, answer, slice(None), of_all_devices(batch)[1], first_loss)


def is_moved(graph, before, after):
    """Whether any trainable parameter changed."""
    return any(not np.array_equal(before[key], after[key]) for key in trainable_keys(graph))


# Both -----------------------------------------------------------------------------------------------------------------


class Answer(object):
    """The oracle's outputs for the weights and inputs of each device, device after device; ``exact`` if known."""

    def __init__(self, job, weights, inputs, is_training, exact=None):
        self._job, self._weights, self._inputs, self._is_training = job, weights, inputs, is_training
        self.exact = self._outputs(precision="fp64") if exact is None else exact
        self._rounded = None

    @property
    def rounded(self):
        """The outputs as rounded to the precision of the job; only needed if an error is larger than one rounding."""
        if self._rounded is None:
            rounding = self._job["last_check"]["rounding"]
            self._rounded = self._outputs(precision="fp32", **({"rounding": rounding} if rounding else {}))
        return self._rounded

    def _outputs(self, **way):
        # With one thread, since threads that find a core busy wait for each other: up to ten times as long.
        settings = dict(self._job["settings"], compile_mode="eager", layout="nchw", device="cpu", threads=1, **way)
        prepare = frameworks.load("numpy").prepare
        return joined([
            mapped(lambda each: np.asarray(each, np.float64),
                   prepare(self._job["graph"], own, settings).output(x, self._is_training))
            for own, x in zip(self._weights, self._inputs)
        ])


def devices_of(job):
    """How many devices this process has."""
    return len(job["shards"]) if job.get("world") else 1


def of_all_devices(samples):
    """(x, y) of all devices, device after device."""
    return tuple(joined(parts) for parts in zip(*samples))


def relative_error(output, reference):
    """L2 norm of the difference over that of the reference; infinite if only the reference is 0."""
    difference, norm = np.linalg.norm(output - reference), np.linalg.norm(reference)
    return float(difference / norm) if norm else (float("inf") if difference else 0.0)


def judged_loss(job, loss, answer, part, y, first_loss):
    """{"loss", "expected_loss", "allowed_difference"}; raises Failed if rounding does not explain the difference.

    The tolerance is relative to the first loss if that is larger, since a network may memorise a small batch.
    """
    check, exact = job["last_check"], first(answer.exact)[part]
    expected = loss_of(job["graph"]["loss"], exact, y)[0]
    allowed = check["loss_tolerance"] * max(abs(expected), abs(first_loss))
    if not abs(loss - expected) <= allowed:
        allowed += check["roundings"] * float(np.sqrt(np.mean(np.square(first(answer.rounded)[part] - exact))))
    if not abs(loss - expected) <= allowed:
        raise Failed("parity_failed", "last loss %.9g, the oracle's is %.9g for the same batch and parameters (allowed "
                     "difference %.2g)" % (loss, expected, allowed))
    return {"loss": loss, "expected_loss": expected, "allowed_difference": allowed}
