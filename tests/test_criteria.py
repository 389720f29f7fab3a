"""What each criterion scores, where its images come from, and that all prune exactly."""

import math
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from lottery_core.data import Data, Images
from lottery_core.method.budgets import BUDGETS, kept_by
from lottery_core.method.criteria import CRITERIA, Criterion
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import apply, dense_mask
from lottery_core.method.seeds import seed_of
from lottery_core.running.engine import run
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.fields import FIELDS
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, rounds_of
from lottery_core.spec.symmetries import axes_of
from lottery_core.spec.terms import SCOPES
from lottery_core.training import gradients, per_image
from lottery_core.training.context import Context
from lottery_core.training.gradients import Slopes
from lottery_core.training.models import initial_weights
from tests.images import unreadable
from tests.rounds import prune

pytestmark = pytest.mark.usefixtures("judged_on_few")

RECIPE = Recipe(network="6 5")
NAMES = list(RECIPE.shapes)
NO_DATA = None  # whatever looks at it fails
WITH_IMAGES = ("gradient-weight", "snip", "grasp", "obd", "woodfisher", "wanda", "unit-gradient")
OF_WEIGHTS = [name for name, known in CRITERIA.items() if not known.takes_units]
each_criterion = pytest.mark.parametrize("criterion", CRITERIA)
each_of_weights = pytest.mark.parametrize("criterion", OF_WEIGHTS)
each_scope = pytest.mark.parametrize("scope", SCOPES)


@pytest.fixture(scope="module")
def data():
    """Training images of all classes, and held-out and test images that no number comes from."""
    source = np.random.default_rng(1)
    images = Images(
        source.integers(0, 256, (3_000, 784), np.uint8),
        source.normal(size=256).astype(np.float32),
        np.ones(3_000, np.float32),
    )
    labels = source.integers(0, 10, 3_000)
    order = source.permutation(3_000)
    train, held_out = np.sort(order[:2_000]), np.sort(order[2_000:])
    images, labels[held_out] = unreadable(images, held_out), 99
    nothing = unreadable(images.take(held_out[:100]))
    return Data(images, labels, train, held_out, nothing, np.full(100, 99), "drawn")


@pytest.fixture
def evidence(data):
    """A network as it might look after a round at 30 %, with a few ties and zeros."""
    initial, trained = initial_weights(RECIPE), initial_weights(RECIPE, "as if trained")
    source = np.random.default_rng(1)
    mask = {name: source.random(shape) < 0.7 for name, shape in RECIPE.shapes.items()}
    trained["fc2.weight"][0] = 0.1
    trained["fc3.weight"][0] = 0.0
    return Evidence(
        initial,
        apply(trained, mask),
        mask,
        seed=2,
        slopes=Slopes(RECIPE, data, 3),
        axes=axes_of(RECIPE.net),
    )


def scores(criterion, evidence):
    return CRITERIA[criterion].score(evidence)


# What is scored

DEFINITIONS = {
    "magnitude": lambda i, f: abs(f),
    "magnitude-initial": lambda i, f: abs(i),
    "magnitude-increase": lambda i, f: abs(f) - abs(i),
    "movement": lambda i, f: abs(f - i),
    "small-final": lambda i, f: -abs(f),
    "small-initial": lambda i, f: -abs(i),
    "magnitude-same-sign": lambda i, f: max(0, i * f / abs(i)),
    "magnitude-different-sign": lambda i, f: max(0, -i * f / abs(i)),
}


@pytest.mark.parametrize("criterion", DEFINITIONS)
def test_a_score_of_two_magnitudes_is_its_formula(criterion, evidence):
    for name, values in scores(criterion, evidence).items():
        for at in np.ndindex(values.shape):
            initial, final = evidence.initial[name][at], evidence.trained[name][at]
            assert values[at] == pytest.approx(DEFINITIONS[criterion](initial, final), rel=1e-6)


@pytest.mark.parametrize(
    ("criterion", "sign"), [("large-initial-large-final", 1), ("small-both", -1)]
)
@pytest.mark.parametrize("kept", [1, 30, 200, 1_500])
def test_large_or_small_in_both_cuts_both_magnitudes_at_one_percentile(criterion, sign, kept):
    source = np.random.default_rng(kept)
    initial, final = source.uniform(-1, 1, (40, 50)), source.normal(0, 30, (40, 50))
    mask = {"fc1.weight": np.ones((40, 50), bool)}
    evidence = Evidence({"fc1.weight": initial}, {"fc1.weight": final}, mask)
    sparsity = 1 - kept / 2_000
    found = prune(evidence, Round(sparsity, sparsity, criterion=criterion))["fc1.weight"]
    assert found.sum() == kept
    # Raise the percentile until no more than `kept` pass both cuts: those are of ours.
    one, two = (np.sort(sign * abs(values).ravel()) for values in (initial, final))
    for cut in range(2_000):
        passed = (sign * abs(initial) >= one[cut]) & (sign * abs(final) >= two[cut])
        if passed.sum() <= kept:
            break
    assert kept - passed.sum() <= 1  # two weights may reach one percentile
    assert not (passed & ~found).any()


def test_the_scale_of_trained_weights_is_of_no_account_to_large_in_both(evidence):
    larger = replace(
        evidence, trained={name: 64 * values for name, values in evidence.trained.items()}
    )
    for criterion in ("large-initial-large-final", "small-both"):
        one, other = scores(criterion, evidence), scores(criterion, larger)
        assert all(np.array_equal(one[name], other[name]) for name in NAMES)


def test_random_scores_repeat_with_their_seed_and_change_with_it(evidence):
    one, again = scores("random", evidence), scores("random", evidence)
    other = scores("random", replace(evidence, seed=4))
    for name in NAMES:
        assert np.array_equal(one[name], again[name])
        assert not np.isin(one[name], other[name]).any()


# Against torch


def loss_of(evidence, weights, index):
    """(mean cross-entropy, the masked weights as leaves), in a few lines of double precision."""
    logits, leaves = logits_of(evidence, weights, index)
    return F.cross_entropy(logits, torch.tensor(evidence.slopes.data.labels[index])), leaves


def logits_of(evidence, weights, index):
    leaves = [
        torch.tensor(weights[name] * evidence.mask[name], dtype=torch.float64, requires_grad=True)
        for name in NAMES
    ]
    values = torch.tensor(evidence.slopes.data.images[index], dtype=torch.float64)
    for name, leaf in zip(NAMES, leaves, strict=True):
        bias = torch.tensor(weights[name.replace("weight", "bias")], dtype=torch.float64)
        values = (values.relu() if name != NAMES[0] else values) @ leaf.T + bias
        if name != NAMES[-1]:
            assert values.abs().min() > 5e-6  # no ReLU that float32 opens and this does not
    return values, leaves


def drawn(data, seed):
    return np.random.default_rng(seed).permutation(data.train_index)


def assert_alike(found, expected, mask):
    assert list(found) == NAMES
    for (name, values), other in zip(found.items(), expected, strict=True):
        kept = mask[name]
        scale = np.abs(other[kept]).max()
        assert values[kept] == pytest.approx(other[kept], rel=1e-4, abs=1e-5 * scale), name
        assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("criterion", "weights"), [("gradient-weight", "trained"), ("snip", "initial")]
)
def test_weight_times_gradient_is_torchs_on_a_thousand_training_images(
    criterion, weights, evidence, data
):
    loss, leaves = loss_of(evidence, getattr(evidence, weights), drawn(data, 3)[:1_000])
    gradients = torch.autograd.grad(loss, leaves)
    expected = [(w * g).abs().detach().numpy() for w, g in zip(leaves, gradients, strict=True)]
    assert_alike(scores(criterion, evidence), expected, evidence.mask)


def test_optimal_brain_damage_is_half_of_curvature_times_weight_squared(
    evidence, data, monkeypatch
):
    """On a thousand training images of ten classes (here a hundred); the definition goes by the
    second derivatives of the loss by the logits: p's diagonal less its product with itself."""
    assert gradients.GRADIENTS / 10 == 1_000
    monkeypatch.setattr(gradients, "GRADIENTS", 1_000)
    expected = [0.0] * len(NAMES)
    for image in drawn(data, 3)[:100]:
        (logits,), leaves = logits_of(evidence, evidence.trained, [image])
        slopes = [torch.autograd.grad(z, leaves, retain_graph=True) for z in logits]
        p = logits.detach().softmax(0)
        for n, parts in enumerate(zip(*slopes, strict=True)):
            by_class = torch.stack(parts)
            second = torch.einsum("coi,cd,doi->oi", by_class, p.diag() - p.outer(p), by_class)
            expected[n] += second / 100
    halves = [(h * w.square() / 2).detach().numpy() for h, w in zip(expected, leaves, strict=True)]
    found = scores("obd", evidence)
    assert_alike(found, halves, evidence.mask)
    assert all((values >= 0).all() for values in found.values())


def test_woodfisher_is_half_of_weight_squared_over_the_diagonal_of_the_inverse(evidence, data):
    """The blocks and their inverses: tests/test_per_image.py."""
    chosen = drawn(data, 3)[:1_000]
    inverse = per_image.inverse_fisher(
        RECIPE,
        evidence.trained,
        evidence.mask,
        torch.from_numpy(data.images[chosen]),
        torch.from_numpy(data.labels[chosen]),
    )
    expected = [np.float64(evidence.trained[name]) ** 2 / (2 * inverse[name]) for name in NAMES]
    assert_alike(scores("woodfisher", evidence), expected, evidence.mask)


def test_wanda_is_magnitude_times_the_norm_of_what_is_read(evidence, data):
    values = np.float64(data.images[drawn(data, 3)[:1_000]])
    expected = []
    for name in NAMES:
        weights = np.float64(evidence.trained[name])
        expected.append(abs(weights) * np.sqrt((values**2).sum(0)))
        bias = evidence.trained[name.replace("weight", "bias")]
        values = np.maximum(values @ weights.T + bias, 0)
    assert_alike(scores("wanda", evidence), expected, evidence.mask)


def grasp_loss(evidence, data):
    order = drawn(data, 3)
    index = [i for label in range(10) for i in order[data.labels[order] == label][:25]]
    assert len(index) == 250
    return loss_of(evidence, evidence.initial, index)


def kept_gradients(evidence, loss, leaves):
    found = torch.autograd.grad(loss, leaves, create_graph=True)
    return [g * torch.tensor(evidence.mask[n]) for n, g in zip(NAMES, found, strict=True)]


def test_grasp_is_torchs_product_of_hessian_and_gradient(evidence, data):
    loss, leaves = grasp_loss(evidence, data)
    gradients = kept_gradients(evidence, loss, leaves)
    stopped = [gradient.detach() for gradient in gradients]
    product = sum((g * s).sum() for g, s in zip(gradients, stopped, strict=True))
    hessian = torch.autograd.grad(product, leaves)
    expected = [(w * h).detach().numpy() for w, h in zip(leaves, hessian, strict=True)]
    assert_alike(scores("grasp", evidence), expected, evidence.mask)


def test_grasp_removes_what_the_gradient_flow_loses_least_by(evidence, data):
    loss, leaves = grasp_loss(evidence, data)
    before = sum(g.square().sum() for g in kept_gradients(evidence, loss, leaves)).item()

    def flow_with_less_of(name, at):
        less = {key: values.astype(np.float64) for key, values in evidence.initial.items()}
        less[name][at] *= 1 - 1e-4
        shrunk = replace(evidence, initial=less)
        return sum(
            g.square().sum() for g in kept_gradients(shrunk, *grasp_loss(shrunk, data))
        ).item()

    found = scores("grasp", evidence)
    flat = np.where(evidence.mask["fc2.weight"], found["fc2.weight"], np.nan)
    least, most = (
        np.unravel_index(pick(flat), flat.shape) for pick in (np.nanargmin, np.nanargmax)
    )
    for at in (least, most):
        change = flow_with_less_of("fc2.weight", at) - before
        assert change / 1e-4 == pytest.approx(-2 * flat[at], rel=1e-2)
    assert flow_with_less_of("fc2.weight", least) > flow_with_less_of("fc2.weight", most)
    later = prune(evidence, Round(0.6, 0.6, criterion="grasp"))["fc2.weight"]
    assert later[most]
    assert not later[least]


def synflow_by_torch(evidence):
    leaves = [
        torch.tensor(abs(evidence.initial[name]) * evidence.mask[name], dtype=torch.float64)
        for name in NAMES
    ]
    values = torch.ones(1, 784, dtype=torch.float64)
    for leaf in leaves:
        values = (values @ leaf.requires_grad_().T).relu()
    gradients = torch.autograd.grad(values.sum(), leaves)
    return [(w * g).detach().numpy() for w, g in zip(leaves, gradients, strict=True)]


def test_synflow_is_torchs_gradient_of_the_network_of_absolute_weights(evidence):
    assert_alike(scores("synflow", evidence), synflow_by_torch(evidence), evidence.mask)


def test_synflow_scores_of_a_layer_add_up_to_those_of_any_other(evidence):
    totals = [values.sum() for values in scores("synflow", evidence).values()]
    assert totals == pytest.approx([totals[0]] * len(totals))


@each_scope
def test_synflow_takes_a_hundred_steps_of_one_factor_and_scores_anew_in_each(evidence, scope):
    step = Round(0.9, 0.9, scope, "synflow")
    pools = [NAMES] if scope == "global" else [[name] for name in NAMES]
    budget = scope in BUDGETS and kept_by(scope, 479, evidence.mask)
    mask = evidence.mask
    for k in range(1, 101):
        at_once = dict(zip(NAMES, synflow_by_torch(replace(evidence, mask=mask)), strict=True))
        mask = {name: mask[name].copy() for name in NAMES}
        for names in pools:
            total = sum(mask[name].size for name in names)
            before = sum(int(evidence.mask[name].sum()) for name in names)
            after = budget[names[0]] if budget else total - math.floor(0.9 * total + 1e-6)
            left = round(before ** (1 - k / 100) * after ** (k / 100))
            flat = sorted(
                (at_once[name][at], NAMES.index(name), at)
                for name in names
                for at in zip(*np.nonzero(mask[name]), strict=True)
            )
            for _, layer, at in flat[: len(flat) - left]:
                mask[NAMES[layer]][at] = False
    found = prune(evidence, step)
    assert all(np.array_equal(found[name], mask[name]) for name in NAMES)


def test_synflow_leaves_every_layer_something_where_one_step_would_not(monkeypatch):
    recipe = Recipe(network="100 100")
    weights, step = initial_weights(recipe), Round(0.998, 0.998, "global", "synflow")
    slopes = Slopes(recipe, NO_DATA, 0)
    evidence = Evidence(weights, weights, dense_mask(recipe.shapes), slopes=slopes)
    assert all(kept.any() for kept in prune(evidence, step).values())
    monkeypatch.setitem(CRITERIA, "synflow", replace(CRITERIA["synflow"], steps=1))
    assert not all(kept.any() for kept in prune(evidence, step).values())


# Exactly


def removed(mask):
    return [int((~kept).sum()) for kept in mask.values()]


def assert_exact(evidence, step, later):
    for name, kept in later.items():
        assert kept.dtype == bool
        assert kept.shape == evidence.mask[name].shape
        assert not (kept & ~evidence.mask[name]).any()
    before = removed(evidence.mask)
    sizes = [kept.size for kept in later.values()]
    if step.scope != "layerwise":
        assert sum(removed(later)) == max(math.floor(step.sparsity * sum(sizes)), sum(before))
    else:
        rates = [target.sparsity for target in step.targets([*later])]
        expected = zip(rates, sizes, before, strict=True)
        assert removed(later) == [max(math.floor(r * n + 1e-9), b) for r, n, b in expected]


# Of each criterion every scope with every sparsity, of weights that are drawn or all alike in turn.
TARGETS = [
    (criterion, scope, sparsity, "alike" if (a + b + c) % 2 else "drawn")
    for a, criterion in enumerate(OF_WEIGHTS)
    for b, scope in enumerate(SCOPES)
    for c, sparsity in enumerate((0.25, 0.5, 0.75, 0.96875))
]


@pytest.mark.parametrize(("criterion", "scope", "sparsity", "weights"), TARGETS)
def test_exactly_its_count_goes_and_pruned_stay_pruned(
    criterion, scope, sparsity, weights, evidence
):
    if weights == "alike":
        same = {name: np.full_like(w, 0.25) for name, w in evidence.initial.items()}
        evidence = replace(evidence, initial=same, trained=apply(same, evidence.mask))
    step = Round(sparsity, sparsity, scope, criterion)
    assert_exact(evidence, step, prune(evidence, step))


@each_of_weights
def test_each_layer_has_the_sparsity_its_round_names(criterion, evidence):
    step = Round(0.5, 0.4, criterion=criterion, layers=(("fc2.weight", 0.8),))
    later = prune(evidence, step)
    assert_exact(evidence, step, later)
    assert removed(later)[1] == 24


@each_of_weights
@each_scope
def test_a_layer_of_which_nothing_is_left_is_no_obstacle(criterion, scope, evidence):
    mask = evidence.mask | {"fc2.weight": np.zeros((5, 6), bool)}
    evidence = replace(evidence, mask=mask, trained=apply(evidence.trained, mask))
    step = Round(0.75, 0.75, scope, criterion)
    assert_exact(evidence, step, prune(evidence, step))


# Images and chance tell equal weights apart.
@pytest.mark.parametrize("criterion", [c for c in OF_WEIGHTS if c not in (*WITH_IMAGES, "random")])
def test_weights_that_tie_go_in_order_of_position(criterion):
    class Alike:
        def of_synaptic_flow(self, weights, mask):
            return mask

    same = {"fc1.weight": np.full((4, 5), 0.5, np.float32)}
    evidence = Evidence(same, same, dense_mask({"fc1.weight": (4, 5)}), slopes=Alike())
    later = prune(evidence, Round(0.35, 0.35, criterion=criterion))
    assert later["fc1.weight"].ravel().tolist() == [False] * 7 + [True] * 13


@given(st.data())
def test_the_lowest_scores_go_in_order_of_position_as_sorting_would_find_them(drawing):
    few = st.sampled_from([0.0, -0.0, 0.5, -1.0, 2.0])
    values = np.array(drawing.draw(st.lists(few, min_size=1, max_size=40)))
    kept = np.array(drawing.draw(st.lists(st.booleans(), min_size=40, max_size=40)))[: values.size]
    sparsity = drawing.draw(st.integers(0, 99)) / 100
    weights = {"fc1.weight": values[None]}
    evidence = Evidence(weights, weights, {"fc1.weight": kept[None]})
    later = prune(evidence, Round(sparsity, sparsity, restart="keep"))["fc1.weight"][0]
    order = sorted(np.flatnonzero(kept), key=lambda i: (abs(values[i]), i))
    count = max(0, math.floor(sparsity * values.size + 1e-9) - int((~kept).sum()))
    assert set(np.flatnonzero(kept & ~later)) == set(order[:count])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_scores_that_cannot_be_ranked_are_an_error(evidence, wrong):
    evidence.trained["fc2.weight"][1, 2] = wrong
    message = r"^criterion=magnitude gives 1 of 30 weights of fc2\.weight a score .* choose another"
    with pytest.raises(ValueError, match=message):
        prune(evidence, Round(0.5, 0.5))


# What is looked at


@each_criterion
def test_a_criterion_reads_what_it_says_it_reads(criterion, evidence):
    def changed(part):
        others = initial_weights(RECIPE, "others")
        others = apply(others, evidence.mask) if part == "trained" else others
        one, other = (scores(criterion, e) for e in (evidence, replace(evidence, **{part: others})))
        return any(not np.array_equal(one[name], other[name]) for name in one)

    read = [part for part in ("initial", "trained") if changed(part)]
    assert {"initial": ["initial"], "trained": ["trained"], "neither": []}.get(
        CRITERIA[criterion].reads, ["initial", "trained"]
    ) == read
    assert isinstance(CRITERIA[criterion], Criterion)
    assert CRITERIA[criterion].title


def test_a_menu_of_criteria_goes_by_groups_and_says_a_sentence_of_each():
    assert next(iter(CRITERIA)) == "magnitude"
    groups = [known.group for known in CRITERIA.values()]
    assert len([*groupby(groups)]) == len({*groups})
    for name, known in CRITERIA.items():
        assert FIELDS["criterion"].words_of(name) == f"{known.title} · {known.group}"
        assert known.summary.startswith(("Weights ", "The opposite ", "Every weight ", "Whole "))


@each_criterion
def test_nothing_that_is_handed_in_is_changed(criterion, evidence):
    def bits():
        parts = (evidence.initial, evidence.trained, evidence.mask)
        return [values.tobytes() for part in parts for values in part.values()]

    before = bits()
    prune(evidence, Round(0.5, 0.5, criterion=criterion))
    assert bits() == before


@each_of_weights
def test_a_weight_that_is_gone_has_no_say(criterion, evidence):
    """But at its own place: by percentiles, gradients or flow it could reach the survivors."""
    other = {
        name: np.where(evidence.mask.get(name, True), values, np.float32(9))
        for name, values in evidence.initial.items()
    }
    one, two = scores(criterion, evidence), scores(criterion, replace(evidence, initial=other))
    for name, kept in evidence.mask.items():
        assert np.array_equal(one[name][kept], two[name][kept])


@pytest.mark.parametrize("criterion", WITH_IMAGES)
def test_only_training_images_are_looked_at(criterion, evidence, data):
    """Those held out and those of the test are NaN, their labels 99, in `data`."""
    labels = data.labels.copy()
    labels[data.validation_index] = 7
    readable = replace(data.images, lengths=np.ones(3_000, np.float32))
    others = replace(
        data,
        images=readable,
        labels=labels,
        test_images=readable.take(slice(100)),
        test_labels=np.zeros(100, int),
    )
    step = Round(0.5, 0.5, criterion=criterion)
    one = prune(evidence, step)
    two = prune(replace(evidence, slopes=Slopes(RECIPE, others, 3)), step)
    assert all(np.array_equal(one[name], two[name]) for name in NAMES)


@pytest.mark.parametrize("criterion", WITH_IMAGES)
def test_the_same_seed_draws_the_same_images_and_another_others(criterion, evidence, data):
    one, again, other = (
        scores(criterion, replace(evidence, slopes=Slopes(RECIPE, data, seed)))
        for seed in (3, 3, 4)
    )
    for name in one:
        assert np.array_equal(one[name], again[name])
        assert not np.array_equal(one[name], other[name])


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name not in WITH_IMAGES])
def test_the_others_look_at_no_image(criterion, evidence):
    assert scores(criterion, replace(evidence, slopes=Slopes(RECIPE, NO_DATA, 0)))


# In the procedure


@each_criterion
def test_every_criterion_runs_and_its_masks_are_those_of_its_evidence(criterion, store, mnist):
    recipe = Recipe(network="8", iterations=4, evaluate_every=4, batch_size=16)
    experiment = Experiment(recipe, rounds_of([0.5, 0.8], criterion=criterion))
    dense, *later = run(experiment, Context(store))
    before = dense
    for n, (step, level) in enumerate(zip(experiment.rounds, later, strict=True), 1):
        evidence = Evidence(
            dense.start,
            before.end,
            before.mask,
            seed_of(recipe.seed, "prune", n),
            Slopes(recipe, mnist, seed_of(recipe.seed, "criterion", n)),
            axes_of(recipe.net),
        )
        expected = prune(evidence, step)
        assert all(np.array_equal(level.mask[name], expected[name]) for name in expected)
        before = level
