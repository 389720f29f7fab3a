"""A link, a command and a form say the same thing, and nothing they say can break the core."""

import shlex
from contextlib import suppress
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery_core.method.criteria import CRITERIA
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS
from lottery_core.spec.fields import RESTARTS
from lottery_core.spec.links import command, read_choice, read_value, write_choice, write_value
from lottery_core.spec.presets import DEFAULT_PRESET, PRESETS
from lottery_core.spec.terms import INITS, OPTIMISERS, SCOPES


def without_rates_of_layers(choice):
    """Where its scope says itself what each layer loses, no factor may."""
    own = {} if choice.scope == "layerwise" else {"output_factor": 1.0, "layer_factors": ()}
    return replace(choice, **own)


FRACTIONS = st.floats(0.001, 0.999)
CHOICES = st.builds(
    Choice,
    dataset=st.sampled_from([*DATASETS]),
    normalisation=st.sampled_from([*NORMALISATIONS]),
    validation_size=st.integers(0, 10_000),
    network=st.lists(st.integers(1, 300), max_size=6).map(
        lambda sizes: " ".join(map(str, sizes)) or "none"
    ),
    init=st.sampled_from([*INITS]),
    optimiser=st.sampled_from([*OPTIMISERS]),
    learning_rate=st.floats(1e-9, 10),
    momentum=st.floats(0, 0.999),
    weight_decay=st.floats(0, 1),
    batch_size=st.integers(16, 4096),
    # So long that a mask can change on the way, which needs two iterations.
    length=st.floats(0.5, 10) | st.integers(1, 10).map(float),
    unit=st.just("epochs"),
    schedule=st.sampled_from(["iterative", "one-shot", "list"]),
    rate=st.floats(0.01, 0.4),
    rounds=st.integers(1, 40),
    fall=st.floats(0, 0.99),
    sparsity=FRACTIONS,
    sparsities=st.lists(FRACTIONS, min_size=1, max_size=6, unique_by=lambda x: round(x, 3)).map(
        lambda found: tuple(sorted(found))
    ),
    output_factor=st.sampled_from([1.0, 0.5, 0.0, 0.123]),
    scope=st.sampled_from([*SCOPES]),
    criterion=st.sampled_from([name for name, one in CRITERIA.items() if not one.takes_units]),
    restart=st.sampled_from(RESTARTS),
    controls=st.lists(st.sampled_from([*ARMS]), unique=True).map(tuple),
    layer_factors=st.sampled_from([(), (("fc1", 0.5),), (("fc1", 0.0),)]),
    warmup=st.sampled_from([0, 1]),
    replicates=st.integers(1, 3),
    seed=st.integers(0, 2**31 - 4),
).map(without_rates_of_layers)


@given(st.sampled_from([*PRESETS]), CHOICES)
def test_what_is_written_is_read_back(preset, choice):
    choice.experiments()  # it is a valid one
    assert read_choice(write_choice(preset, choice)) == (preset, choice)


@given(st.sampled_from([*PRESETS]), CHOICES)
def test_the_command_says_the_same_as_the_link(preset, choice):
    words = shlex.split(command(preset, choice))
    assert words[:4] == ["python", "-m", "lottery_core", "run"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options.pop("--out") == "results"
    params = {name.removeprefix("--").replace("-", "_"): text for name, text in options.items()}
    assert read_choice(params) == (preset, choice)


@pytest.mark.parametrize("text", ["; rm -rf /", "$(reboot)", "a b", "`x`", "'", "\n"])
def test_a_hostile_name_is_refused_and_would_be_one_word_of_a_command(text):
    with pytest.raises(InvalidValue, match="is unknown"):
        read_choice({"dataset": text})
    words = shlex.split(command("quick", replace(PRESETS["quick"].choice, dataset=text)))
    assert words[words.index("--dataset") + 1] == text


def test_a_link_holds_only_what_differs_from_its_preset():
    quick = PRESETS["quick"].choice
    assert write_choice("quick", quick) == {"preset": "quick"}
    assert write_choice("quick", replace(quick, seed=3, controls=())) == {
        "preset": "quick",
        "seed": "3",
        "controls": "none",
    }


def test_a_bare_link_is_the_default_preset():
    assert read_choice({}) == (DEFAULT_PRESET, PRESETS[DEFAULT_PRESET].choice)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_run(preset):
    choice = PRESETS[preset].choice
    experiments = choice.experiments()
    assert len(experiments) == choice.replicates * (1 + len(choice.controls))
    assert len({experiment.keys[0] for experiment in experiments}) == choice.replicates


def test_the_notebooks_preset_is_the_notebook():
    recipe = PRESETS["notebook"].choice.recipe()
    assert (recipe.network, recipe.batch_size, recipe.iterations) == ("128 64", 32, 7_500)
    assert (recipe.train_size, recipe.normalisation, recipe.init) == (60_000, "half", "pytorch")


def test_the_papers_preset_is_the_paper():
    choice = PRESETS["paper"].choice
    recipe = choice.recipe()
    assert (recipe.network, recipe.batch_size, recipe.iterations) == ("300 100", 60, 50_000)
    assert (recipe.learning_rate, recipe.optimiser, recipe.init) == (0.0012, "adam", "glorot")
    assert (recipe.train_size, recipe.evaluate_every) == (55_000, 100)
    first = choice.experiment().rounds[0]
    assert (first.sparsity, first.output_sparsity) == (0.2, 0.1)


@pytest.mark.parametrize(
    ("preset", "iterations", "rate", "convolutions"),
    [("conv-2", 20_000, 2e-4, 0.1), ("conv-4", 25_000, 3e-4, 0.1), ("conv-6", 30_000, 3e-4, 0.15)],
)
def test_the_papers_convolutions_are_the_papers(preset, iterations, rate, convolutions):
    choice = PRESETS[preset].choice
    recipe = choice.recipe()
    assert (recipe.dataset, recipe.iterations, recipe.batch_size) == ("cifar-10", iterations, 60)
    assert (recipe.learning_rate, recipe.optimiser, recipe.init) == (rate, "adam", "glorot")
    first = choice.experiment().rounds[0]
    layers = dict(first.layers)
    assert {layers[name] for name in recipe.shapes if name.startswith("conv")} == {convolutions}
    assert (first.sparsity, first.output_sparsity) == (0.2, 0.1)


def test_deep_networks_rewind_to_an_early_iteration_after_a_warm_up():
    for preset in ("resnet-20", "vgg-16"):
        choice = PRESETS[preset].choice
        recipe, last = choice.recipe(), choice.experiment().rounds[-1]
        assert 0 < last.rewind_iteration == 1_260 < recipe.iterations / 10
        assert recipe.warmup == 400
        assert recipe.augmentation == "flip-shift"


def test_an_unknown_parameter_is_refused_with_the_known_ones():
    with pytest.raises(InvalidValue) as caught:
        read_choice({"sead": "3"})
    assert str(caught.value).startswith("sead='3' is unknown; known are dataset, ")
    assert caught.value.field == "sead"
    for field in fields(Choice):
        assert field.name in str(caught.value)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(InvalidValue, match=r"preset='best' .* choose one of quick, notebook, pap"):
        read_choice({"preset": "best"})


@pytest.mark.parametrize(
    ("field", "text", "rule"),
    [
        ("seed", "one", "must be a whole number"),
        ("seed", "1.0", "must be a whole number"),
        ("seed", "", "must be a whole number"),
        ("seed", "9" * 5_000, "must be a whole number"),
        ("rate", "a lot", "must be a number"),
        ("rate", "0,4", "must be a number"),
        ("controls", "maybe", "is unknown; choose one of reinit"),
        ("layer_factors", "fc1", "must be layers with factors, as in fc1=1,fc2=0.5"),
        ("decay_at", "soon", "must be numbers with commas between them"),
        ("network", "128;64", "has '128;64', which is none of"),
        ("sparsities", "0.4,,0.6", "must be numbers with commas between them"),
    ],
)
def test_an_unreadable_value_is_refused_with_its_rule(field, text, rule):
    with pytest.raises(InvalidValue, match=rule) as caught:
        read_choice({field: text})
    assert caught.value.field == field
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"length": "nan"}, "length"),
        ({"length": "inf"}, "length"),
        ({"length": "-1"}, "length"),
        ({"length": "0"}, "length"),
        ({"length": "1001"}, "length"),
        ({"length": "1000", "batch_size": "16"}, "length"),
        ({"preset": "paper", "length": "nan"}, "length"),
        ({"preset": "paper", "length": "inf"}, "length"),
        ({"preset": "paper", "length": "-5"}, "length"),
        ({"preset": "paper", "length": "0"}, "length"),
        ({"preset": "paper", "length": "1000.5"}, "length"),
        ({"preset": "paper", "length": "1e300"}, "length"),
        ({"unit": "years"}, "unit"),
        ({"schedule": "never"}, "schedule"),
        ({"evaluate_every": "-1"}, "evaluate_every"),
        ({"evaluate_every": "1000000"}, "evaluate_every"),
        ({"rate": "nan"}, "rate"),
        ({"rounds": "0"}, "rounds"),
        ({"rounds": "41"}, "rounds"),
        ({"rate": "0.9", "rounds": "40"}, "sparsity"),
        ({"schedule": "one-shot", "sparsity": "1"}, "sparsity"),
        ({"schedule": "list", "sparsities": ""}, "sparsities"),
        ({"schedule": "list", "sparsities": "0.5,0.4"}, "sparsities"),
        ({"schedule": "list", "sparsities": "0.5,nan"}, "sparsities"),
        ({"schedule": "list", "sparsities": ",".join(["0.5"] * 41)}, "sparsities"),
        ({"network": "100000"}, "network"),
        ({"network": "none".join(["2"] * 100)}, "network"),
        ({"learning_rate": "1e999"}, "learning_rate"),
        ({"seed": "-1"}, "seed"),
        ({"seed": str(10**400)}, "seed"),
        ({"validation_size": "60000"}, "validation_size"),
        ({"rewind_iteration": "7"}, "rewind_iteration"),
        ({"rewind_percent": "3"}, "rewind_percent"),
        ({"rewind_percent": "5", "rewind_iteration": "100"}, "rewind_percent"),
        ({"replicates": "0"}, "replicates"),
        ({"replicates": "21"}, "replicates"),
        ({"preset": "paper", "replicates": "20", "network": "conv-6"}, "replicates"),
        ({"layer_factors": "fc9=1"}, "layer_factors"),
        ({"layer_factors": "fc1=2"}, "layer_factors"),
        ({"layer_factors": "fc1=0.5", "scope": "global"}, "layer_factors"),
        ({"warmup": "-1"}, "warmup"),
        ({"decay_at": "5,5"}, "decay_at"),
        ({"decay_at": "0"}, "decay_at"),
        ({"output_factor": "2"}, "output_factor"),
        ({"scope": "global", "output_factor": "0.5"}, "output_factor"),
        ({"scope": "erk", "output_factor": "0.5"}, "output_factor"),
        ({"scope": "balanced", "layer_factors": "fc1=0.5"}, "layer_factors"),
        ({"scope": "uniform"}, "scope"),
        ({"dataset": "../../etc/passwd"}, "dataset"),
        ({"restart": "__class__"}, "restart"),
    ],
)
def test_what_cannot_run_is_refused_by_its_field(params, field):
    with pytest.raises(InvalidValue) as caught:
        read_choice(params)[1].experiments()
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}=")


@given(
    st.dictionaries(
        st.sampled_from([field.name for field in fields(Choice)]),
        st.text(max_size=20)
        | st.sampled_from(["nan", "inf", "-inf", "1e400", "-0", "0", "yes", "none", "1_0", "٣"]),
        max_size=4,
    )
)
def test_whatever_a_link_says_it_can_run_or_is_refused(params):
    with suppress(InvalidValue):  # and no other error
        _, choice = read_choice(params)
        choice.experiments()


@given(st.floats(-1e15, 1e15))
def test_a_number_is_written_so_that_it_reads_back_exactly(number):
    assert read_value("rate", write_value(number)) == number


def test_a_network_without_hidden_layers_can_be_written():
    choice = replace(PRESETS["quick"].choice, network="none")
    assert write_choice("quick", choice)["network"] == "none"
    assert "--network none" in command("quick", choice)


def test_an_epoch_is_counted_in_iterations_of_its_batches_the_short_one_included():
    assert Choice(length=1, batch_size=32).recipe().iterations == 1_875
    assert Choice(length=1, batch_size=64, validation_size=5_000).recipe().iterations == 860


def test_a_short_training_has_a_presets_warm_up_and_decay_at_the_same_parts_of_it():
    whole = {"preset": "vgg-16"}
    short = whole | {"length": "630", "unit": "iterations"}
    assert (read_choice(short)[1].warmup, read_choice(short)[1].decay_at) == (4, (320, 480))
    assert read_choice(short)[1].experiment().recipe.iterations == 630
    # What is named is not changed, and what fits stays.
    named = read_choice(short | {"warmup": "100"})[1]
    assert (named.warmup, named.decay_at) == (100, (32_000, 48_000))
    fits = read_choice(whole | {"length": "48001"})[1]
    assert (fits.warmup, fits.decay_at) == (400, (32_000, 48_000))


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("vgg-16", {"length": 630.0}),  # reading alone would fit warm-up and decay to it
        ("vgg-16", {"length": 630.0, "warmup": 3}),
    ],
)
def test_what_is_like_the_preset_is_written_where_reading_would_fit_another_value(preset, changes):
    choice = replace(PRESETS[preset].choice, **changes)
    assert read_choice(write_choice(preset, choice)) == (preset, choice)


def test_links_and_commands_call_a_network_by_its_name():
    params = {"preset": "quick", "network": "vgg-16 x0.25", "dataset": "cifar-10"}
    preset, choice = read_choice(params)
    assert write_choice(preset, choice)["network"] == "vgg-16 x0.25"
    assert "--network 'vgg-16 x0.25'" in command(preset, choice)
    assert read_choice(write_choice(preset, choice)) == (preset, choice)
    assert Choice(length=0.5, batch_size=32).recipe().iterations == 938


def test_evaluations_are_five_an_epoch_unless_asked_for():
    assert Choice().recipe().evaluate_every == 375
    assert Choice(evaluate_every=100).recipe().evaluate_every == 100
    assert Choice(length=0.1).recipe().evaluate_every == 188


def test_adam_takes_no_momentum_whatever_the_form_says():
    assert Choice(optimiser="adam", momentum=0.9).recipe().momentum == 0


def test_fields_of_other_schedules_are_ignored():
    base = Choice(schedule="one-shot", sparsity=0.5)
    same = replace(base, rate=7.0, rounds=-3, sparsities=(9.0,))
    assert base.experiment().key == same.experiment().key


def test_every_seed_has_all_arms_and_all_seeds_of_the_experiment_come_first():
    choice = Choice(controls=("reinit", "dense-longer"), seed=4, replicates=2)
    arms = choice.arms()
    assert list(arms) == ["main", "reinit", "dense-longer"]
    for name, experiments in arms.items():
        assert [experiment.recipe.seed for experiment in experiments] == [4, 5]
        if name != "main":
            assert [arm_of(experiment) for experiment in experiments] == [name, name]
    assert choice.experiments() == [one for arm in arms.values() for one in arm]


@pytest.mark.parametrize(
    "choice", [Choice(controls=()), Choice(restart="keep", controls=("fine-tune",))]
)
def test_no_control_is_run_when_none_is_asked_for_or_it_would_be_the_same(choice):
    assert len(choice.experiments()) == 1


def test_a_rewinding_step_in_percent_is_that_in_iterations():
    percent = Choice(rewind_percent=2).experiment()
    assert percent.key == Choice(rewind_iteration=150).experiment().key


def test_layers_can_have_rates_of_their_own():
    choice = read_choice({"preset": "notebook", "layer_factors": "fc1=0.5, fc3=0"})[1]
    first, second = choice.experiment().rounds[:2]
    assert dict(first.layers) == {"fc1.weight": pytest.approx(0.2), "fc3.weight": 0}
    assert dict(second.layers)["fc1.weight"] == pytest.approx(1 - 0.8**2)
    targets = {
        target.names: target.sparsity
        for target in second.targets(["fc1.weight", "fc2.weight", "fc3.weight"])
    }
    assert targets[("fc2.weight",)] == pytest.approx(0.64)
