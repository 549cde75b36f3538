"""Images at another size."""

from ..._resampling import nearest, shares
from ._modules import modules

_CORNERS = {"half_pixel": False, "align_corners": True}


def _resize(nn, layer):
    a, size = layer["attributes"], tuple(layer["attributes"]["size"])
    if a["mode"] == "nearest":
        (_, *old) = layer["input_shapes"][0]
        mode = "nearest" if a["coordinates"] == "asymmetric" or _is_multiple(old, size) else "nearest-exact"
        if mode == "nearest" or _has_nearest_exact():
            return nn.Upsample(size, mode=mode)
        return modules().Chosen([None, None, *(nearest(*sides, a["coordinates"]) for sides in zip(old, size))])
    if a["coordinates"] in _CORNERS:
        return nn.Upsample(size, mode=a["mode"], align_corners=_CORNERS[a["coordinates"]])
    return modules().Resampled(shares(layer))            # interpolate has no such coordinates


def _is_multiple(old, new):
    """Whether both coordinates take the same pixels."""
    return all(after % before == 0 for before, after in zip(old, new))


def _has_nearest_exact():
    import torch

    return tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (1, 11)


LOWERINGS = {
    "resize": _resize,
}
