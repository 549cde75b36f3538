"""Which GPUs CUDA gives to a program: told from outside, or not at all."""

from __future__ import annotations

import pytest

from rigmark.bench.telemetry.cuda import pci_bus_id, visible_gpus
from rigmark.bench.telemetry.sources import Device, Reason


def gpu(name: str, bus: int, **facts: object) -> Device:
    return Device(id=f"GPU-{name}", kind="gpu", name="card", facts={"pci_bus_id": f"00000000:{bus:02x}:00.0", **facts})


GPUS = [gpu("aa11", 3), gpu("aa22", 2), gpu("bb33", 1)]      # NVML's order need not be that of the bus
BY_BUS = ("GPU-bb33", "GPU-aa22", "GPU-aa11")


@pytest.mark.parametrize(("visible", "seen"), [
    (None, BY_BUS), ("", ()), ("-1", ()), ("nonsense", ()), ("0,1,2", BY_BUS), ("2,0", ("GPU-aa11", "GPU-bb33")),
    (" 1 , 0", ("GPU-aa22", "GPU-bb33")), ("0,2,-1,1", ("GPU-bb33", "GPU-aa11")), ("1,7,0", ("GPU-aa22",)),
    ("0,1,0", ()), ("1x,0", ("GPU-aa22", "GPU-bb33")), ("GPU-bb", ("GPU-bb33",)), ("GPU-aa", ()),
    ("GPU-bb33,GPU-aa1", ("GPU-bb33", "GPU-aa11")), ("GPU-bb33,1", ("GPU-bb33",)), ("GPU-bb33,GPU-bb", ()),
    ("0,GPU-aa11", ("GPU-bb33",)),
])
def test_cuda_visible_devices_means_what_it_means_to_cuda(visible: str | None, seen: tuple[str, ...]):
    variables = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})

    assert seen == visible_gpus(variables, GPUS)


def test_cudas_own_order_is_not_guessed():
    assert visible_gpus({}, GPUS) is None
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1"}, GPUS) is None
    assert ("GPU-aa11",) == visible_gpus({}, GPUS[:1])
    assert ("GPU-aa22",) == visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-aa22"}, GPUS)


def test_a_gpu_that_cannot_be_reached_has_no_number_with_cuda():
    hidden = Device(id="gpu-0", kind="gpu", name="unknown GPU", unknown={"id": Reason.NO_PERMISSION})
    unplaced = Device(id="GPU-dd", kind="gpu", name="card", unknown={"pci_bus_id": Reason.FAILED})
    variables = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    assert BY_BUS == visible_gpus(variables, [hidden, *GPUS])
    assert visible_gpus(variables, [unplaced, *GPUS]) is None


def test_parts_of_gpus_are_named_or_not_guessed():
    divided = [gpu("aa11", 3, mig=True, mig_instances=["MIG-cc44", "MIG-cc55"])]

    assert ("MIG-cc55",) == visible_gpus({"CUDA_VISIBLE_DEVICES": "MIG-cc55"}, divided)
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0"}, divided) is None


@pytest.mark.parametrize("spelling", ["0000:3B:00.0", "00000000:3b:00.0", "3b:00.0", " 0:3B:0.0 "])
def test_a_pci_address_has_one_spelling(spelling: str):
    assert "00000000:3b:00.0" == pci_bus_id(spelling)
