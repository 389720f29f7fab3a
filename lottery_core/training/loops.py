"""Which loop trains a level, and the one function that all training goes through."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lottery_core.data import Data, Images
from lottery_core.spec.checks import InvalidValue, check_known
from lottery_core.spec.recipe import Recipe
from lottery_core.store import Store, StoreUnavailable
from lottery_core.store.files import explained
from lottery_core.training import kept, mask_search, torch_loop
from lottery_core.training.base import (
    LOOPS,
    Report,
    Trained,
    Training,
    check_compiled,
    why_not_compiled,
)
from lottery_core.training.context import Context
from lottery_core.training.process import follow

_loaded = threading.Event()


def train(training: Training, data: Data, report: Report, context: Context) -> tuple[Trained, str]:
    """Do a training; the name of the loop that was used is returned with what came of it.

    The context's "auto" takes the compiled loop where it is loaded (see `prepare`) and faster by
    what the store knows of this machine. Whichever is used, batches and results agree to rounding
    error; pruned weights are exactly 0.0. `report` is called about every 50 ms and may raise to
    stop, as may the context's monitor before training. Masks are learned in torch, whatever loop
    is asked for: where all scores have gradients, nothing is sparse.

    Raises `InvalidValue` for a loop or device that is not here, `CannotCompile`, and
    `TrainingDiverged` when the loss is no longer finite.
    """
    recipe, loop, device = training.recipe, context.loop, context.device
    check_known("loop", loop, LOOPS)
    if training.learning:
        return mask_search.train(training, data, report, device=device), "torch"
    if loop == "compiled":
        check_compiled(recipe)
    can_compile = device == "cpu" and not why_not_compiled(recipe)
    if loop == "torch" or not can_compile or (loop == "auto" and not _loaded.is_set()):
        if loop == "compiled":
            raise InvalidValue(
                "loop", loop, f"runs on the CPU only; set device=cpu instead of {device}"
            )
        return torch_loop.train(training, data, report, device=device), "torch"

    store, monitor = context.store, context.monitor
    if not _loaded.is_set():
        prepare(store, monitor.check, monitor.say)
    from lottery_core.training import calibration, sparse_loop

    costs = calibration.costs_of(recipe, data, store, monitor.check, monitor.say)
    if loop == "auto" and costs.faster(training.usual_mask) == "torch":
        return torch_loop.train(training, data, report), "torch"
    return sparse_loop.train(training, data, report, forms=costs.forms), "compiled"


def prepare(
    store: Store,
    check: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda words: None,
) -> None:
    """Load the compiled loop, compiled first if this machine never did; returns when it is
    there. In another process, so that this one's interpreter stays free, and no nicer than this
    one, as levels are the slower until it is done; of all processes that ask, one compiles. What
    is compiled is kept in the store's folder. Raises `CannotCompile` and `StoreUnavailable`."""
    if _loaded.is_set():
        return
    if not kept.is_ready(store.root):
        say("compiling the training loop, once on this machine, about a minute")
    with store.held(f"compile-{kept.tag()}", check):
        if not kept.is_ready():
            given = [str(os.getpid()), str(kept.place())]
            command = [sys.executable, "-m", "lottery_core.training.loops", *given]
            # Not our output: who reads that to its end would wait for the compiler.
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            with subprocess.Popen(command, **quiet, stderr=subprocess.PIPE) as compiler:
                try:
                    while True:
                        try:
                            _, errors = compiler.communicate(timeout=0.2)
                            break
                        except subprocess.TimeoutExpired:
                            check()
                except BaseException:
                    compiler.kill()
                    raise
            if compiler.returncode != 0:
                raise kept.CannotCompile(
                    "the compiled training loop could not be compiled here; choose loop=torch. "
                    f"The compiler said: {errors.decode(errors='replace').strip()[-500:]}"
                )
    _load()
    _loaded.set()


def _load() -> None:
    """Call all compiled code once, on networks of two units."""
    from lottery_core.training import sparse_loop
    from lottery_core.training.models import initial_weights

    for network in ("2", "2 pool 2"):
        recipe = Recipe(network=network, validation_size=0, batch_size=8, iterations=1)
        mask = {name: np.ones(shape, bool) for name, shape in recipe.shapes.items()}
        pixels = np.zeros((8, math.prod(recipe.net.input)), np.uint8)
        images, labels = Images.of(pixels, "half", np.zeros(256, np.float32)), np.zeros(8, np.int64)
        none = np.arange(0)
        data = Data(images, labels, np.arange(60_000) % 8, none, images, labels, "")
        weights = initial_weights(recipe)
        sparse_loop.train(Training(recipe, weights, mask), data, lambda moment: None)
        trained = sparse_loop.packed(recipe, weights, mask)
        trained.rehearsal(list(mask)[-1])[0](1)
        trained.predict(images[:])


if __name__ == "__main__":
    if len(sys.argv) > 1:  # by `prepare`: for that process, and where it says
        follow(int(sys.argv[1]))
        kept.place(Path(sys.argv[2]))
    try:
        with explained(kept.place()):
            _load()
            kept.mark_ready()
    except StoreUnavailable as error:
        sys.exit(str(error))
