"""Words that a newcomer can't know, each in a plain sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word's `meaning`, in one sentence; `forms` is a pattern of how it stands in texts."""

    meaning: str
    forms: str


WORDS = {
    "P_m": Word("The percentage of all weights that a mask keeps, as the paper calls it.", "P_m"),
    "ERK": Word(
        "A budget that has each layer keep weights in proportion to the sum of its sides, so that "
        "small layers stay denser.",
        "ERK",
    ),
    "cross-entropy": Word(
        "The loss that training lowers: it is large where a network was sure of a wrong answer.",
        "cross-entropy|(?:training|validation|test) loss",
    ),
    "dense": Word("A network that still has all of its weights.", "dense"),
    "early stop": Word(
        "The iteration with the least loss on images held out: training longer only helps on the "
        "images it has seen.",
        "early stop",
    ),
    "edge-popup": Word(
        "Every weight keeps the value it began with and has a score; what is trained are the "
        "scores, and the greatest say which weights are there.",
        "edge-popup",
    ),
    "fine-tuned": Word(
        "Trained on after pruning, from the weights it has, without going back to earlier ones.",
        "fine-tun(?:ed|ing)",
    ),
    "iteration": Word(
        "One step of training: a small correction of the weights after a look at a few images.",
        "iterations?",
    ),
    "magnitude": Word("How far a weight is from zero, whatever its sign.", "magnitudes?"),
    "supermask": Word(
        "A mask that is trained in place of the weights, which keep the values they began with.",
        "learned masks?|supermasks?",
    ),
    "mask": Word("A list that says of each weight whether it is kept or pruned.", "masks?"),
    "pruned": Word("Set to zero for good.", "prun(?:ed|ing|e)"),
    "reinit": Word(
        "The same weights are kept, but they start from new random values, not from their own.",
        "(?:random )?reinit",
    ),
    "rewind": Word(
        "To put the weights that are kept back to the values they had at the beginning, or early "
        "in training.",
        "rewind(?:ing)?|rewound",
    ),
    "RigL": Word(
        "A network that is sparse all along: while it trains, small weights go and others come "
        "where the loss is steepest.",
        "RigL",
    ),
    "seed": Word("The number from which all chance in a run follows.", "seeds?"),
    "sparsity": Word(
        "The share of the weights that is pruned: at 90\u202f% one weight in ten is left.",
        "sparsity|sparsities",
    ),
    "ticket": Word(
        "A mask with the values its weights begin with; it wins if it trains as well as the whole "
        "network.",
        "(?:winning |rewound )?tickets?",
    ),
}
_PATTERNS = {
    name: re.compile(rf"\b(?:{one.forms})\b", re.IGNORECASE) for name, one in WORDS.items()
}


def places(text: str) -> list[tuple[int, int, str]]:
    """(begin, end, word) of the first place of each word that stands in a text, in their order."""
    found: list[tuple[int, int, str]] = []
    for name, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            begin, end = match.span()
            if all(end <= other[0] or begin >= other[1] for other in found):
                found.append((begin, end, name))
                break
    return sorted(found)
