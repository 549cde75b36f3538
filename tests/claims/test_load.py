"""Files of claims: those that are shipped, and what is said of a user's mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigmark.bench.claims import QUANTITIES, load
from rigmark.bench.errors import UserError

HEAD = 'schema = 1\n[source.me]\ntitle = "me"\n'
GOOD = """
[[claim]]
id = "mine"
says = "Convolutions take half of it."
source = "me"
quantity = "op_share"
value = 0.5
low = 0.4
high = 0.6
where = { op = "conv2d", model = "alexnet" }
how = "layers"
"""


def test_every_shipped_claim_is_whole_and_every_quantity_is_claimed():
    shipped = load.shipped()

    assert set(QUANTITIES) == {claim.quantity for claim in shipped}
    assert len({claim.id for claim in shipped}) == len(shipped) > 30


def test_own_claims_stand_beside_the_shipped_ones(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + GOOD)

    assert "mine" == load.together(load.shipped(), load.load(path))[-1].id


def test_an_id_is_given_once(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + GOOD.replace('"mine"', '"pcie3-x8"'))

    with pytest.raises(UserError, match="the id 'pcie3-x8' is that of a claim that comes with Rigmark"):
        load.together(load.shipped(), load.load(path))


@pytest.mark.parametrize(("old", "new", "words"), [
    ('"op_share"', '"op_shares"', "claim 'mine': no quantity 'op_shares'; did you mean 'op_share'"),
    ('"me"', '"you"', "claim 'mine': no source 'you'"),
    ("value = 0.5", "valeu = 0.5", "claim 'mine': no key 'valeu'; did you mean 'value'"),
    ("value = 0.5", "value = 0.9", "value must be between low and high, but is 0.9"),
    ("low = 0.4", "low = 0.8", "low is 0.8 and high is 0.6"),
    ("low = 0.4", 'low = "0.4"', "low must be a number, not '0.4'"),
    ("low = 0.4\nhigh = 0.6\n", "", "needs low or high"),
    ('op = "conv2d", ', "", "where needs op"),
    ('op = "conv2d"', "op = 3", "op must be a text, not 3"),
    ('model = "alexnet"', 'modell = "alexnet"', "no key 'modell'; did you mean 'model'"),
    ('how = "layers"', "", "claim 'mine' needs how, a text"),
    ('id = "mine"', "", "claim 1 needs id, a text"),
    ("[[claim]]", "[claim]", r"has no \[\[claim\]\]"),
    ("[[claim]]", "[[claim", "is not valid TOML"),
    ('how = "layers"', 'how = "layers"\ncan_refute = 1', "can_refute must be true or false"),
])
def test_a_mistake_is_reported_with_its_file_claim_and_key(old: str, new: str, words: str, tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + GOOD.replace(old, new))

    with pytest.raises(UserError, match=words) as told:
        load.load(path)
    assert "mine.toml" in str(told.value)


@pytest.mark.parametrize(("text", "words"), [
    (HEAD.replace("1", "2") + GOOD, "schema must be 1, not 2"), (HEAD + GOOD + GOOD, "two claims have the id 'mine'"),
    (HEAD.replace("title", "name") + GOOD, "needs a title"),
])
def test_a_wrong_file_is_reported(text: str, words: str):
    with pytest.raises(UserError, match=words):
        load.parsed(text, "mine.toml")


def test_a_file_that_is_not_there_is_reported(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot read .*nothing\.toml: No such file"):
        load.load(tmp_path / "nothing.toml")


@pytest.mark.parametrize(("kernel", "layers", "weights", "sees"), [
    (3, 2, 18, 5), (5, 1, 25, 5), (3, 3, 27, 7), (7, 1, 49, 7),
])
def test_stacks_of_filters_by_hand(kernel: int, layers: int, weights: int, sees: int):
    loaded = load.filters(kernel, layers)

    assert (weights, sees) == (loaded.weights, loaded.sees)
