"""Images at another size, and regions of them."""

import numpy as np

from ._base import Operation


def _cubic(distance):
    """The weight of a pixel at this distance, of Keys' cubic with a = -3/4."""
    a, x = -0.75, np.abs(distance)
    near, far = (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1, a * (x ** 3 - 5 * x ** 2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


KERNELS = {"bilinear": (lambda x: np.maximum(1 - np.abs(x), 0), 1), "bicubic": (_cubic, 2)}


def _matrix(size, new, mode, coordinates):
    """The share that each of ``size`` pixels has in each of ``new`` ones, (new, size)."""
    place = np.arange(new)
    if mode == "nearest":
        taken = np.floor((place + (0.5 if coordinates == "half_pixel" else 0)) * size / new).astype(int)
        return np.eye(size)[taken]
    centre = {
        "half_pixel": (place + 0.5) * size / new - 0.5,
        "align_corners": place * (size - 1) / max(new - 1, 1),
        "asymmetric": place * size / new,
    }[coordinates]
    function, reach = KERNELS[mode]
    if mode == "bilinear":
        centre = np.clip(centre, 0, size - 1)
    shares = np.zeros((new, size))
    first = np.floor(centre).astype(int)
    for offset in range(1 - reach, reach + 1):
        pixel = first + offset
        np.add.at(shares, (place, np.clip(pixel, 0, size - 1)), function(centre - pixel))
    return shares


class Resize(Operation):
    """A matrix product along each axis."""

    def forward(self, x):
        a = self.attributes
        self.rows, self.columns = (
            _matrix(size, new, a["mode"], a["coordinates"]).astype(x.dtype) for size, new in zip(x.shape[2:], a["size"])
        )
        return np.matmul(np.matmul(self.rows, x), self.columns.T)

    def backward(self, gradient):
        return (np.matmul(np.matmul(self.rows.T, gradient), self.columns),)


class RoiAlign(Operation):
    """A matrix product along each axis, whose matrices follow from the boxes."""

    def forward(self, x, boxes):
        self.rows, self.columns = (self._matrix(boxes, axis, x.shape[2 + axis], x.dtype) for axis in (0, 1))
        return np.einsum("brph,brqw,bchw->brcpq", self.rows, self.columns, x, optimize=True)

    def _matrix(self, boxes, axis, size, dtype):
        """The share of each pixel along an axis in each of the results, (batch, regions, results, pixels)."""
        a = self.attributes
        results, samples = a["size"][axis], a["samples"]
        low, high = (boxes[..., side] * a["scale"] - 0.5 * a["aligned"] for side in (1 - axis, 3 - axis))
        length = high - low if a["aligned"] else np.maximum(high - low, 1)
        shares = np.zeros((*low.shape, results, size))
        for result in range(results):
            for sample in range(samples):
                place = low + length * (result + (sample + 0.5) / samples) / results
                is_inside = (place >= -1) & (place <= size)
                distance = np.abs(np.clip(place, 0, size - 1)[..., None] - np.arange(size))
                shares[..., result, :] += is_inside[..., None] * np.maximum(1 - distance, 0) / samples
        return shares.astype(dtype)

    def backward(self, gradient):
        return np.einsum("brph,brqw,brcpq->bchw", self.rows, self.columns, gradient, optimize=True), None


LOWERINGS = {
    "resize": Resize,
    "roi_align": RoiAlign,
}
