"""Images at another size, and regions of them."""

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


def _roi_align(nn, layer):
    """Four gathers, since PyTorch itself has no such call."""
    import torch

    a, (channels, *sizes) = layer["attributes"], layer["input_shapes"][0]
    regions, samples = layer["input_shapes"][1][0], a["samples"]

    def shares(boxes, axis):
        """[(which pixels, (batch, regions, samples), their share)] of the lower and the upper neighbours."""
        low, high = (boxes[..., side] * a["scale"] - 0.5 * a["aligned"] for side in (1 - axis, 3 - axis))
        length = high - low if a["aligned"] else (high - low).clamp(min=1)
        count, size = a["size"][axis] * samples, sizes[axis]
        steps = (torch.arange(count, device=boxes.device) + 0.5).to(boxes.dtype) / count
        place = low[..., None] + length[..., None] * steps
        is_inside = ((place >= -1) & (place <= size)).to(boxes.dtype)
        place = place.clamp(0, size - 1)
        lower = place.floor().long()
        part = place - lower
        return [(lower, is_inside * (1 - part)), ((lower + 1).clamp(max=size - 1), is_inside * part)]

    def forward(x, boxes):
        boxes = boxes.detach()
        boxes = boxes if boxes.dtype == torch.float64 else boxes.float()
        pixels, total = x.flatten(2), 0
        columns = shares(boxes, 1)
        for row, of_row in shares(boxes, 0):
            for column, of_column in columns:
                places = (row[..., None] * sizes[1] + column[..., None, :]).reshape(len(x), 1, -1)
                taken = pixels.gather(2, places.expand(-1, channels, -1))
                share = (of_row[..., None] * of_column[..., None, :]).to(x.dtype)
                total = total + taken.reshape(len(x), channels, *share.shape[1:]) * share[:, None]
        parts = (len(x), channels, regions, a["size"][0], samples, a["size"][1], samples)
        return total.reshape(parts).mean((4, 6)).transpose(1, 2)

    return modules().Apply(forward)


def _is_multiple(old, new):
    """Whether both coordinates take the same pixels."""
    return all(after % before == 0 for before, after in zip(old, new))


def _has_nearest_exact():
    import torch

    return tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (1, 11)


LOWERINGS = {
    "resize": _resize,
    "roi_align": _roi_align,
}
