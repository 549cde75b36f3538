"""Windows that slide over images and reduce what they see."""


def _max_pool(nn, layer):
    a = layer["attributes"]
    return nn.MaxPool2d(tuple(a["kernel"]), stride=tuple(a["stride"]), padding=tuple(a["padding"]))


def _avg_pool(nn, layer):
    a = layer["attributes"]
    return nn.AvgPool2d(
        tuple(a["kernel"]), stride=tuple(a["stride"]), padding=tuple(a["padding"]),
        count_include_pad=a["count_include_pad"],
    )


def _global_avg_pool(nn, layer):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


LOWERINGS = {
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
}
