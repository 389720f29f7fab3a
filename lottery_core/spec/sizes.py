"""How large a network is, as it is written everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from lottery_core.spec.rounds import Round


def size_in_words(percent: float) -> str:
    """Weights remaining in percent of all: "12.5 %", to three digits."""
    return f"{percent:.3g}\u202f%"


def schedule_in_words(rounds: Sequence[Round]) -> str:
    """ "6 rounds to 1.56 % of the weights", of one round or more."""
    many = f"{len(rounds)} round{'s' if len(rounds) > 1 else ''}"
    return f"{many} to {size_in_words(100 * (1 - rounds[-1].sparsity))} of the weights"
