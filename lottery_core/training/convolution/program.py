"""A convolutional network as flat arrays: what compiled code works through, operation by operation.

A batch lies in *panels* of `width` examples. Of each result a panel holds plane after plane, a
plane row after row, a row pixel after pixel, and a pixel's numbers of all examples side by side: so
one weight meets a long run of numbers, whatever its place in the kernel. A plane has a *rim* of
zeros as wide as those who read it reach beyond it, so that no place in a kernel needs a test; the
loss's derivative by a result has a rim of its own, the *edge*.

What follows the convolutions, from the first fully connected layer on, is the *head*: a `layers.Net`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Kinds of operations. SPLIT parts an image into those of every second row and column, each of which
# a convolution of stride 2 goes over pixel by pixel.
CONVOLVE, SPLIT, NORM, POOL, MEAN, ADD = range(6)


class Program(NamedTuple):
    """All of a network but its head. Results are numbered as they come, 0 are the images; only
    channels that can matter are here.

    `parameters` holds the kept weights of each convolution, tile by tile and output by output,
    then biases, then scales and shifts of batch norm, then what no data reaches ("idle": it only
    decays). `gradient` has the same order; see `layers.Net`.
    """

    width: int
    panels: int
    # Results
    channels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    rim: np.ndarray
    edge: np.ndarray
    has_relu: np.ndarray  # only what is above 0 passes on
    activity_at: np.ndarray  # where each begins in `activity`
    delta_at: np.ndarray  # and its derivative in `delta`; -1 without any
    activity: np.ndarray
    delta: np.ndarray
    # Operations
    kind: np.ndarray
    source: np.ndarray
    other: np.ndarray  # the second one that ADD reads
    target: np.ndarray
    adds: np.ndarray  # whether it adds to the derivative of its source, which others wrote before
    other_adds: np.ndarray
    stride: np.ndarray  # of SPLIT
    padding: np.ndarray
    phases: np.ndarray  # it makes so many images a side
    # Convolutions
    weights_at: np.ndarray  # parameters from there ...
    weights_end: np.ndarray  # ... to there
    biases_at: np.ndarray  # of a convolution, or scales and shifts of NORM; -1 without any
    offset: np.ndarray  # of each weight: from the place of an output to what it reads
    tiles: np.ndarray  # the sources in so many parts, worked through one by one
    segment_at: np.ndarray  # where the weights of each tile and output start ...
    segment_from: np.ndarray  # ... from here on for each operation
    back_parameter: np.ndarray  # the same weights by what they read: where they stand ...
    back_offset: np.ndarray  # ... and from the place of a source to the output that read it
    back_tiles: np.ndarray
    back_segment_at: np.ndarray
    back_segment_from: np.ndarray
    back_weight: np.ndarray  # their values, for the time of a step
    partial: np.ndarray  # sums of a gradient, some lanes for each weight of one convolution
    # Batch norm
    norm_at: np.ndarray  # each operation's channels in the following
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
