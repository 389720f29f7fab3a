"""The training loop in torch: any model, any device.

The data set stays bytes, on the device that trains, and a batch is an index selection of it. One
thread on the CPU: for networks of this size a second one gains little, and the result does not
depend on how many cores the machine has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.data import Data, Images
from lottery_core.method.masks import Arrays
from lottery_core.method.seeds import seed_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.recipe import Recipe
from lottery_core.training.augmentation import Moves, moved
from lottery_core.training.base import Report, Trained, Training, batch_order, drive, rates_of
from lottery_core.training.models import build, load, tensors
from lottery_core.training.optimisers import Optimiser
from lottery_core.training.recorded import Recorded, exact

_EVALUATION_BATCH = 1_000
# Of all results of a batch, at most: more do not stay in a processor's caches; elsewhere a small
# batch takes as long as a large one, and this is half a gigabyte.
_EVALUATION_NUMBERS = {"cpu": 2**23, "cuda": 2**27, "mps": 2**27}


def devices() -> list[str]:
    """The devices torch can use here, "cpu" first."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch computes on one thread, whatever it did before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Layers that draw by chance, as a module of somebody's own may have, draw the same every time;
    who drew before goes on as if nothing had been."""
    with torch.random.fork_rng(devices=[] if device == "cpu" else None):
        torch.manual_seed(seed)
        yield


def train(
    training: Training,
    data: Data,
    report: Report,
    *,
    device: str = "cpu",
    network: type[TorchNetwork] | None = None,
) -> Trained:
    """Do a training, of another kind of `network` where that is given.

    After every step each pruned weight is exactly 0.0. `report` is called about every 50 ms
    and may raise to stop. Raises `TrainingDiverged` when the loss is no longer finite.
    """
    if device not in devices():
        raise InvalidValue("device", device, f"is not here; choose one of {', '.join(devices())}")
    seed = seed_of(training.recipe.seed, "layers", training.order)
    with one_torch_thread(), seeded(seed, device), exact(device):
        return drive(training, (network or TorchNetwork)(training, data, device), report)


class TorchNetwork:
    """A torch module, its optimiser and its data on one device (see `base.Network`)."""

    def __init__(self, training: Training, data: Data, device: str = "cpu") -> None:
        recipe, mask = training.recipe, training.mask
        self._recipe, self._order_number = recipe, training.order
        self._model = build(recipe, device)
        load(self._model, training.weights)
        held_out = data.validation_index
        self._index, self._data = data.train_index, _shown(data.images, data.labels, device)
        self._judged_on = [
            _shown(data.images.take(held_out), data.labels[held_out], device),
            _shown(data.test_images, data.test_labels, device),
        ]
        self._optimiser = Optimiser(self._model.parameters(), recipe, device)
        self._rate = recipe.learning_rate
        parameters = dict(self._model.named_parameters())
        # Only layers that lost something, or may, are masked: level 0 pays nothing.
        self._pruned = {
            name: parameters[name]
            for name, kept in mask.items()
            if training.moving or not kept.all()
        }
        self._masked = [parameter.data for parameter in self._pruned.values()]
        self._masks = [
            torch.empty_like(where).copy_(torch.from_numpy(mask[name]))
            for name, where in zip(self._pruned, self._masked, strict=True)
        ]
        self._epoch = -1
        self._step = Recorded(self._take) if device == "cuda" else self._take

    def steps(self, epoch: int, batch: int, losses: np.ndarray) -> None:
        if epoch != self._epoch:
            order = batch_order(self._recipe, epoch, self._order_number)
            self._epoch, self._order = epoch, self._data.index(self._index[order])
            moves = Moves.of(self._recipe, epoch, self._order_number)
            self._moves = moves.on(self._data.device) if moves else ()
        size = self._recipe.batch_size
        written = torch.empty(len(losses), device=self._data.device)
        for n, rate in enumerate(rates_of(self._recipe, epoch, batch, len(losses)).tolist()):
            if rate != self._rate:
                self._rate = rate
                self._optimiser.set_rate(rate)
            at = slice((batch + n) * size, (batch + n + 1) * size)
            written[n] = self._step(self._order[at], *(part[at] for part in self._moves))
        losses[:] = written.cpu().numpy()

    def _take(self, chosen: np.ndarray | torch.Tensor, *moves: torch.Tensor) -> torch.Tensor:
        """One optimiser step on those images, moved so; its loss."""
        images, labels = self._data[chosen]
        if moves:
            shaped = images.reshape(-1, *self._recipe.net.input)
            images = moved(shaped, *moves, self._data.black)
        loss = F.cross_entropy(self._model(images), labels)
        self._optimiser.zero_grad()
        loss.backward()
        self._change()
        return loss.detach()

    def _change(self) -> None:
        """What a step changes, once the gradients are there."""
        self._optimiser.step()
        if self._masked:
            torch._foreach_mul_(self._masked, self._masks)  # what torch's optimisers use

    def evaluate(self, tick: Callable[[], None]) -> list[tuple[float, float]]:
        return _evaluate(self._model, self._judged_on, tick)

    def under(self, mask: Arrays) -> TorchNetwork:
        # In place: a recorded step knows its tensors by where they stand.
        for (name, parameter), before in zip(self._pruned.items(), self._masks, strict=True):
            now = torch.empty_like(before).copy_(torch.from_numpy(mask[name]))
            parameter.data.masked_fill_((now == 0) | (before == 0), 0)
            self._optimiser.forget(parameter, (now != 0) & (before == 0))
            before.copy_(now)
        return self

    def weights(self) -> Arrays:
        return {
            name: value.detach().cpu().numpy().copy()
            for name, value in tensors(self._model).items()
        }


class _Shown:
    """Images and labels for torch on the CPU, normalised by NumPy as they are asked for: it is
    as fast with bytes as torch with numbers."""

    device = "cpu"

    def __init__(self, images: Images, labels: np.ndarray) -> None:
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._images)

    @property
    def black(self) -> torch.Tensor:
        """What a black pixel is to a network, by channel; that of an image scaled to length 1 is
        0 at any length."""
        return torch.from_numpy(self._images.values.reshape(-1, 256)[:, 0])

    def index(self, chosen: np.ndarray) -> np.ndarray:
        """Positions in the form in which parts of them are asked for."""
        return chosen

    def __getitem__(self, chosen: slice | np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self._images[chosen]), torch.from_numpy(self._labels[chosen])


class _ShownElsewhere:
    """The same on another device, where the bytes are kept and normalised."""

    def __init__(self, images: Images, labels: np.ndarray, device: str) -> None:
        self.device = device
        self._pixels, self._values, self._lengths, self._labels = (
            self.index(part)
            for part in (images.pixels, images.values.reshape(-1, 256), images.lengths, labels)
        )

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def black(self) -> torch.Tensor:
        return self._values[:, 0]

    def index(self, chosen: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(chosen).to(self.device)

    def __getitem__(self, chosen: slice | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = self._pixels[chosen].long()
        channels = pixels.reshape(len(pixels), len(self._values), -1)
        # Each channel by its own values.
        each = torch.arange(len(self._values), device=self.device)[:, None]
        numbers = self._values[each, channels].reshape(pixels.shape)
        return numbers / self._lengths[chosen].unsqueeze(1), self._labels[chosen]


def _shown(images: Images, labels: np.ndarray, device: str) -> _Shown | _ShownElsewhere:
    return _Shown(images, labels) if device == "cpu" else _ShownElsewhere(images, labels, device)


def _evaluate(
    model: nn.Module,
    sets: list[_Shown] | list[_ShownElsewhere],
    tick: Callable[[], None] = lambda: None,
) -> list[tuple[float, float]]:
    """(mean cross-entropy in nats, accuracy) on each set of images and labels; NaN if empty."""
    results = []
    model.eval()
    for shown in sets:
        loss, correct = 0.0, 0
        with torch.inference_mode():
            for batch in _batches(model, shown):
                images, answers = shown[batch]
                logits = model(images)
                loss += float(F.cross_entropy(logits, answers, reduction="sum"))
                correct += int((logits.argmax(1) == answers).sum())
                tick()
        count = len(shown)
        results.append((loss / count, correct / count) if count else (math.nan, math.nan))
    model.train()
    return results


def accuracy(
    recipe: Recipe,
    weights: Arrays,
    images: Images,
    labels: np.ndarray,
    tick: Callable[[], None] = lambda: None,
) -> float:
    """Fraction of the images that the network with these weights names rightly; `tick` is
    called every thousand images and may raise to stop."""
    return accuracies(recipe, [weights], images, labels, tick)[0]


def accuracies(
    recipe: Recipe,
    networks: Sequence[Arrays],
    images: Images,
    labels: np.ndarray,
    tick: Callable[[], None] = lambda: None,
    *,
    device: str = "cpu",
) -> list[float]:
    """As `accuracy`, of several sets of weights: images are made ready once for all of them, which
    for a small network takes longer than its answers. They answer on a `device`: ten thousand
    images take a convolutional network many seconds of a core."""
    right = np.zeros(len(networks), np.int64)
    with one_torch_thread(), exact(device), torch.inference_mode():
        shown = _shown(images, labels, device)
        models = [build(recipe, device) for _ in networks]
        for model, weights in zip(models, networks, strict=True):
            load(model, weights)
            model.eval()
        for batch in _batches(models[0], shown):
            numbers, answers = shown[batch]
            right += [int((model(numbers).argmax(1) == answers).sum()) for model in models]
            tick()
    return (right / len(shown)).tolist()


def _batches(model: nn.Module, shown: _Shown | _ShownElsewhere) -> Iterator[slice]:
    """Slices of so many images as are judged at once."""
    numbers = _EVALUATION_NUMBERS[shown.device]
    at_once = min(_EVALUATION_BATCH, max(32, numbers // model.activations))
    return (slice(first, first + at_once) for first in range(0, len(shown), at_once))
