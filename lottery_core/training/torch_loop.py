"""The training loop in torch: any model, any device.

The data set is one tensor and a batch an index selection of it. One thread on the CPU: for
networks of this size a second one gains little, and the result does not depend on how many
cores the machine has.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.data import Data
from lottery_core.experiment import InvalidValue, Recipe
from lottery_core.models import build
from lottery_core.pruning import Arrays
from lottery_core.training.base import (
    Evaluation,
    Moment,
    Report,
    Trained,
    TrainingDiverged,
    batch_order,
)

_REPORT_EVERY = 0.05  # seconds: a cancel must work within one, a page be fed a few times in one
_EVALUATION_BATCH = 1_000


def devices() -> list[str]:
    """The devices torch can use here, "cpu" first."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    recipe: Recipe,
    weights: Arrays,
    mask: Arrays,
    data: Data,
    report: Report,
    *,
    first_iteration: int = 0,
    snapshots: tuple[int, ...] = (),
    device: str = "cpu",
) -> Trained:
    """Train from `weights` under `mask`, from `first_iteration` to `recipe.iterations`.

    After every step each pruned weight is exactly 0.0. `report` is called about every 50 ms
    and may raise to stop. Raises `TrainingDiverged` when the loss is no longer finite.
    """
    if device not in devices():
        raise InvalidValue("device", device, f"is not here; choose one of {', '.join(devices())}")
    with _one_thread():
        model = build(recipe).to(device)
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        images, labels = (
            torch.from_numpy(values).to(device) for values in (data.images, data.labels)
        )
        index = torch.from_numpy(data.train_index).to(device)
        held_out = torch.from_numpy(data.validation_index).to(device)
        judged_on = [
            (images[held_out], labels[held_out]),
            (
                torch.from_numpy(data.test_images).to(device),
                torch.from_numpy(data.test_labels).to(device),
            ),
        ]
        optimiser = _optimiser(recipe, model)
        parameters = dict(model.named_parameters())
        # Only layers that lost something are masked: level 0 pays nothing.
        pruned = [name for name, kept in mask.items() if not kept.all()]
        masked = [parameters[name].data for name in pruned]
        masks = [torch.from_numpy(mask[name].astype(np.float32)).to(device) for name in pruned]

        losses = torch.zeros(recipe.iterations - first_iteration, device=device)
        history: list[Evaluation] = []
        kept_snapshots: dict[int, Arrays] = {}
        iteration, evaluated_at = first_iteration, first_iteration

        def tick() -> None:
            done = losses[: iteration - first_iteration].cpu().numpy()
            _check_finite(done, first_iteration, recipe)
            report(Moment(iteration, done, history, lambda: _copy(model)))

        def evaluate_now() -> None:
            nonlocal evaluated_at
            since = losses[evaluated_at - first_iteration : iteration - first_iteration]
            evaluated_at = iteration
            train_loss = float(since.double().mean()) if len(since) else math.nan
            validation, test = evaluate(model, judged_on, tick)
            history.append(Evaluation(iteration, train_loss, *validation, *test))
            tick()

        evaluate_now()
        reported = time.perf_counter()
        while iteration < recipe.iterations:
            if iteration in snapshots:
                kept_snapshots[iteration] = _copy(model)
            epoch, batch = divmod(iteration, recipe.iterations_per_epoch)
            if batch == 0 or iteration == first_iteration:
                order = index[torch.from_numpy(batch_order(recipe, epoch)).to(device)]
            chosen = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]

            loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if masked:
                torch._foreach_mul_(masked, masks)  # what torch's own optimisers use
            losses[iteration - first_iteration] = loss.detach()
            iteration += 1

            if iteration % recipe.evaluate_every == 0 or iteration == recipe.iterations:
                evaluate_now()
                reported = time.perf_counter()
            elif time.perf_counter() - reported > _REPORT_EVERY:
                tick()
                reported = time.perf_counter()
        return Trained(history, losses.cpu().numpy(), _copy(model), kept_snapshots)


def _check_finite(losses: np.ndarray, first_iteration: int, recipe: Recipe) -> None:
    # A loss that is not finite stays so: the last one tells.
    if len(losses) and not np.isfinite(losses[-1]):
        where = first_iteration + int(np.argmin(np.isfinite(losses)))
        raise TrainingDiverged(
            f"the training loss is {losses[-1]} from iteration {where:,} on; "
            f"choose a learning rate below {recipe.learning_rate:g}"
        )


def _copy(model: nn.Module) -> Arrays:
    # A copy, never a view: saved weights must not follow the live ones.
    return {name: value.detach().cpu().numpy().copy() for name, value in model.named_parameters()}


def _optimiser(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    return torch.optim.Adam(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )


def evaluate(
    model: nn.Module,
    sets: list[tuple[torch.Tensor, torch.Tensor]],
    tick: Callable[[], None] = lambda: None,
) -> list[tuple[float, float]]:
    """(mean cross-entropy in nats, accuracy) on each set of images and labels; NaN if empty."""
    results = []
    for images, labels in sets:
        loss, correct = 0.0, 0
        with torch.inference_mode():
            for start in range(0, len(images), _EVALUATION_BATCH):
                logits = model(images[start : start + _EVALUATION_BATCH])
                answers = labels[start : start + _EVALUATION_BATCH]
                loss += float(F.cross_entropy(logits, answers, reduction="sum"))
                correct += int((logits.argmax(1) == answers).sum())
                tick()
        count = len(images)
        results.append((loss / count, correct / count) if count else (math.nan, math.nan))
    return results


def test_accuracy(recipe: Recipe, weights: Arrays, data: Data) -> float:
    """Fraction of the test images that the network with these weights names rightly."""
    with _one_thread():
        model = build(recipe)
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        test = torch.from_numpy(data.test_images), torch.from_numpy(data.test_labels)
        return evaluate(model, [test])[0][1]
