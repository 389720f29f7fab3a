"""Tickets in the form of `torch.nn.utils.prune`. The one place of this package with torch."""

from __future__ import annotations

import io

import numpy as np
import torch

from lottery_core.method.masks import Arrays


def pruned_state(weights: Arrays, mask: Arrays) -> bytes:
    """A state dict as `torch.save` writes it: for a layer fc1 that prune.identity was called on,
    `fc1.weight_orig` (float32) and `fc1.weight_mask` (float32, 1 where kept); all that is not
    pruned (biases, batch norm with its running statistics) by its own name.

    `torch.load(..., weights_only=True)` reads it. Pruned entries of weight_orig are 0.
    """
    state = {}
    for name, values in weights.items():
        state[f"{name}_orig" if name in mask else name] = torch.tensor(values)
        if name in mask:
            state[f"{name}_mask"] = torch.tensor(mask[name].astype(np.float32))
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
