"""Windows that slide over padded images."""

import numpy as np


def padded(images, padding, value=0):
    """Images with ``padding`` = (rows, columns) of ``value`` on each side; the same images where that is none."""
    rows, columns = padding
    if rows == columns == 0:
        return images
    batch, channels, height, width = images.shape
    result = np.full((batch, channels, height + 2 * rows, width + 2 * columns), value, dtype=images.dtype)
    result[:, :, rows : rows + height, columns : columns + width] = images
    return result


def cropped(images, padding):
    """What ``padded`` was given."""
    rows, columns = padding
    return images[:, :, rows : images.shape[2] - rows, columns : images.shape[3] - columns]


def window_size(size, kernel, stride, dilation=(1, 1)):
    """(rows, columns) of the positions that a window takes on a padded image of ``size``."""
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation))


def offsets(output_size, kernel, stride, dilation=(1, 1)):
    """For each element of a window in row order, the index of the padded pixels that it meets, one per position."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + stride[0] * (output_size[0] - 1) + 1, stride[0])
            columns = slice(left, left + stride[1] * (output_size[1] - 1) + 1, stride[1])
            yield Ellipsis, rows, columns
