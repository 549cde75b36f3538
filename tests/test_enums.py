"""Names of networks that people write differently meet, and those of different networks do not."""

from __future__ import annotations

import pytest

from rigmark.bench.enums import network_key


@pytest.mark.parametrize(("one", "other"), [
    ("resnet-50", "resnet50"), ("ResNet 50", "resnet_50"), ("Inception V3", "inception_v3"),
    ("squeezenet1.1", "squeezenet1_1"), ("VGG16-BN", "vgg16_bn"), ("ＶＧＧ16", "vgg16"),
])
def test_names_of_one_network_meet(one: str, other: str):
    assert network_key(one) == network_key(other)


@pytest.mark.parametrize(("one", "other"), [
    ("resnet50", "resnet152"), ("wide_resnet50_2", "wide_resnet502"), ("squeezenet1_1", "squeezenet11"),
    ("densenet-12-1", "densenet121"), ("vgg16", "vgg16_bn"), ("+", "-"), ("网络", "网"),
])
def test_names_of_different_networks_do_not(one: str, other: str):
    assert network_key(one) != network_key(other)
