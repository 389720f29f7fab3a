"""Between which networks a ticket's barriers are measured: its own trained weights at one end, and
at the other what its mask, on other weights or in another data order, comes to.

Where error does not rise on the straight line between two networks, they lie in one linearly
connected valley (Frankle et al. 2020, arXiv 1912.05671). A ticket retrained lies in that of the
network it was pruned from (Evci et al. 2022, arXiv 2010.03533), and a mask on other weights needs
its units matched to them before it fits (Adnan et al. 2025, arXiv 2505.05143).
"""

from __future__ import annotations

from lottery_core.spec.arms import at, has_ticket, title_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment

PRUNED = "pruned"  # the level before, cut by the ticket's mask and not trained again
# The other ends, in their order: arms, which keep the ticket's mask, and what it was pruned from.
ENDS = ("new-order", PRUNED, "reinit", "transplanted", "permuted")


def trained_ends(experiment: Experiment) -> dict[str, Experiment]:
    """The arms beside an experiment's last level that stand at the other ends, by name: a training
    each. Raises `InvalidValue` where that level is no rewound ticket."""
    if not has_ticket(experiment):
        raise InvalidValue(
            "experiment",
            title_of(experiment),
            "is no ticket with a dense network of its own; choose a run that prunes and rewinds",
        )
    names = [name for name in ENDS if name != PRUNED]
    if experiment.recipe.net.is_own:  # which units of it may change places is not known
        names.remove("permuted")
    return {name: at(name, experiment, len(experiment.rounds)) for name in names}
