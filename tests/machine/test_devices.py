"""The name of the device that a trial ran on: in the table of trials, where claims and comparisons look it up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rigmark.bench.devices import Device
from rigmark.bench.machine.devices import device_name
from rigmark.bench.store.record import Record
from tests.records import CASE, MACHINE, build_facts, make_record, trials_of

A100, V100 = "NVIDIA A100-SXM4-40GB", "Tesla V100-PCIE-16GB"
BY_PLACE = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def on(*names: str, device: str = "cuda:0", seen: tuple[dict[str, Any], ...] | None = None, world_size: int = 1,
       **variables: str) -> Record:
    """A trial on a machine with GPUs of these names; telemetry saw these devices, None: was off."""
    return make_record(
        case=replace(CASE, device=device, world_size=world_size, strategy="ddp" if world_size > 1 else "single"),
        machine=replace(MACHINE, gpus=names), build=build_facts(**variables),
        telemetry=None if seen is None else {"devices": list(seen), "regions": []},
    )


def gpu(name: str, *, used: bool | None = True, **facts: Any) -> dict[str, Any]:
    return {"source": "nvml", "id": name, "kind": "gpu", "name": name, "used": used, "facts": facts}


def name_of(folder: Path, record: Record) -> Any:
    return trials_of(folder, [record]).device_name.iloc[0]


@pytest.mark.parametrize(("record", "name"), [
    (on(A100, device="cpu"), MACHINE.cpu),
    (on(A100), A100),
    (on(A100, A100, device="cuda:1"), A100),
    (on(A100, V100, device="cuda:1", **BY_PLACE), V100),
    (on(A100, V100, CUDA_VISIBLE_DEVICES="1", **BY_PLACE), V100),
    (on(A100, V100, world_size=2, **BY_PLACE), f"{A100}, {V100}"),
    (on(A100, A100, V100, world_size=2, **BY_PLACE), A100),
    (on(A100, V100, seen=(gpu(A100, used=False), gpu(V100))), V100),         # in CUDA's own order
    (on(seen=(gpu("AMD Instinct MI300X"),)), "AMD Instinct MI300X"),         # the driver of others shows no files
    (on(seen=(gpu(A100, used=None), gpu(A100, used=None))), A100),
    (on(A100, CUDA_VISIBLE_DEVICES="MIG-a1"), f"{A100} (MIG)"),
    (on(A100, seen=(gpu(A100, used=None, mig=True),)), f"{A100} (MIG)"),
], ids=str)
def test_a_trial_is_told_by_the_name_of_what_it_ran_on(tmp_path: Path, record: Record, name: str):
    assert name == name_of(tmp_path, record)


@pytest.mark.parametrize("record", [
    on(), on(A100, V100), on(A100, device="cuda:1"), on(A100, V100, seen=(gpu(A100, used=None), gpu(V100, used=None))),
    on(A100, V100, CUDA_VISIBLE_DEVICES="GPU-1", **BY_PLACE), on(A100, V100, world_size=3, **BY_PLACE),
])
def test_a_gpu_whose_name_is_not_told_has_none_and_not_that_of_the_processor(tmp_path: Path, record: Record):
    assert pd.isna(name_of(tmp_path, record))


def test_a_trial_without_telemetry_has_the_name_that_others_tell_of_the_same_device(tmp_path: Path):
    untold, told, of_other = on(), on(seen=(gpu("MI300X"),)), on(device="cuda:1")
    records = [replace(each, identity=replace(each.identity, repetition=number))
               for number, each in enumerate((untold, told, of_other))]

    names = trials_of(tmp_path, records).set_index("repetition").device_name

    assert ("MI300X", "MI300X", True) == (names[0], names[1], pd.isna(names[2]))


def test_two_names_of_one_device_leave_the_untold_without(tmp_path: Path):
    untold, *told = on(), on(seen=(gpu("MI300X"),)), on(seen=(gpu("MI250X"),))
    records = [replace(each, identity=replace(each.identity, repetition=number))
               for number, each in enumerate((untold, *told))]

    names = trials_of(tmp_path, records).set_index("repetition").device_name

    assert (True, "MI300X", "MI250X") == (pd.isna(names[0]), names[1], names[2])


def test_a_record_of_before_gpus_were_listed_is_read():
    assert device_name(Device("cuda", 0), 1, {"cpu": "AMD EPYC 9B14"}, {}, None) is None
