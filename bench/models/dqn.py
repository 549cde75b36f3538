"""A deep Q-network, which learns to play games from their pictures: two networks, of which one is trained.

Source: Mnih et al. 2015 (doi 10.1038/nature14236), table 1 of the extended data: 4 pictures of 84 x 84 through three
convolutions and 512 units to the values of 18 actions; the target network becomes the trained one after every 10,000
updates. Adam and the mean squared error in place of RMSProp and a clipped error, which do better on the same games
(Obando-Ceron and Castro 2021, arXiv 2011.14826); rate and epsilon are theirs.

The output is value(state, action) - 0.99 * max(target(next state)), without the maximum where the game is over; the
target of the loss is the reward, so that the loss is that of the paper. Inference answers both, the output first and
then the values of all actions in the state.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Copy, Graph, Input, tokens
from rigmark.bench.ir.ops.elementwise import Multiply, Subtract
from rigmark.bench.ir.ops.lookup import GatherElements
from rigmark.bench.ir.ops.reduction import ReduceMax
from rigmark.bench.ir.training import Adam


def build(size: int = 84, actions: int = 18, width: int = 32, hidden: int = 512, every: int = 10_000) -> Graph:
    net = Builder("dqn", (4, size, size))
    following = net.add_input(Input(name="next_state", shape=(4, size, size)))
    action = net.add_input(tokens((1,), actions, "action"))
    goes_on = net.add_input(Input(name="goes_on", shape=(1,), draw="bits"))
    values = _values(net, "online", INPUT, actions=actions, width=width, hidden=hidden)
    expected = _values(net, "target", following, actions=actions, width=width, hidden=hidden)
    net.add_layer("chosen", GatherElements(axis=1), of=(values, action))
    best = net.add_layer("best", ReduceMax(axes=(1,), keep=True), of=expected)
    net.add_layer("expected", Multiply(), of=(best, goes_on))
    net.add_layer("discounted", Multiply(), of=(
        "expected", net.parameter("discount", (1,), init="0.99", is_trainable=False)))
    net.add_layer("error", Subtract(), of=("chosen", "discounted"))
    return net.build(
        loss="mean_squared_error", optimizer=Adam(learning_rate=6.25e-5, epsilon=1.5e-4), outputs=("error", values),
        copies=(Copy(source="online.", target="target.", every=every),),
    )


def _values(net: Builder, name: str, state: str, *, actions: int, width: int, hidden: int) -> str:
    """The layer of the values of all actions."""
    with net.scope(name):
        net.conv2d("conv1", width, kernel=8, stride=4, of=state)
        net.relu("relu1")
        net.conv2d("conv2", 2 * width, kernel=4, stride=2)
        net.relu("relu2")
        net.conv2d("conv3", 2 * width, kernel=3)
        net.relu("relu3")
        net.flatten("flat")
        net.dense("hidden", hidden)
        net.relu("relu4")
        return net.dense("values", actions)
