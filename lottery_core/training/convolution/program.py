"""A convolutional network as flat arrays: what compiled code works through, operation by operation.

A batch lies in *panels* of `width` examples. Of each result a panel holds plane after plane, a
plane row after row, a row pixel after pixel, and a pixel's numbers of all examples side by side: so
one weight meets a long run of numbers, whatever its place in the kernel. A plane has a *rim* of
zeros as wide as those who read it reach beyond it, so that no place in a kernel needs a test; the
loss's derivative by a result has a rim of its own, the *edge*.

What follows the convolutions, from the first fully connected layer on, is the *head*, a
`layers.Net`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Kinds of operations. SPLIT parts an image into those of every second row and column, each of which
# a convolution of stride 2 goes over pixel by pixel.
CONVOLVE, SPLIT, NORM, POOL, MEAN = range(5)


# What is known of a result: its planes, whether only what is above 0 passes on, and where it begins
# in `activity` and its derivative in `delta` (-1 without any).
RESULT = np.dtype(
    [
        (name, np.int64)
        for name in ("channels", "rows", "columns", "rim", "edge", "activity_at", "delta_at")
    ]
    + [("has_relu", np.bool_)]
)

# What is known of an operation. It reads `source`, and NORM adds `other` (-1 for nothing) to what
# it makes of that; it `adds` (`other_adds`) to the derivative of either if others wrote to it
# before. A SPLIT has a stride and makes `phases` images a side. A convolution's weights are the
# parameters from `weights_at` to `weights_end`, in segments by tile and output from number
# `segment_from` on, and the same by tile and source for the way back; its biases, or scales and
# shifts of NORM, stand from `biases_at` on (-1 without any). NORM's channels are from `norm_at` on
# in what is remembered of batches.
OPERATION = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind", "source", "other", "target", "stride", "padding", "phases", "weights_at",
            "weights_end", "biases_at", "tiles", "segment_from", "back_tiles",
            "back_segment_from", "norm_at",
        )
    ]
    + [("adds", np.bool_), ("other_adds", np.bool_)]
)  # fmt: skip


class Program(NamedTuple):
    """All of a network but its head. Results are numbered as they come, 0 are the images; only
    channels that can matter are here.

    `parameters` holds the kept weights of each convolution, tile by tile and output by output,
    then biases, then scales and shifts of batch norm, then what no data reaches ("idle": it only
    decays). `gradient` has the same order; see `layers.Net`.
    """

    width: int
    panels: int
    results: np.ndarray
    operations: np.ndarray
    activity: np.ndarray
    delta: np.ndarray
    # Convolutions
    offset: np.ndarray  # of each weight: from the place of an output to what it reads
    segment_at: np.ndarray  # where the weights of each tile and output start
    back_parameter: np.ndarray  # the same weights by what they read: where they stand ...
    back_offset: np.ndarray  # ... and from the place of a source to the output that read it
    back_segment_at: np.ndarray
    back_weight: np.ndarray  # their values, for the time of a step
    partial: np.ndarray  # sums of a gradient, some lanes for each weight of one convolution
    # Batch norm
    running_mean: np.ndarray
    running_variance: np.ndarray
    batch_mean: np.ndarray
    batch_scale: np.ndarray  # 1 / standard deviation
    valid: np.ndarray  # a row of ones, and one with zeros where the last panel has no example
    # Parameters
    parameters: np.ndarray
    gradient: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    # The head
    feature_at: np.ndarray  # where its inputs lie in a panel of the last result
    feature_delta_at: np.ndarray
