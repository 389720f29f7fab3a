"""How large a network is, or what is kept on a disk, as it is written everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from lottery_core.spec.rounds import Round


def size_in_words(percent: float) -> str:
    """Weights remaining in percent of all: "12.5 %", to three digits."""
    return f"{percent:.3g}\u202f%"


def as_percent(fraction: float, decimals: int = 1) -> str:
    """A part of a whole, as an accuracy: "96.1 %"."""
    return f"{100 * fraction:.{decimals}f}\u202f%"


def schedule_in_words(rounds: Sequence[Round]) -> str:
    """ "6 rounds to 1.56 % of the weights", of one round or more."""
    many = f"{len(rounds)} round{'s' if len(rounds) > 1 else ''}"
    return f"{many} to {size_in_words(100 * (1 - rounds[-1].sparsity))} of the weights"


def bytes_in_words(count: int) -> str:
    """ "512 bytes", "1.23 MB", to three digits; MB are millions."""
    if count < 1000:
        return f"{count}\u202fbytes"
    value, unit = float(count), ""
    for unit in ("kB", "MB", "GB", "TB"):  # noqa: B007 - the last that is needed
        value /= 1000
        if value < 999.5:
            break
    return f"{value:.3g}\u202f{unit}"
