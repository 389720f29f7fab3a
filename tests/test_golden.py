"""Masks that stay what they are: a change of meaning without a new version fails here.

No training is in them, and weights are drawn uniformly, so they hold on any processor.
"""

import pytest

from lottery_core.method.budgets import respread
from lottery_core.method.criteria import CRITERIA
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import dense_mask, reshuffle
from lottery_core.method.seeds import seed_of
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round
from lottery_core.spec.terms import INITS
from lottery_core.store import digest
from lottery_core.training.models import initial_weights
from tests.rounds import prune

# (network, criterion, scope): the mask's digest, and how many weights of each layer it keeps.
# Whoever changes one of these changes what a name means: raise that criterion's version, or that
# of the initialisation, so that nothing kept before answers for it.
GOLDEN = {
    ("10", "magnitude-initial", "layerwise"): ("503ba3ceb389", (3920, 50)),
    ("10", "magnitude-initial", "global"): ("0b1b0564e85c", (3878, 92)),
    ("10", "random", "layerwise"): ("6c029cc13bd0", (3920, 50)),
    ("10", "random", "global"): ("9dc89384ccbc", (3926, 44)),
    ("10", "random", "erk"): ("91c9f8e9b495", (3872, 98)),
    ("10", "random", "balanced"): ("4da10f669d45", (3870, 100)),
    ("2@3 pool 8", "magnitude-initial", "layerwise"): ("cc72f42baf66", (9, 1568, 40)),
    ("2@3 pool 8", "magnitude-initial", "global"): ("dae7656e2709", (18, 1531, 68)),
    ("2@3 pool 8", "random", "layerwise"): ("fca668642c7c", (9, 1568, 40)),
    ("2@3 pool 8", "random", "global"): ("465992e3fcac", (8, 1570, 39)),
    ("2@3 pool 8", "random", "erk"): ("b8d04a584738", (18, 1530, 69)),
}


def mask_of(network: str, criterion: str, scope: str):
    weights = initial_weights(recipe := Recipe(network=network))
    evidence = Evidence(weights, weights, dense_mask(recipe.shapes), 7)
    return prune(evidence, Round(0.5, 0.5, scope=scope, criterion=criterion))


@pytest.mark.parametrize("asked", GOLDEN, ids=" ".join)
def test_masks_stay_what_they_are(asked):
    assert CRITERIA[asked[1]].version == INITS["pytorch"].version == 1
    mask = mask_of(*asked)
    kept = tuple(int(part.sum()) for part in mask.values())
    assert (digest(mask)[:12], kept) == GOLDEN[asked]


def test_a_reshuffled_mask_stays_what_it_is():
    mask = reshuffle(mask_of("10", "magnitude-initial", "layerwise"), seed_of(0, "reshuffle", 1))
    assert digest(mask)[:12] == "7680ea595246"


def test_a_mask_by_a_budget_stays_what_it_is():
    mask = respread(mask_of("10", "magnitude-initial", "layerwise"), "erk")
    assert digest(reshuffle(mask, seed_of(0, "reshuffle", 1)))[:12] == "e6eba44a94e6"
