"""Images at another size."""

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


LOWERINGS = {
    "resize": Resize,
}
