"""What a speed measurement says of the catch, as curves, tables and two sentences: all of it
timed on the reader's own machine."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lottery_core.method.dynamics import DYNAMICS
from lottery_core.report.figures import BLUE, GREEN, GREY, ORANGE, Style
from lottery_core.report.time_figures import Times
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import as_percent, size_in_words
from lottery_core.store import LevelSpeed, Speed

WAYS = {
    "masked": ("masked dense tensors, plain torch", Style(ORANGE, "dash", "square")),
    "csr": ("torch.sparse CSR", Style(GREEN, "dashdot", "diamond")),
    "ours": ("compiled loop, here", Style(BLUE, "solid", "circle")),
    "products": ("dense matrix products alone", Style(GREY, "dot", "x")),
}


def percents(measured: Speed) -> list[float]:
    """Percent of weights remaining, level by level."""
    return [100 * row.kept / measured.total for row in measured.levels]


def epochs(measured: Speed) -> list[Times]:
    """Seconds of an epoch each way that was measured."""
    per_epoch = measured.iterations_per_epoch
    return [
        Times(
            name,
            percents(measured),
            [tuple(per_epoch * s for s in getattr(row.step, way)) for row in measured.levels],
            style,
        )
        for way, (name, style) in WAYS.items()
        if all(getattr(row.step, way) for row in measured.levels)
    ]


def cumulative(measured: Speed) -> list[Times]:
    """Seconds of training up to each level: masked and compiled by the measured steps, and
    what was recorded when the levels were trained, evaluation and files included."""
    rows = measured.levels
    curves = []
    for way in ("masked", "ours"):
        name, style = WAYS[way]
        seconds = [row.iterations * getattr(row.step, way).median for row in rows]
        curves.append(Times(name, percents(measured), _summed(seconds), style))
    curves.append(
        Times(
            f"as it was trained ({_loops(rows)}), with evaluation",
            percents(measured),
            _summed([row.seconds for row in rows]),
            Style(GREY, "dot", "triangle-up"),
        )
    )
    return curves


def _summed(seconds: list[float]) -> list[tuple[float, float, float]]:
    return [(total, total, total) for total in pd.Series(seconds).cumsum()]


def _loops(rows: Sequence[LevelSpeed]) -> str:
    return " and ".join(sorted({row.loop for row in rows}))


def answers_table(measured: Speed, row: LevelSpeed) -> pd.DataFrame:
    """One row per number of images answered at once: median times of both forms, images a
    second, and the ratio."""
    return pd.DataFrame(
        [
            {
                "images": batch,
                "dense": _short(times.dense.median),
                "ticket": _short(times.ticket.median),
                "faster": f"{times.dense.median / times.ticket.median:.1f}x",
                "dense, per second": _count(batch / times.dense.median),
                "ticket, per second": _count(batch / times.ticket.median),
            }
            for batch, times in row.forward.items()
        ]
    )


# The ways in which a network with whole units gone answers, in the order of a table.
_FORMS = {
    "dense": "dense, with zeros",
    "ticket": "its kept weights, compiled loop",
    "smaller": "smaller dense network",
    "unstructured": "unstructured ticket, compiled loop",
}


def smaller_table(row: LevelSpeed) -> pd.DataFrame | None:
    """Of a level of which whole units are gone one row a form: median time of an answer by the
    number of images at once, and how many times as fast as the dense one; None of another."""
    if not row.smaller:
        return None
    found = []
    for form, words in _FORMS.items():
        each = {batch: getattr(times, form) for batch, times in row.forward.items()}
        if not all(each.values()):
            continue
        cells = {"form": words}
        for batch, timed in each.items():
            ratio = row.forward[batch].dense.median / timed.median
            faster = "" if form == "dense" else f" ({ratio:.1f}x)"
            cells[_images(batch)] = f"{_short(timed.median)}{faster}"
        found.append(cells)
    return pd.DataFrame(found)


def smaller_in_words(row: LevelSpeed) -> str:
    """The smaller network of a level, and whether its answers come sooner than those of the dense
    one, and than an unstructured ticket's that is as accurate: sentences."""
    many = max(row.forward)
    times = row.forward[many]
    words = (
        f"Without the units that are gone the network is `{row.smaller}`, dense, with "
        f"{row.smaller_weights:,} weights. {_images(many)} take it {_short(times.smaller.median)} "
        f"in torch, where the dense network with zeros takes {_short(times.dense.median)}: "
        f"{_times(times.dense.median / times.smaller.median)}."
    )
    if one := row.unstructured:
        images = "validation" if one.on_validation else "test"
        words += (
            f" The unstructured ticket is level {one.level} of `{one.key[:8]}`, by magnitude: the "
            f"smallest one in the cache that names no fewer {images} images rightly "
            f"({as_percent(one.accuracy, 2)} to {as_percent(one.reached, 2)}), with "
            f"{one.kept:,} weights. It takes {_short(times.unstructured.median)}, so that the "
            f"smaller network is {_times(times.unstructured.median / times.smaller.median)}."
        )
    return words


def _images(count: int) -> str:
    return f"{count:,} image{'s' if count > 1 else ''}"


def size_table(measured: Speed, row: LevelSpeed) -> pd.DataFrame:
    """Bytes on disk and multiply-adds, dense and ticket."""
    size, dense = row.bytes, measured.levels[0]
    steps = measured.multiply_adds_step, row.multiply_adds_step
    # A record of before, of fully connected networks alone, does not say: it was a weight each.
    answers = (
        dense.multiply_adds_answer or measured.total,
        row.multiply_adds_answer if dense.multiply_adds_answer else row.kept,
    )
    pairs = {
        "On disk, float32; the ticket as its kept weights and one bit a weight": (
            _bytes(size.dense),
            _bytes(size.ticket),
            size.dense / size.ticket,
        ),
        "On disk, the same compressed (zeros take little)": (
            _bytes(size.dense_compressed),
            _bytes(size.ticket_compressed),
            size.dense_compressed / size.ticket_compressed,
        ),
        "Multiply-adds of an answer": (
            f"{answers[0]:,}",
            f"{answers[1]:,}",
            answers[0] / answers[1] if answers[1] else None,
        ),
        f"Multiply-adds of a training step of {measured.batch_size} images": (
            f"{steps[0]:,}",
            f"{steps[1]:,}",
            steps[0] / steps[1] if steps[1] else None,
        ),
    }
    return pd.DataFrame(
        [
            {
                "cost": name,
                "dense tensors, zeros included": dense,
                "ticket": ticket,
                "times less": "-" if ratio is None else f"{ratio:.1f}",
            }
            for name, (dense, ticket, ratio) in pairs.items()
        ]
    )


def layers_table(row: LevelSpeed) -> pd.DataFrame:
    """One row per layer: its part of a step with all weights and with those kept."""
    return pd.DataFrame(
        [
            {
                "layer": name.removesuffix(".weight"),
                "with all weights": _short(times.dense),
                "with those kept": _short(times.kept),
                "faster": f"{times.dense / times.kept:.1f}x" if times.kept else "-",
            }
            for name, times in row.layers.items()
        ]
    )


def last_mask_in_words(experiment: Experiment) -> str:
    """What a step under a level's last mask does not say of its training, as a sentence; empty
    where that mask was there from the beginning."""
    n = len(experiment.rounds)
    if experiment.supermask(n):
        return (
            "No weight of these levels was trained: what is timed are steps that train the weights "
            "under the masks that were learned. Learning a mask takes as long as dense training, "
            "or longer."
        )
    if not (rule := experiment.dynamics(n)):
        return ""
    words = (
        "The masks of these levels changed while they trained, and what is timed are steps under"
    )
    if DYNAMICS[rule].left:
        return (
            f"{words} the last ones. Their own training began with all weights, so that it took "
            "longer than these steps say."
        )
    return f"{words} the last ones, with as many weights as all before, without the changes."


def in_words(measured: Speed, ticket: LevelSpeed) -> tuple[str, str]:
    """Where sparse starts to pay, and by how much at the ticket's density (a row of
    `measured.levels`): two sentences."""
    rows, shares = measured.levels, percents(measured)
    dense = rows[0].step.ours
    # It pays where even the slowest repetition beats the fastest dense one, from there on down.
    pays = len(rows)
    while pays > 1 and rows[pays - 1].step.ours.most < dense.least:
        pays -= 1
    per_epoch = measured.iterations_per_epoch
    if pays == len(rows):
        first = (
            "On this machine sparse training does not pay at any density measured here: an "
            f"epoch of the compiled loop takes {_short(per_epoch * dense.median)} dense and "
            f"{_short(per_epoch * rows[-1].step.ours.median)} with {size_in_words(shares[-1])} of "
            "the weights."
        )
    else:
        first = (
            f"On this machine sparse starts to pay at {size_in_words(shares[pays])} of the "
            "weights: an epoch of the compiled loop takes "
            f"{_short(per_epoch * rows[pays].step.ours.median)} there and "
            f"{_short(per_epoch * dense.median)} dense."
        )
    ours, masked = ticket.step.ours.median, ticket.step.masked.median
    second = (
        f"At the ticket's {as_percent(ticket.kept / measured.total)} an epoch takes "
        f"{_short(per_epoch * ours)}, where masked dense tensors take "
        f"{_short(per_epoch * masked)}: {_times(masked / ours)}, and "
        f"{_times(dense.median / ours)} compared with the compiled loop on the dense network."
    )
    return first, second


def was_disturbed(measured: Speed) -> bool:
    """Whether something else kept the machine busy: most turns of some steps took half as long
    again as the fastest, or more."""
    steps = [step for row in measured.levels for step in (row.step.masked, row.step.ours)]
    return any(step.median > 1.5 * step.least for step in steps)


def _times(ratio: float) -> str:
    if 0.95 < ratio < 1.05:
        return "as fast"
    return f"{ratio:.1f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times as slow"


def _short(seconds: float) -> str:
    """A duration to three digits: 13.2 µs, 450 ms, 1.85 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            return f"{seconds / size:.3g}\u202f{unit}"
    raise AssertionError


def _count(number: float) -> str:
    """A large number to three digits: 512, 41.2 k, 5.33 M."""
    for unit, size in (("\u202fM", 1e6), ("\u202fk", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def _bytes(count: int) -> str:
    return f"{count / 1024:,.1f} KB"
