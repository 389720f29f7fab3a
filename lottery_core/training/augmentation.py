"""Training images shown mirrored and shifted, so that no epoch shows the same one twice.

What happens to an image is drawn for each epoch from a stream of its own, so that every loop, level
and device shows the same images; the pixels are moved on the device that trains, a batch at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.method.seeds import seed_of
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.terms import AUGMENTATIONS, MAX_SHIFT


@dataclass(frozen=True)
class Moves:
    """For each of an epoch's images, in its order: the rows (n, rows) and columns (n, columns) of
    the image with `MAX_SHIFT` black pixels around it that become its rows and columns."""

    rows: np.ndarray
    columns: np.ndarray

    @classmethod
    def of(cls, recipe: Recipe, epoch: int, order: int = 0) -> Moves | None:
        """What is drawn for that epoch, in that order of the data; None if nothing is."""
        kind = AUGMENTATIONS[recipe.augmentation]
        if not (kind.flips or kind.shifts):
            return None
        purpose = ("augmentation", epoch, order) if order else ("augmentation", epoch)
        source = np.random.default_rng(seed_of(recipe.seed, *purpose))
        count, (_, rows, columns) = recipe.train_size, recipe.net.input
        is_mirrored = source.integers(0, 2, (count, 1), dtype=bool)
        shifts = source.integers(0, 2 * MAX_SHIFT + 1, (2, count, 1))
        if not kind.shifts:
            shifts = np.full_like(shifts, MAX_SHIFT)
        across = np.arange(columns)
        if kind.flips:
            across = np.where(is_mirrored, across[::-1], across)
        return cls(shifts[0] + np.arange(rows), shifts[1] + across)

    def on(self, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        """`rows` and `columns` as tensors there."""
        parts = (self.rows, self.columns)
        if device == "cpu":
            return tuple(map(torch.from_numpy, parts))
        # A whole epoch goes over at once, as bytes: an eighth of the way.
        return tuple(torch.from_numpy(part.astype(np.uint8)).to(device) for part in parts)


def moved(
    images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, black: torch.Tensor
) -> torch.Tensor:
    """A batch of images (n, channels, rows, columns) as it is shown, in memory by channels
    last; `rows` and `columns` are its parts of `Moves`, `black` (channels,) is what a black pixel
    is to the network."""
    padded = F.pad(images - black[:, None, None], [MAX_SHIFT] * 4) + black[:, None, None]
    each = torch.arange(len(images), device=images.device)[:, None, None]
    at = rows.long()[:, :, None], columns.long()[:, None, :]
    return padded[each, :, *at].permute(0, 3, 1, 2)
