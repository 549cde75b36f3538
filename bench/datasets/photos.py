"""128 crops of two real photographs, a temple in China and a flower, which the package scikit-learn ships.

Each shows a part at a random place and scale, resized to the graph's input, as networks for ImageNet are trained. 96
are for training, 32 held out, the same every time. The label tells which photograph it is.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.datasets import Dataset
from rigmark.bench.errors import UserError
from rigmark.bench.ir.graph import Graph

PHOTOS = ("china.jpg", "flower.jpg")
SAMPLES, HELD_OUT = 128, 32
LEAST_SIDE = 0.4             # of a crop, as a share of the photograph's height
# Of ImageNet's training pixels scaled to 0..1, as customary: red, green, blue.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(graph: Graph) -> Dataset:
    """Raises UserError where a package is missing or the graph does not classify colour images."""
    if len(graph.input.shape) != 3 or graph.input.shape[0] != 3 or len(graph.output_shape) != 1:
        raise UserError(f"data 'photos' is for models that classify images of 3 channels, but {graph.name} makes "
                        f"{graph.output_shape} of {graph.input.shape}; use --data synthetic or another model")
    _, height, width = graph.input.shape
    x, y = _crops(height, width)
    return Dataset(x=x[HELD_OUT:], y=y[HELD_OUT:], test_x=x[:HELD_OUT], test_y=y[:HELD_OUT])


@cache
def _crops(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    folder = _folder()
    from PIL import Image

    photos: list[Image.Image] = []
    for name in PHOTOS:
        with Image.open(folder / name) as file:
            photos.append(file.convert("RGB"))
    rng = np.random.RandomState(0)
    x = np.empty((SAMPLES, 3, height, width), np.float32)
    y = np.arange(SAMPLES) % len(PHOTOS)             # in turn, so that every batch has equally many of each
    for image, label in zip(x, y, strict=True):
        photo = photos[label]
        side = rng.uniform(LEAST_SIDE, 1) * photo.height
        left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
        crop = photo.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        image[...] = ((np.asarray(crop) / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)
    return x, y


def _folder() -> Path:
    """Where scikit-learn keeps its photographs; it is found without being imported, which takes a second."""
    spec = importlib.util.find_spec("sklearn")
    folder = Path(spec.origin or "").parent / "datasets" / "images" if spec else Path()
    if not all((folder / name).is_file() for name in PHOTOS) or importlib.util.find_spec("PIL") is None:
        raise UserError("data 'photos' needs the packages scikit-learn and pillow; pip install scikit-learn pillow")
    return folder
