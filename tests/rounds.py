"""A round's pruning, as the engine asks for it."""

from lottery_core.method import pruning
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays
from lottery_core.spec.rounds import Round


def prune(evidence: Evidence, step: Round) -> Arrays:
    """The mask after a round."""
    return pruning.prune(evidence, step.criterion, step.targets([*evidence.mask]))
