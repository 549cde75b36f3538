"""128 crops of two real photographs in the package scikit-learn, a temple in China and a flower.

Each crop has a random position and scale and is resized to the input of the graph, as in training for ImageNet. 96 are
for training, 32 are held out; they are always the same. The label is the number of the photograph.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.datasets import Dataset, only_input
from rigmark.bench.errors import UserError
from rigmark.bench.ir.graph import Graph

PHOTOS = ("china.jpg", "flower.jpg")
SAMPLES, HELD_OUT = 128, 32
LEAST_SIDE = 0.4             # smallest side of a crop as a share of the photograph's height
# Mean and deviation of ImageNet's training pixels scaled to 0..1, the usual values for red, green, blue.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(graph: Graph) -> Dataset:
    """The crops; raises UserError if a package is missing, or if the graph does not classify colour images."""
    given = only_input("photos", graph)
    if len(given.shape) != 3 or given.shape[0] != 3 or len(graph.output_shape) != 1:
        raise UserError(f"data 'photos' is for models that classify images of 3 channels, but {graph.name} turns "
                        f"{given.shape} into {graph.output_shape}; use --data synthetic or another model")
    _, height, width = given.shape
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
    y = np.arange(SAMPLES) % len(PHOTOS)             # alternating, so that every batch has equally many of both
    for image, label in zip(x, y, strict=True):
        photo = photos[label]
        side = rng.uniform(LEAST_SIDE, 1) * photo.height
        left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
        crop = photo.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        image[...] = ((np.asarray(crop) / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)
    return x, y


def _folder() -> Path:
    """The folder of scikit-learn's photographs, found without importing scikit-learn, which takes a second."""
    spec = importlib.util.find_spec("sklearn")
    folder = Path(spec.origin or "").parent / "datasets" / "images" if spec else Path()
    if not all((folder / name).is_file() for name in PHOTOS) or importlib.util.find_spec("PIL") is None:
        raise UserError("data 'photos' needs the packages scikit-learn and pillow; pip install scikit-learn pillow")
    return folder
