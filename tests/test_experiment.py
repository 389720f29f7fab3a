"""A value that exists is a value that can run, and its key says all of it and nothing else."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery_core.method.criteria import CRITERIA
from lottery_core.method.restart import RULES
from lottery_core.spec import keys, limits
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.keys import hashed
from lottery_core.spec.limits import MAX_ROUNDS, MAX_SEED
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round, iterative, one_shot, rounds_of
from lottery_core.spec.terms import INITS, OPTIMISERS, SCOPES

ROOT = Path(__file__).resolve().parents[1]

NOT_NUMBERS = [math.nan, math.inf, -math.inf, True, "1", None, [1], 10**400]
NOT_INTEGERS = [math.nan, math.inf, True, 1.0, "1", None, [1], 10**400, -(10**400)]
NUMBERS = {
    "learning_rate": [0, -0.1, 10.1],
    "momentum": [-0.1, 1],
    "weight_decay": [-0.1, 1.1],
}
INTEGERS = {
    "validation_size": [-1, limits.MAX_VALIDATION + 1],
    "batch_size": [0, -1, limits.MAX_BATCH + 1],
    "iterations": [0, -1, limits.MAX_ITERATIONS + 1],
    "evaluate_every": [0, -1, limits.MAX_ITERATIONS + 1],
    "seed": [-1, limits.MAX_SEED + 1],
}
NAMES = {
    "dataset": DATASETS,
    "normalisation": NORMALISATIONS,
    "init": INITS,
    "optimiser": OPTIMISERS,
}


def short(value):
    """A test's name says the value, but not all 400 digits of it."""
    return repr(value)[:20]


def refused(make, **fields):
    """The message with which one bad field is refused."""
    (field,) = fields
    with pytest.raises(InvalidValue) as caught:
        make(**fields)
    assert caught.value.field == field
    return str(caught.value)


def begins(field, value):
    """How a message about a value begins; a long value is cut."""
    shown = repr(value)
    return f"{field}={shown if len(shown) <= 80 else shown[:77]}"


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, wrong in NUMBERS.items() for value in [*wrong, *NOT_NUMBERS]],
    ids=short,
)
def test_a_number_out_of_its_range_is_refused_with_the_range(field, value):
    message = refused(Recipe, **{field: value})
    assert message.startswith(begins(field, value))
    assert "must be a number" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, wrong in INTEGERS.items() for value in [*wrong, *NOT_INTEGERS]],
    ids=short,
)
def test_a_count_out_of_its_range_is_refused_with_the_range(field, value):
    message = refused(Recipe, **{field: value})
    assert message.startswith(begins(field, value))
    assert "must be a whole number from" in message


@pytest.mark.parametrize("field", NAMES)
@pytest.mark.parametrize("value", ["", "Mnist", None, 3, ["mnist"], "x" * 10_000], ids=short)
def test_an_unknown_name_is_refused_with_the_known_ones(field, value):
    message = refused(Recipe, **{field: value})
    assert message.startswith(begins(field, value))
    assert message.endswith(f"is unknown; choose one of {', '.join(NAMES[field])}")
    assert len(message) < 300


@pytest.mark.parametrize(
    ("field", "ends"),
    [
        ("validation_size", [0, limits.MAX_VALIDATION]),
        ("network", ["none", "1", "2048", "1 1 1 1 1 1 1 1", "2048 2048 2048 2048"]),
        ("learning_rate", [1e-12, 10]),
        ("momentum", [0, 0.999]),
        ("weight_decay", [0, 1]),
        ("batch_size", [1, limits.MAX_BATCH]),
        ("iterations", [1, limits.MAX_ITERATIONS]),
        ("seed", [0, limits.MAX_SEED]),
    ],
)
def test_both_ends_of_every_range_are_allowed(field, ends):
    for value in ends:
        assert getattr(Recipe(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("network", "rule"),
    [
        (("128", "64"), "must be a text"),
        (128, "must be a text"),
        ("0", "has a width of 0; it must be from 1 to 2,048"),
        ("8 2049", "has a width of 2,049; it must be from 1 to 2,048"),
        ("8.5", "has '8.5', which is none of"),
        ("2048 2048 2048 2048 2048 2048", "weights; the limit is 20,000,000"),
    ],
    ids=short,
)
def test_networks_are_limited_in_width_and_weights(network, rule):
    assert rule in refused(Recipe, network=network)


def test_a_batch_is_limited_by_the_memory_that_its_network_takes():
    with pytest.raises(InvalidValue, match=r"^batch_size=4096 .* GB; choose at most [0-9]+$"):
        Recipe(network="vgg-16", batch_size=4096)
    assert Recipe(network="lenet-5", batch_size=4096).batch_size == 4096


def test_of_a_large_network_fewer_weights_are_kept_on_the_way():
    small, large = (Recipe(network=name, iterations=20_000) for name in ("128", "vgg-16"))
    assert len(small.snapshot_iterations) == 13
    assert large.snapshot_iterations == (0, 200, 400, 1_000)


def test_momentum_with_adam_is_refused_with_the_remedy():
    with pytest.raises(InvalidValue, match=r"momentum=0\.9 does not apply to Adam; set it to 0"):
        Recipe(optimiser="adam")


def test_too_many_evaluations_are_refused_with_the_smallest_interval_that_works():
    with pytest.raises(InvalidValue, match=r"evaluate_every=1 .*choose at least 4$"):
        Recipe(evaluate_every=1)
    assert Recipe(evaluate_every=4).evaluate_every == 4


@pytest.mark.parametrize("value", [1, -0.1, 1.5, *NOT_NUMBERS], ids=short)
def test_a_sparsity_lies_between_0_and_below_1(value):
    with pytest.raises(InvalidValue, match=r"^sparsity=.* must be a number at least 0 and below 1"):
        Round(value, 0.5)


@pytest.mark.parametrize("value", [1, -0.1, *NOT_NUMBERS], ids=short)
def test_an_output_sparsity_lies_between_0_and_below_1(value):
    with pytest.raises(InvalidValue, match=r"^output_sparsity=.* at least 0 and below 1$"):
        Round(0.5, value)


@pytest.mark.parametrize(
    ("field", "known"), [("scope", SCOPES), ("criterion", CRITERIA), ("restart", RULES)]
)
def test_an_unknown_word_in_a_round_is_refused_with_the_known_ones(field, known):
    with pytest.raises(InvalidValue) as caught:
        Round(0.5, 0.5, **{field: "sideways"})
    assert str(caught.value) == (f"{field}='sideways' is unknown; choose one of {', '.join(known)}")


@pytest.mark.parametrize("value", [-1, limits.MAX_ITERATIONS + 1, *NOT_INTEGERS], ids=short)
def test_a_rewinding_step_is_a_whole_number(value):
    with pytest.raises(InvalidValue, match=r"^rewind_iteration=.* must be a whole number from 0"):
        Round(0.5, 0.5, rewind_iteration=value)


@pytest.mark.parametrize("order", [-1, 0.5, True, 2**31])
def test_an_order_of_the_data_is_a_number_as_a_seed_is(order):
    with pytest.raises(InvalidValue, match=r"^order=.* must be a whole number from 0 to"):
        Round(0.5, 0.5, order=order)


def test_a_transplant_is_rewound_and_of_the_last_round():
    with pytest.raises(InvalidValue, match=r"transplant='x' is unknown; choose one of plain, perm"):
        Round(0.5, 0.5, transplant="x")
    with pytest.raises(InvalidValue, match=r"does not apply to restart=keep; set it to rewind"):
        Round(0.5, 0.5, restart="keep", transplant="plain")
    with pytest.raises(InvalidValue, match="for every level choose control=transplanted"):
        Experiment(Recipe(), (Round(0.5, 0.5, transplant="permuted"), Round(0.8, 0.8)))


def test_a_transplant_goes_on_from_the_dense_network_of_the_next_seed_too():
    rounds = rounds_of([0.5, 0.8])
    for seed, other in ((3, 4), (MAX_SEED, MAX_SEED - 1)):
        trunk = Experiment(Recipe(seed=seed), rounds)
        control, donor = replace(trunk, control="permuted"), Experiment(Recipe(seed=other))
        assert control.donor == donor
        assert control.parents(0) == {}
        assert set(control.parents(1)) == {trunk.keys[0], donor.key}
        assert set(control.parents(2)) == {trunk.keys[0], trunk.keys[1], donor.key}
        assert set(trunk.parents(2)) == {trunk.keys[0], trunk.keys[1]}
        for key, (experiment, n) in control.parents(2).items():
            assert experiment.keys[n] == key


@pytest.mark.parametrize("restart", ["keep", "reinit", "signs"])
def test_a_rewinding_step_belongs_to_rewinding_alone(restart):
    with pytest.raises(InvalidValue, match=rf"does not apply to restart={restart}; set it to 0"):
        Round(0.5, 0.5, restart=restart, rewind_iteration=100)


@pytest.mark.parametrize("scope", [name for name in SCOPES if name != "layerwise"])
def test_only_layerwise_scope_has_rates_of_its_own_for_a_layer(scope):
    with pytest.raises(InvalidValue, match=r"^output_sparsity=0\.4 must equal sparsity=0\.5"):
        Round(0.5, 0.4, scope=scope)
    with pytest.raises(InvalidValue, match=rf"^output_factor=0\.5 cannot apply with scope={scope}"):
        rounds_of([0.5], output_factor=0.5, scope=scope)
    with pytest.raises(InvalidValue, match=rf"^layers=.* scope={scope}; choose scope=layerwise"):
        Round(0.5, 0.5, scope=scope, layers=(("fc1.weight", 0.1),))


def test_a_budget_for_chance_needs_chance():
    with pytest.raises(InvalidValue, match=r"reshuffled_as='global' is unknown; choose one of erk"):
        Round(0.5, 0.5, reshuffled=True, reshuffled_as="global")
    with pytest.raises(InvalidValue, match=r"reshuffled_as='erk' does not apply without reshuffl"):
        Round(0.5, 0.5, reshuffled_as="erk")


def test_a_rewinding_step_off_the_grid_is_refused_with_the_whole_grid():
    recipe = Recipe(iterations=150, evaluate_every=50)
    with pytest.raises(InvalidValue) as caught:
        Experiment(recipe, rounds_of([0.5], rewind_iteration=7))
    assert str(caught.value) == (
        "rewind_iteration=7 is not a saved snapshot; choose one of 0, 2, 3, 8, 10, 15, 20, 30, 50, "
        "75, 100"
    )


@pytest.mark.parametrize(
    ("iterations", "grid"),
    [
        (1, (0,)),
        (10, (0, 1, 2, 5)),
        (100, (0, 1, 2, 5, 10, 20, 50)),
        (
            7_500,
            (0, 10, 20, 50, 75, 100, 150, 200, 375, 500, 750, 1000, 1500, 2000, 3750, 5000),
        ),
    ],
)
def test_snapshots_are_the_1_2_5_series_from_10_up_and_parts_of_the_training(iterations, grid):
    assert Recipe(iterations=iterations, evaluate_every=10).snapshot_iterations == grid


def test_sparsities_must_rise_because_pruned_weights_stay_pruned():
    with pytest.raises(InvalidValue, match=r"^sparsities=0\.5 must be above the round before"):
        Experiment(Recipe(), rounds_of([0.5, 0.5]))
    with pytest.raises(InvalidValue, match=r"^sparsities=0\.4 must be above .* \(0\.5\)"):
        Experiment(Recipe(), rounds_of([0.5, 0.4]))


def test_the_number_of_rounds_is_limited():
    sparsities = [n / 100 for n in range(1, MAX_ROUNDS + 2)]
    with pytest.raises(InvalidValue, match=rf"^rounds=41 must be at most {MAX_ROUNDS}"):
        rounds_of(sparsities)
    step = rounds_of(sparsities[:-1])
    assert len(Experiment(Recipe(), step).rounds) == MAX_ROUNDS
    with pytest.raises(InvalidValue, match=r"^rounds=41 must be at most"):
        Experiment(Recipe(), (*step, Round(0.5, 0.5)))


def test_the_work_of_one_experiment_is_limited_but_the_papers_fits():
    paper = Recipe(network="300 100", batch_size=60, iterations=50_000, evaluate_every=100)
    assert Experiment(paper, rounds_of(iterative(0.2, 19))).key
    conv = Recipe(network="conv-6", optimiser="adam", momentum=0, batch_size=60, iterations=30_000)
    assert Experiment(conv, rounds_of(iterative(0.2, 19))).key
    large = Recipe(network="vgg-16", batch_size=1024, iterations=200_000, evaluate_every=1_000)
    with pytest.raises(InvalidValue, match=r"^iterations=200000 for 2 levels .* choose fewer"):
        Experiment(large, rounds_of([0.5]))


@pytest.mark.parametrize("rate", [0, 1, -0.5, *NOT_NUMBERS], ids=short)
def test_a_pruning_rate_lies_strictly_between_0_and_1(rate):
    with pytest.raises(InvalidValue, match=r"^rate="):
        iterative(rate, 3)
    with pytest.raises(InvalidValue, match=r"^sparsity="):
        one_shot(rate)
    with pytest.raises(InvalidValue, match=r"^sparsities="):
        rounds_of([rate])


@pytest.mark.parametrize("rounds", [0, -1, MAX_ROUNDS + 1, *NOT_INTEGERS], ids=short)
def test_the_number_of_iterative_rounds_is_a_whole_number_in_range(rounds):
    with pytest.raises(InvalidValue, match=rf"^rounds=.* from 1 to {MAX_ROUNDS}"):
        iterative(0.2, rounds)


@pytest.mark.parametrize("factor", [-0.1, 1.1, *NOT_NUMBERS], ids=short)
def test_an_output_factor_lies_between_0_and_1(factor):
    with pytest.raises(InvalidValue, match=r"^output_factor="):
        rounds_of([0.5], output_factor=factor)


# Keys

OTHER = {
    "augmentation": "flip",
    "dataset": "kmnist",
    "normalisation": "dataset",
    "validation_size": 4_999,
    "network": "64 128",
    "init": "glorot",
    "optimiser": "adam",
    "learning_rate": 0.02,
    "momentum": 0.8,
    "weight_decay": 0.001,
    "warmup": 100,
    "decay_at": (5_000,),
    "decay_factor": 0.2,
    "batch_size": 33,
    "content": "ab" * 32,
    "iterations": 7_501,
    "evaluate_every": 376,
    "seed": 1,
}
OTHER_ROUND = {
    "sparsity": 0.41,
    "output_sparsity": 0.2,
    "scope": "global",
    "criterion": "random",
    "restart": "keep",
    "rewind_iteration": 100,
    "layers": (("fc1.weight", 0.3),),
    "ticket": "ab" * 32,
    "order": 1,
}


LAST = {
    "reshuffled": [{"reshuffled": True}],
    "reshuffled_as": [{"reshuffled": True}, {"reshuffled": True, "reshuffled_as": "erk"}],
    "transplant": [{"transplant": "plain"}, {"transplant": "permuted"}],
    "dynamics": [{"dynamics": "set"}, {"dynamics": "rigl"}],
    "supermask": [{"supermask": "edge-popup"}, {"supermask": "learned-mask"}],
    "as_long_as_search": [{"dynamics": "set"}, {"dynamics": "set", "as_long_as_search": True}],
}


def test_keys_stay_what_they_are():
    # Whoever changes these throws away every result in every store: raise VERSION and say so; a
    # new field need not, see the module's docstring.
    assert Experiment(Recipe(), rounds_of([0.4])).keys == (
        "951f83d149dd84e424d13774e52fb8315bf70d9e",
        "3d492567f2d3c3e69fb877faa5e1da551a8644d5",
    )


@pytest.mark.parametrize("field", [field.name for field in fields(Recipe)])
def test_every_field_of_a_recipe_changes_the_key(field):
    base = Recipe(momentum=0) if field == "optimiser" else Recipe()
    if field == "content":
        base = Recipe(dataset="kmnist")
    if field == "decay_factor":
        base = Recipe(decay_at=(5_000,))
    other = replace(base, **{field: OTHER[field]})
    assert Experiment(other).key != Experiment(base).key


@pytest.mark.parametrize("field", sorted({field.name for field in fields(Round)}))
def test_every_field_of_a_round_changes_its_key_and_no_earlier_one(field):
    base, later = Round(0.4, 0.4), Round(0.9, 0.9)
    if field in LAST:  # which nothing may follow
        every = [Experiment(Recipe(), (replace(base, **what),)).keys for what in ({}, *LAST[field])]
        assert len({keys[0] for keys in every}) == 1
        assert len({keys[1] for keys in every}) == len(every)
        return
    other = replace(base, **{field: OTHER_ROUND[field]})
    one, two = (Experiment(Recipe(), (step, later)).keys for step in (base, other))
    assert one[0] == two[0]
    assert one[1] != two[1]
    assert one[2] != two[2]


def test_two_contents_of_a_data_set_share_no_key():
    kept = [
        Experiment(Recipe(dataset="kmnist", content=content), rounds_of([0.4])).keys
        for content in ("", "ab" * 32, "cd" * 32)
    ]
    assert len({key for keys in kept for key in keys}) == 6


def test_the_digest_of_what_is_published_is_part_of_a_key(monkeypatch):
    before = Experiment(Recipe()).key
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], digest="ab" * 32))
    assert Experiment(Recipe()).key != before


@pytest.mark.parametrize(
    ("dataset", "content", "rule"),
    [
        ("kmnist", "ab", "must be the SHA-256 of the files, 64 hex digits; or leave it out"),
        ("kmnist", "AB" * 32, "must be the SHA-256 of the files"),
        ("kmnist", None, "must be the SHA-256 of the files"),
        ("kmnist", "../" * 21 + "a", "must be the SHA-256 of the files"),
        ("mnist", "ab" * 32, "is not that of MNIST; leave it out"),
    ],
    ids=short,
)
def test_a_content_that_can_name_nothing_is_refused(dataset, content, rule):
    with pytest.raises(InvalidValue, match=rule) as caught:
        Recipe(dataset=dataset, content=content)
    assert caught.value.field == "content"


def test_the_published_content_is_the_same_said_or_not():
    assert Recipe(content=DATASETS["mnist"].digest) == Recipe()


@dataclass(frozen=True)
class LaterRecipe(Recipe):
    """As it may be one day."""

    smoothing: float = 0.0


@dataclass(frozen=True)
class LaterRound(Round):
    """As it may be one day."""

    patience: int = 1


def test_a_field_that_comes_later_changes_no_key_until_somebody_sets_it(monkeypatch):
    later = keys._LATER | {"smoothing": 0.0, "patience": 1}
    monkeypatch.setattr(keys, "_LATER", later)
    today = Experiment(Recipe(), (Round(0.4, 0.4),)).keys
    assert Experiment(LaterRecipe(), (LaterRound(0.4, 0.4),)).keys == today
    other = Experiment(LaterRecipe(), (LaterRound(0.4, 0.4, patience=2),)).keys
    assert other[0] == today[0]
    assert other[1] != today[1]
    assert Experiment(LaterRecipe(smoothing=0.1)).key != today[0]


def test_a_record_from_before_contents_is_read():
    stored = Experiment(Recipe(dataset="kmnist"), rounds_of([0.4])).as_dict()
    del stored["recipe"]["content"]
    assert Experiment.from_dict(stored).recipe.content == ""


def test_experiments_that_begin_alike_share_the_keys_of_what_they_share():
    short = Experiment(Recipe(), rounds_of(iterative(0.4, 2)))
    long = Experiment(Recipe(), rounds_of(iterative(0.4, 5)))
    assert long.keys[:3] == short.keys
    assert len(set(long.keys)) == 6


def test_nothing_that_cannot_change_a_result_is_part_of_a_key():
    names = {field.name for kind in (Recipe, Round, Experiment) for field in fields(kind)}
    assert not names & {"device", "threads", "workers", "folder"}


@pytest.mark.parametrize("zero", [0, -0.0])
def test_one_request_written_in_two_ways_has_one_key(zero):
    def key(number):
        recipe = Recipe(momentum=number, weight_decay=number)
        return Experiment(recipe, (Round(0.5, number),)).key

    assert key(zero) == key(0.0)


def test_a_typed_sparsity_and_a_computed_one_have_one_key():
    typed = Experiment(Recipe(), rounds_of([0.4, 0.64, 0.784]))
    computed = Experiment(Recipe(), rounds_of(iterative(0.4, 3)))
    assert typed.keys == computed.keys


def test_keys_are_the_same_in_another_process():
    code = (
        "from lottery_core.spec.experiment import Experiment;"
        "from lottery_core.spec.recipe import Recipe;"
        "from lottery_core.spec.rounds import rounds_of;"
        "print(Experiment(Recipe(seed=3), rounds_of([.4, .9])).key)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == Experiment(Recipe(seed=3), rounds_of([0.4, 0.9])).key


@given(
    st.builds(
        Recipe,
        network=st.lists(st.integers(1, 64), max_size=3).map(
            lambda sizes: " ".join(map(str, sizes)) or "none"
        ),
        learning_rate=st.floats(1e-9, 10),
        seed=st.integers(0, limits.MAX_SEED),
    ),
    st.lists(st.integers(1, 99), max_size=5, unique=True).map(sorted),
)
def test_an_experiment_survives_the_way_through_json(recipe, percents):
    experiment = Experiment(recipe, rounds_of([percent / 100 for percent in percents]))
    read = Experiment.from_dict(json.loads(json.dumps(experiment.as_dict())))
    assert read == experiment
    assert read.as_dict() == experiment.as_dict()
    assert read.keys == experiment.keys


def test_reading_an_experiment_checks_its_rules_again():
    stored = Experiment(Recipe()).as_dict()
    stored["recipe"]["batch_size"] = 0
    with pytest.raises(InvalidValue, match="batch_size=0"):
        Experiment.from_dict(stored)


def test_weights_are_counted_without_biases():
    assert Recipe().weights_total == 109_184
    assert Recipe(network="300 100").weights_total == 266_200


# The learning rate of each step


SCHEDULES = {
    "constant": ({}, [1] * 8),
    "warm-up": ({"warmup": 4}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
    "warm-up of one iteration": ({"warmup": 1}, [1] * 8),
    "warm-up to the end": ({"warmup": 8}, [0.125 * n for n in range(1, 9)]),
    "decay": ({"decay_at": (2, 6)}, [1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]),
    "decay from the first and at the last": (
        {"decay_at": (1, 7), "decay_factor": 0.5},
        [1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25],
    ),
    "warm-up, then decay": (
        {"warmup": 2, "decay_at": (4, 6), "decay_factor": 0.5},
        [0.5, 1, 1, 1, 0.5, 0.5, 0.25, 0.25],
    ),
    "decay within the warm-up": (
        {"warmup": 4, "decay_at": (2,), "decay_factor": 0.5},
        [0.25, 0.5, 0.375, 0.5, 0.5, 0.5, 0.5, 0.5],
    ),
}
each_schedule = pytest.mark.parametrize(("schedule", "factors"), SCHEDULES.values(), ids=SCHEDULES)


@each_schedule
def test_the_rate_rises_through_the_warm_up_and_drops_at_each_decay(schedule, factors):
    recipe = Recipe(learning_rate=0.2, iterations=8, **schedule)
    rates = recipe.learning_rates(0, 8)
    assert rates.dtype == float
    assert rates.tolist() == pytest.approx([0.2 * factor for factor in factors], rel=1e-15)


@each_schedule
def test_a_step_has_one_rate_whichever_steps_are_asked_for(schedule, factors):
    recipe = Recipe(iterations=8, **schedule)
    rates = recipe.learning_rates(0, 8).tolist()
    assert [recipe.learning_rates(n, n + 1).item() for n in range(8)] == rates
    assert recipe.learning_rates(3, 7).tolist() == rates[3:7]
    assert recipe.learning_rates(3, 3).tolist() == []


@given(st.floats(1e-9, 10))
def test_a_constant_rate_is_the_one_given_to_the_last_bit(rate):
    assert set(Recipe(learning_rate=rate).learning_rates(0, 7_500).tolist()) == {rate}


@each_schedule
def test_fine_tuning_has_the_last_rate_throughout(schedule, factors):
    recipe = Recipe(iterations=8, **schedule)
    last = recipe.learning_rates(7, 8).item()
    tuned = recipe.at_last_rate()
    assert tuned.learning_rates(0, 8).tolist() == [last] * 8
    assert tuned == replace(Recipe(iterations=8), learning_rate=last)


@pytest.mark.parametrize(
    ("table", "name", "changed"),
    [
        ("CRITERIA", "magnitude", [False, True, True]),
        ("RULES", "rewind", [False, True, True]),
        ("INITS", "pytorch", [True, True, True]),
        ("OPTIMISERS", "adam", [False, False, False]),
        ("AUGMENTATIONS", "flip", [False, False, False]),
    ],
)
def test_a_name_that_means_something_else_gives_other_keys_to_those_who_ask_for_it(
    monkeypatch, table, name, changed
):
    rounds = rounds_of([0.4, 0.7])
    before = Experiment(Recipe(), rounds).keys
    known = getattr(keys, table)
    monkeypatch.setitem(known, name, replace(known[name], version=2))
    after = Experiment(Recipe(), rounds).keys
    assert [one != other for one, other in zip(before, after, strict=True)] == changed


def test_networks_that_were_trained_wrongly_have_keys_of_their_own_and_no_others():
    wrong = Recipe(network="resnet-20 x0.25")  # its shortcuts' gradients
    assert hashed(wrong)["network"] == f"{wrong.network} 2"
    for network in ("resnet-20", "vgg-16 x0.25", "lenet-5", "300 100"):
        right = Recipe(network=network)
        assert hashed(right)["network"] == right.network
