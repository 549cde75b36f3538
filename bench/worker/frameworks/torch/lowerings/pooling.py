"""Windows that slide over images and reduce what they see."""

from ._modules import modules


def _max_pool(nn, layer):
    a = layer["attributes"]
    return nn.MaxPool2d(tuple(a["kernel"]), stride=tuple(a["stride"]), padding=tuple(a["padding"]),
                        return_indices=bool(a.get("indices")))


def _avg_pool(nn, layer):
    a = layer["attributes"]
    return nn.AvgPool2d(
        tuple(a["kernel"]), stride=tuple(a["stride"]), padding=tuple(a["padding"]),
        count_include_pad=a["count_include_pad"],
    )


def _global_avg_pool(nn, layer):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _max_unpool(nn, layer):
    old, new = layer["input_shapes"][0][1:], layer["attributes"]["size"]
    # Kernel and stride are for a size only: such that it is this one.
    stride = [after // before for before, after in zip(old, new)]
    kernel = [after - (before - 1) * step for before, after, step in zip(old, new, stride)]
    return modules().Apply(lambda x, indices: nn.functional.max_unpool2d(x, indices, kernel, stride))


LOWERINGS = {
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
    "max_unpool": _max_unpool,
}
