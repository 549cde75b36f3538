"""``rigmark frameworks``: the constants of the adapters, without their frameworks."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from rigmark.bench.cli import app
from rigmark.bench.worker import frameworks


def test_every_framework_is_listed_with_what_its_adapter_states():
    listed = {each["name"]: each for each in json.loads(CliRunner().invoke(app, ["frameworks", "--json"]).stdout)}
    table = CliRunner().invoke(app, ["frameworks"]).stdout

    assert set(frameworks.NAMES) == set(listed)
    for name, told in listed.items():
        adapter = frameworks.load(name)
        assert sorted(adapter.LOWERINGS) == told["operations"]
        assert list(adapter.PRECISIONS) == told["precisions"]
        assert name in table
    assert {"mxnet"} == {name for name, told in listed.items() if not told["has_layer_times"]}
    assert ["inference"] == listed["openvino"]["modes"]
    assert (None, "3.11, 3.10, 3.9, 3.8") == (listed["numpy"]["python"], listed["mxnet"]["python"])
