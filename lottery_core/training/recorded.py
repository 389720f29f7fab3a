"""A step on a CUDA device, recorded once and played again for every batch.

A step of a small network is some hundred kernels that each run for a few microseconds: to start
them one by one from Python takes longer than they run. A CUDA graph starts all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# Calls before the recording: the optimiser makes its running sums in the first, and torch and
# cuDNN what they need once.
_BEFORE = 3

Step = Callable[..., torch.Tensor]


@contextmanager
def exact(device: str) -> Iterator[None]:
    """On CUDA, float32 as on the CPU and the same numbers every time.

    cuDNN's convolutions round their inputs to 10 bits else, and may add up in another order at
    every run. Work goes to a stream of its own, from which it can be recorded.
    """
    if device != "cuda":
        yield
        return
    flags = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with flags, torch.cuda.stream(torch.cuda.Stream()):
        yield


class Recorded:
    """`step`, a function of tensors on a CUDA device, whose calls are recorded and replayed.

    It is called as it is the first few times, for arguments of other shapes (an epoch's last
    batch), and always if it can't be recorded, as a module of somebody's own that looks at its
    numbers in between. The tensor it returns is overwritten by the next call.
    """

    def __init__(self, step: Step):
        self._step = step
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *given: torch.Tensor) -> torch.Tensor:
        self._calls += 1
        if self._calls == _BEFORE + 1:
            self._record(given)
        if self._graph is None or [part.shape for part in given] != self._shapes:
            return self._step(*given)
        for place, values in zip(self._given, given, strict=True):
            place.copy_(values)
        self._graph.replay()
        return self._result

    def _record(self, given: tuple[torch.Tensor, ...]) -> None:
        graph = torch.cuda.CUDAGraph()
        self._given = [part.clone() for part in given]
        self._shapes = [part.shape for part in given]
        try:
            with torch.cuda.graph(graph):  # nothing of it is computed yet
                self._result = self._step(*self._given)
        except RuntimeError:
            return
        self._graph = graph
