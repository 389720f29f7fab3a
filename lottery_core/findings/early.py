"""Early birds in words: when the mask of one stood still and was cut, and what is measured of the
masks that the dense network would have been given."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from lottery_core.method.dynamics import looks
from lottery_core.method.early import EPSILON, LOOKS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import Distances, LevelDistances, LevelInfo

RULE = "early-bird"


def cut_in_words(infos: Iterable[LevelInfo]) -> str:
    """When the masks of these levels, one a seed, settled and were cut: "cut at iteration 344,
    where its mask had settled"; empty of levels that are no early birds."""
    found = [(info, Experiment.from_dict(info.experiment)) for info in infos]
    found = [(info, one.recipe) for info, one in found if one.dynamics(info.level) == RULE]
    if not found:
        return ""
    recipe = found[0][1]
    last = looks(recipe.iterations, recipe.evaluate_every)[-1]
    settled = [info.settled for info, _ in found if info.settled is not None]
    if not settled:
        return f"cut at iteration {last:,}, the last look, without having settled"
    where = " to ".join(f"{at:,}" for at in sorted({min(settled), max(settled)}))
    words = f"cut at iteration {where}, where its mask had settled"
    if len(settled) < len(found):
        never = len(found) - len(settled)
        words += f"; in {never} of {len(found)} seeds at the last look, {last:,}, unsettled"
    return words


def name(one: LevelDistances, total: int) -> str:
    """The level whose size its masks have."""
    return f"level {one.level}, {size_in_words(_percent(one, total))} of weights"


def matrix(one: LevelDistances, total: int) -> list[list[float]]:
    """The distance between the masks of any two looks, as a fraction of all places."""
    rows, n = one.differing, len(one.differing)
    return [
        [0.0 if i == k else rows[max(i, k)][min(i, k)] / total for k in range(n)] for i in range(n)
    ]


def says_nothing(one: LevelDistances, total: int) -> bool:
    """Whether its masks keep so few weights that no two of them could be as far apart as the
    distance at which they count as settled."""
    return 2 * one.kept <= EPSILON * total


def settled_by_size(measured: Distances) -> tuple[list[float], list[int]]:
    """Percents of weights, and the iterations at which masks of that size had settled; of those
    that did and of which that says anything."""
    found = [
        (_percent(one, measured.total), one.settled)
        for one in measured.levels
        if one.settled is not None and not says_nothing(one, measured.total)
    ]
    return [percent for percent, _ in found], [at for _, at in found]


def in_words(measured: Distances) -> str:
    """When the masks of which size could have been told, in sentences."""
    if not measured.levels:
        return "This run prunes nothing, so there is no mask to be told early."
    end, total = measured.looks[-1], measured.total
    if len(measured.looks) < LOOKS:
        return (
            f"It takes {LOOKS} masks to see whether they stand still, and this training has "
            f"{len(measured.looks)} evaluations: choose more of them. One training, seed "
            f"{measured.seed}."
        )
    telling = [one for one in measured.levels if not says_nothing(one, total)]
    settled = [one for one in telling if one.settled is not None]
    parts = []
    if settled:
        first, last = (pick(settled, key=attrgetter("settled")) for pick in (min, max))
        when = f"from iteration {first.settled:,} of {end:,} on"
        if last.settled > first.settled:
            when += f" where it keeps {size_in_words(_percent(first, total))} of the weights, from "
            when += f"{last.settled:,} on where it keeps {size_in_words(_percent(last, total))}"
        parts.append(
            f"The mask that the dense network would be given stands still {when}: the newest of "
            f"{LOOKS} masks then differs from each of the four before it at less than "
            f"{_in_percent(EPSILON)} of all places"
        )
    if never := len(telling) - len(settled):
        parts.append(f"At {never} of {len(measured.levels)} sizes it never does")
    if few := len(measured.levels) - len(telling):
        parts.append(
            f"At {few} of {len(measured.levels)} sizes this says nothing: masks that keep "
            f"{_in_percent(EPSILON / 2)} of the weights or fewer are never further apart"
        )
    return f"{'. '.join(parts)}. One training, seed {measured.seed}."


def _in_percent(part: float) -> str:
    return f"{100 * part:.0f}\u202f%"


def _percent(one: LevelDistances, total: int) -> float:
    return 100 * one.kept / total
