"""A ticket that was brought along, trained here: the same or other data, optimiser, seeds.

It becomes an experiment of one round whose mask is the ticket's. Level 0 is the dense network of
the same recipe, and controls stand beside level 1 as beside any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lottery_core.findings.additions import check_work
from lottery_core.findings.lines import with_seed
from lottery_core.findings.replicates import Infos, difference_in_words, paired
from lottery_core.findings.verdict import verdict_in_words
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue, check_integer, check_known
from lottery_core.spec.datasets import DATASETS, Dataset
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_ITERATIONS, MAX_REPLICATES, MAX_SEED
from lottery_core.spec.networks import Network, network
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round
from lottery_core.spec.terms import OPTIMISERS
from lottery_core.store import Job, Level
from lottery_core.tickets.incoming import Upload

_USUAL_RATES = {"sgd": 0.05, "adam": 0.001}
# Arms that a ticket without a history can have; a random mask shows what the mask is worth.
CONTROLS = ("random-mask", "reinit")


def datasets_of(net: Network) -> list[str]:
    """Names of the data sets that a network with these weights can read: their images have as many
    channels, their answers as many classes, and, but for networks that end in a mean, the images
    have its size."""
    return [name for name, facts in [*DATASETS.items()] if _reads(net, facts)]


def _reads(net: Network, facts: Dataset) -> bool:
    try:
        return network(net.text, facts.image, facts.classes).shapes == net.shapes
    except InvalidValue:
        return False


def recipe_of(upload: Upload, origin: Level | None = None) -> Recipe:
    """What to train it with unless something else is chosen: the file's own recipe if it names
    one, else that of the level `origin` which has its mask (see `verify.origin`), with its seed;
    else the quick preset's with the ticket's network and the first data set that it can read.
    Raises `InvalidValue` where there is none."""
    known = upload.claims.get("experiment") or (origin.info.experiment if origin else None)
    if known:
        recipe = Experiment.from_dict(known).recipe
        if recipe.net.text == upload.network and recipe.shapes == upload.net.shapes:
            return recipe
    usual, fitting = PRESETS["quick"].choice.recipe(), datasets_of(upload.net)
    if not fitting:
        raise InvalidValue(
            "ticket",
            upload.name,
            f"is of a network for {_images(upload.net.input, upload.net.classes)}, and no data set "
            "here has such; add one, or bring the ticket of another network",
        )
    dataset = usual.dataset if usual.dataset in fitting else fitting[0]
    held_out = min(usual.validation_size, DATASETS[dataset].train_size // 10)
    return replace(usual, network=upload.network, dataset=dataset, validation_size=held_out)


def _images(image: Sequence[int], classes: int) -> str:
    return f"images of {'x'.join(map(str, image))} in {classes} classes"


def rate_of(recipe: Recipe, optimiser: str) -> float:
    """The learning rate to begin with: the recipe's own, or one usual for another optimiser."""
    return recipe.learning_rate if optimiser == recipe.optimiser else _USUAL_RATES[optimiser]


def adapted(
    recipe: Recipe,
    *,
    dataset: str | None = None,
    optimiser: str | None = None,
    learning_rate: float | None = None,
    iterations: int | None = None,
    seed: int | None = None,
) -> Recipe:
    """A recipe with those of its fields changed that are given, and with them what hangs on them:
    the rate and momentum on the optimiser, how often is evaluated and when the rate changes on
    the length. Raises `InvalidValue`."""
    check_known("optimiser", optimiser or recipe.optimiser, OPTIMISERS)
    changes: dict = {"learning_rate": rate_of(recipe, optimiser or recipe.optimiser)}
    if optimiser not in (None, recipe.optimiser):
        changes["momentum"] = 0.9 if optimiser == "sgd" else 0.0
    if iterations not in (None, recipe.iterations):
        check_integer("iterations", iterations, 1, MAX_ITERATIONS)
        part = iterations / recipe.iterations
        changes["evaluate_every"] = max(1, round(recipe.evaluate_every * part))
        changes["warmup"] = min(recipe.warmup, iterations)
        changes["decay_at"] = tuple(step for step in recipe.decay_at if step < iterations)
    if dataset not in (None, recipe.dataset):
        changes["content"] = ""
    given = {
        "dataset": dataset,
        "optimiser": optimiser,
        "learning_rate": learning_rate,
        "iterations": iterations,
        "seed": seed,
    }
    return replace(
        recipe, **changes | {k: value for k, value in given.items() if value is not None}
    )


def rewind_of(upload: Upload, recipe: Recipe) -> int:
    """At which iteration of the schedule the file's weights stand: where its own experiment
    rewound to, if the recipe has that iteration on its grid; else 0."""
    claimed = upload.claims.get("experiment")
    if not claimed or upload.restart is None:
        return 0
    rounds = Experiment.from_dict(claimed).rounds
    at = rounds[-1].rewind_iteration if rounds else 0
    return at if at in recipe.snapshot_iterations else 0


def experiment(upload: Upload, recipe: Recipe, *, own_weights: bool = True) -> Experiment:
    """The ticket under that recipe: from its own weights, or, if it has none or `own_weights`
    is False, from initial weights drawn with the recipe's seed. Raises `InvalidValue`."""
    if recipe.net.text != upload.network:
        raise InvalidValue(
            "network", recipe.network, f"is not the ticket's; choose {upload.network}"
        )
    if recipe.shapes != upload.net.shapes:
        facts = DATASETS[recipe.dataset]
        raise InvalidValue(
            "dataset",
            recipe.dataset,
            f"has {_images(facts.image, facts.classes)}, and the ticket's network reads "
            f"{_images(upload.net.input, upload.net.classes)}; choose such a data set",
        )
    gone = {name: int((~kept).sum()) for name, kept in upload.mask.items()}
    total, last = sum(gone.values()), recipe.output_layer
    if total in (0, recipe.weights_total):
        kept = "every weight: it is the dense network" if not total else "no weight"
        raise InvalidValue("ticket", upload.name, f"keeps {kept}; there is nothing to compare")
    own = own_weights and upload.restart is not None
    step = Round(
        _part(total, recipe.weights_total),
        _part(gone[last], upload.mask[last].size),
        restart="ticket" if own else "rewind",
        rewind_iteration=rewind_of(upload, recipe) if own else 0,
        ticket=upload.content_digest,
    )
    return Experiment(recipe, (step,))


def _part(gone: int, total: int) -> float:
    # Twelve digits, as every round has, and below 1, even of a layer that is gone altogether.
    return min(round(gone / total, 12), 1 - 1e-12)


def arms(
    upload: Upload,
    recipe: Recipe,
    *,
    replicates: int = 1,
    controls: Sequence[str] = ("random-mask",),
    own_weights: bool = True,
) -> dict[str, tuple[Experiment, ...]]:
    """What training it runs, by arm: the ticket under "main", then its controls; one experiment a
    seed, from the recipe's on. Raises `InvalidValue`."""
    check_integer("replicates", replicates, 1, MAX_REPLICATES)
    check_integer("seed", recipe.seed, 0, MAX_SEED - replicates + 1)
    for name in controls:
        check_known("controls", name, CONTROLS)
    first = experiment(upload, recipe, own_weights=own_weights)
    main = tuple(with_seed(first, recipe.seed + n) for n in range(replicates))
    found = {"main": main} | {name: tuple(map(ARMS[name].of, main)) for name in controls}
    check_work([one for arm in found.values() for one in arm])
    return found


@dataclass(frozen=True)
class Trial:
    """One way in which a ticket was trained: its arms by name, "main" first, over their seeds."""

    arms: Mapping[str, tuple[Experiment, ...]]

    @property
    def main(self) -> Experiment:
        """The ticket itself with the first of its seeds."""
        return self.arms["main"][0]


def trials(digest: str, jobs: Iterable[Job]) -> list[Trial]:
    """All trainings that `jobs` (newest first) speak of, of the ticket of that content; newest
    first."""
    found: dict[Experiment, dict[str, dict[int, Experiment]]] = {}
    for job in jobs:
        if job.task != "run" or f'"{digest}"' not in json.dumps(job.experiment):
            continue
        one = Experiment.known(job.experiment)
        if one is None:
            continue
        arms = found.setdefault(with_seed(one.trunk, 0), {"main": {}})
        arms.setdefault(one.control or "main", {})[one.recipe.seed] = one
    return [
        Trial({name: tuple(seeds[s] for s in sorted(seeds)) for name, seeds in arms.items()})
        for arms in found.values()
        if arms["main"]
    ]


def in_words(found: Mapping[str, Mapping[int, Infos]]) -> str:
    """What came of it, by arm and seed: against the dense network, then against each control.
    Each seed of "main" has both its levels."""
    main = found["main"]
    percent = next(iter(main.values()))[1].percent_remaining
    dense = {seed: infos[0].test_accuracy for seed, infos in main.items()}
    others = {"the dense network": dense} | {
        ARMS[name].title: _accuracies(runs) for name, runs in found.items() if name != "main"
    }
    gaps = [
        difference_in_words(paired(_accuracies(main), other), "the ticket", title, percent)
        for title, other in others.items()
        if other
    ]
    return " ".join([gaps[0], verdict_in_words(main, "brought ticket"), *gaps[1:]])


def _accuracies(runs: Mapping[int, Infos]) -> dict[int, float]:
    return {seed: infos[1].test_accuracy for seed, infos in runs.items() if len(infos) > 1}
