"""Arrays by name as safetensors: the one place that writes them.

safetensors 0.8.0 takes an array's memory as it lies, whatever its strides say, so a transposed or
sliced array would come back with its values in other places, and without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from safetensors import numpy as safetensors


def save(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """A file of these arrays, each of any strides and byte order, with texts in its header."""
    plain = {
        name: np.asarray(values, values.dtype.newbyteorder("<"), order="C")
        for name, values in arrays.items()
    }
    return safetensors.save(plain, metadata=None if metadata is None else dict(metadata))


def load(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a file, in an order of its own. Raises `ValueError` if it is damaged."""
    try:
        return safetensors.load(content)
    except Exception as error:  # the library names no list of what damage makes it raise
        raise ValueError(f"is no whole safetensors file: {error}") from error


def metadata(content: bytes) -> dict[str, str]:
    """The texts in a file's header, {} where it has none. Raises `ValueError` if it is damaged."""
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return dict(header.get("__metadata__", {}))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"has no header of safetensors: {error}") from error
