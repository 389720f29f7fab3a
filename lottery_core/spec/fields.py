"""The one table of what a person can choose: links, the command line and the sidebar are made
from it. A new choice is a row here and a field, with its meaning, in `Choice`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from lottery_core.method.criteria import CRITERIA
from lottery_core.method.restart import RULES
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS
from lottery_core.spec.notation import NAMED
from lottery_core.spec.recipe import REWIND_PERCENTS
from lottery_core.spec.terms import AUGMENTATIONS, INITS, OPTIMISERS, SCOPES

SCHEDULES = {
    "iterative": "a fraction of what is left",
    "one-shot": "everything in one round",
    "until": "until accuracy falls",
    "list": "the sparsities I name",
}
# A ticket's own weights come with a file, which a link or a command of this kind can't name.
RESTARTS = tuple(name for name in RULES if name != "ticket")
UNITS = ("epochs", "iterations")
ADVANCED = "Advanced choices"
# Where the sidebar asks for a field, in this order.
GROUPS = ("Pruning schedule", "Rewind or not", "Data and network", "Training", ADVANCED)


@dataclass(frozen=True)
class Field:
    """One choice. `words` name it beside a widget, `more` explains it there and on the command
    line; `known` are the values one can name, with words for them where they have any; `item`
    reads one part of a list. With `percent` people see a fraction times 100.

    In the sidebar it is asked for in its `group` (in none: together with another field), in one
    line with the field that it stands `beside`, and only `when` another field, which comes before
    it, has one of the values named. `step` is that of a number's buttons; `example` stands in an
    empty text.
    """

    words: str
    more: str = ""
    known: Collection[str] = ()
    item: Callable[[str], object] | None = None
    percent: bool = False
    group: str = ADVANCED
    beside: str = ""
    when: tuple[str, ...] | None = None
    step: float | None = None
    example: str = ""

    @property
    def on_command_line(self) -> str:
        """What `--help` says of it."""
        listed = f"One of {', '.join(self.known)}." if self.known else ""
        return " ".join(filter(None, (self.more or f"{self.words}.", listed)))

    def words_of(self, value: str) -> str:
        """A known value in words."""
        words = self.known[value] if isinstance(self.known, Mapping) else value
        return words if isinstance(words, str) else words.title


def in_words(error: InvalidValue) -> str:
    """What is wrong with a field, in the unit in which people see it."""
    field = FIELDS.get(error.field)
    return error.in_percent(field.words) if field and field.percent else str(error)


def _factor(text: str) -> tuple[str, float]:
    layer, _, factor = text.partition("=")
    return layer.strip(), float(factor)


_SCHEDULE, _RESTART, _DATA, _TRAINING, _ = GROUPS
FIELDS = {
    "dataset": Field("Data set", known=DATASETS, group=_DATA),
    "content": Field(
        "Content", "SHA-256 of other files than the published ones, as a run printed it.",
        group="",
    ),
    "network": Field(
        "Network",
        f"A name ({', '.join(NAMED)}), or layers as in `64 64 pool 256 256`; a factor for all "
        "widths may follow: `vgg-16 x0.5`.",
        group=_DATA, example="64 64 pool 256 256",
    ),
    "schedule": Field("Schedule", known=SCHEDULES, group=_SCHEDULE),
    "rate": Field(
        "% per round", "Iterative: of the weights that are left.", percent=True,
        group=_SCHEDULE, when=("schedule", "iterative", "until"),
    ),
    "rounds": Field(
        "Rounds", "Iterative: number of rounds; until accuracy falls: at most so many.",
        group=_SCHEDULE, beside="rate", when=("schedule", "iterative", "until"),
    ),
    "fall": Field(
        "Points by which validation accuracy may fall",
        "Until accuracy falls: how far below the dense network's the accuracy on the validation "
        "images may be. The first level that is further below is the last; each seed stops for "
        "itself.",
        percent=True, group=_SCHEDULE, when=("schedule", "until"), step=0.1,
    ),
    "sparsity": Field(
        "% of weights to remove", "One-shot: the part that is removed.", percent=True,
        group=_SCHEDULE, when=("schedule", "one-shot"),
    ),
    "sparsities": Field(
        "% of all weights removed after each round", "List: cumulative fractions, 0.4,0.64,0.95",
        item=float, percent=True, group=_SCHEDULE, when=("schedule", "list"),
        example="40, 64, 78.4, 95",
    ),
    "restart": Field(
        "After each round the survivors restart from", known=RESTARTS, group=_RESTART
    ),
    "rewind_iteration": Field(
        "Iteration of dense training", "Iteration of level 0 to rewind to.", group=""
    ),
    "rewind_percent": Field(
        "Percent of dense training",
        f"The same in percent: one of {', '.join(map(str, REWIND_PERCENTS))}.",
        group="",
    ),
    "controls": Field(
        "Run beside it, to compare", "Arms to run beside it, or none.", known=ARMS,
        item=str.strip, group=_RESTART,
    ),
    "length": Field("Length", "Epochs or iterations, as the unit says.", group=_TRAINING),
    "unit": Field("in", "What the length counts.", known=UNITS, group=_TRAINING, beside="length"),
    "seed": Field(
        "Seed", "Initial weights, data order, split and controls follow from it.", group=_TRAINING
    ),
    "replicates": Field(
        "Seeds", "How many seeds, from the seed on: with more than one, curves have bands.",
        group=_TRAINING, beside="seed",
    ),
    "optimiser": Field("Optimiser", known=OPTIMISERS),
    "learning_rate": Field("Learning rate", step=0.0001),
    "momentum": Field("Momentum", "Of SGD.", when=("optimiser", "sgd"), step=0.1),
    "weight_decay": Field("Weight decay", step=0.0001),
    "warmup": Field("Warm-up", "Iterations until the learning rate is reached."),
    "decay_at": Field(
        "Iterations at which the rate falls", "Iterations at which the rate falls: 4000,6000",
        item=int, example="none",
    ),
    "decay_factor": Field("Factor by which it falls", step=0.1),
    "batch_size": Field("Batch size"),
    "evaluate_every": Field(
        "Evaluate every so many iterations", "Iterations; 0: five times an epoch."
    ),
    "validation_size": Field("Training images held out for validation"),
    "init": Field("Initial weights", known=INITS),
    "normalisation": Field("Normalisation", known=NORMALISATIONS),
    "augmentation": Field(
        "Training images are shown", "What happens to training images as they are shown.",
        known=AUGMENTATIONS,
    ),
    "scope": Field(
        "Scope of pruning",
        "What is ranked together, and how much of each layer goes. ERK: Evci et al. 2020 (arXiv "
        "1911.11134); balanced: Gadhikar et al. 2022 (arXiv 2210.02412). Both are of single "
        "weights; whole units go layerwise or global.",
        known=SCOPES,
    ),
    "output_factor": Field(
        "Output layer's rate, as a factor of the others'",
        "The output layer's rate, as a factor of the others'. 1: as the others (notebook). 0.5: "
        "half as fast (paper).",
        step=0.1,
    ),
    "conv_factor": Field(
        "Convolutions' rate, as a factor of the others'",
        "The convolutions' rate, as a factor of the fully connected layers'. 0.5 and 0.75 in the "
        "paper.",
        step=0.1,
    ),
    "layer_factors": Field(
        "Layers with a factor of their own", "Factors of single layers: fc1=1,fc2=0.5",
        item=_factor, example="fc1=1, fc2=0.5",
    ),
    "criterion": Field(
        "Prune first, by",
        known={name: f"{one.title} · {one.group}" for name, one in CRITERIA.items()},
    ),
}  # fmt: skip
