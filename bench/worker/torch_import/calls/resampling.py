"""Images at another size; a sequence is an image of one row."""

from ...user_code import Refused


def _resized(mode, coordinates=None):
    def lower(call):
        x, (shape, batch, dtype) = call.subject, call.result
        rule = coordinates or ("align_corners" if call["align_corners"] else "half_pixel")
        _refuse_other_scale(call, x.shape[2:], shape[2:])
        image = x if len(shape) == 4 else call.regrouped(x, [*x.shape[:2], 1, x.shape[2]], x.batch)
        like = ([*shape[:2], *([1] if len(shape) == 3 else []), *shape[2:]], batch, dtype)
        found = call.add("resize", image, like=like, size=like[0][2:], mode=mode, coordinates=rule)
        return call.regrouped(found, shape, batch)
    return lower


def _refuse_other_scale(call, sizes, wanted):
    """torch takes a factor as it is given, even where the new size is rounded."""
    factors = call.get("scale_factors") or []
    if any(size * factor != want for size, factor, want in zip(sizes, factors, wanted)):
        raise Refused("its factor %s makes %s of %s by rounding; give a size" % (
            tuple(factors), tuple(wanted), tuple(sizes)))


CALLS = {
    **dict.fromkeys(("upsample_nearest2d", "upsample_nearest1d"), _resized("nearest", "asymmetric")),
    **dict.fromkeys(("_upsample_nearest_exact2d", "_upsample_nearest_exact1d"), _resized("nearest", "half_pixel")),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_linear1d"), _resized("bilinear")),
    "upsample_bicubic2d": _resized("bicubic"),
}
