"""A progress bar of an experiment, in a terminal or a notebook."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lottery_core.spec.experiment import Experiment
from lottery_core.store import LevelProgress, Store

_EVERY = 0.3  # seconds between two looks
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)


@contextmanager
def bar(
    console: Console, store: Store, experiment: Experiment, finished: Sized, words: str = ""
) -> Iterator[None]:
    """Inside, a bar shows how far the level in training is, after `words`; what is printed on the
    `console` stands beside it. `finished` holds the levels that are done, as they come. Where
    nobody looks, as in a file, there is none.
    """
    hidden = console.is_jupyter or not console.is_terminal
    with Progress(*_COLUMNS, console=console, transient=True, disable=hidden) as shown:
        task = shown.add_task(f"{words}level 0", total=experiment.iterations(0))
        ended = threading.Event()
        draw = _drawn_in_notebook(shown) if console.is_jupyter else None

        def follow() -> None:
            # The bar reads the store, as a page does.
            while not ended.wait(_EVERY):
                n = min(len(finished), len(experiment.rounds))
                progress = store.read_progress(experiment.keys[n])
                done = progress.iteration if isinstance(progress, LevelProgress) else 0
                of = f"{words}level {n} of {len(experiment.rounds)}"
                shown.update(task, description=of, completed=done, total=experiment.iterations(n))
                if draw:
                    draw(shown.get_renderable())

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()
            if draw:
                draw("")


def _drawn_in_notebook(shown: Progress) -> Callable[[object], None]:
    """What draws a notebook's bar anew in its place. rich's own way needs ipywidgets."""
    from IPython.display import HTML, display

    place = display(shown.get_renderable(), display_id=True)
    return lambda drawn: place.update(drawn or HTML(""))
