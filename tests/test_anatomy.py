"""What is said of a ticket's inside is what a plain count of its arrays gives."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from lottery_core.findings import anatomy, flow, values
from lottery_core.report import ticket_figures, weight_figures
from lottery_core.running import engine
from lottery_core.spec.arms import ARMS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_CELLS
from lottery_core.spec.networks import Network, network
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Level
from lottery_core.training.context import Context

pytestmark = pytest.mark.usefixtures("judged_on_few")


def level_of(
    masks: list, starts: list | None = None, ends: list | None = None, names: tuple = ()
) -> Level:
    """A level with these arrays, named fc1, fc2, ... by default, and biases of 0.5."""
    names = names or [f"fc{k + 1}.weight" for k in range(len(masks))]
    mask = dict(zip(names, (np.array(m, bool) for m in masks), strict=True))

    def weights(values):
        found = {}
        for k, (name, kept) in enumerate(mask.items()):
            given = np.ones(kept.shape) if values is None else np.array(values[k], float)
            found[name] = np.where(kept, given, 0).astype(np.float32)
            found[anatomy.bias_of(name)] = np.full(len(kept), 0.5, np.float32)
        return found

    return Level({}, mask, weights(starts), weights(ends), np.zeros(0), pd.DataFrame())


def chain_of(level: Level) -> Network:
    """The fully connected network that a level's matrices are of."""
    shapes = [kept.shape for kept in level.mask.values()]
    hidden = " ".join(str(outputs) for outputs, _ in shapes[:-1]) or "none"
    return network(hidden, (1, 1, shapes[0][1]), shapes[-1][0])


# Three inputs, three hidden units, two answers. Unit 1 reads nothing; nothing reads unit 2.
SMALL = level_of(
    [[[1, 1, 0], [0, 0, 0], [1, 0, 0]], [[1, 1, 0], [0, 1, 0]]],
    starts=[[[3, 4, 9], [9, 9, 9], [12, 9, 9]], [[1, 2, 9], [9, 2, 9]]],
)


def test_layers_are_counted():
    first, second = anatomy.layers(SMALL, chain_of(SMALL)).to_dict("records")
    assert (first["layer"], first["units"], first["inputs"]) == ("fc1", 3, 3)
    assert (first["weights"], first["kept"], first["pruned"]) == (9, 3, 6)
    assert first["density"] == pytest.approx(1 / 3)
    assert first["norm_restart"] == pytest.approx(13)  # of 3, 4 and 12; pruned 9s count nothing
    assert first["norm_trained"] == pytest.approx(np.sqrt(3))
    assert (first["fan_in_least"], first["fan_in_mean"], first["fan_in_greatest"]) == (0, 1, 2)
    assert (first["fan_out_least"], first["fan_out_greatest"]) == (0, 2)
    assert first["reads_nothing"] == 1
    assert first["unread_inputs"] == 1
    assert second["unread_inputs"] == 1


def test_dead_is_what_no_signal_passes_from_either_side():
    first, second = anatomy.layers(SMALL, chain_of(SMALL)).to_dict("records")
    assert first["dead_units"] == 2  # one reads nothing, nothing reads the other
    assert second["dead_units"] == 1  # the second answer reads the unit that reads nothing
    hidden, out = flow.alive(chain_of(SMALL), SMALL.mask).values()
    assert hidden.tolist() == [True, False, False]
    assert out.tolist() == [True, False]


def test_death_spreads_through_layers():
    # A chain of single units with a break in the middle: all of it is dead.
    broken = level_of([[[1]], [[0]], [[1]]])
    assert anatomy.layers(broken, chain_of(broken))["dead_units"].tolist() == [1, 1, 1]


@given(
    arrays(bool, (5, 4)),
    arrays(bool, (3, 5)),
    arrays(bool, (2, 3)),
)
@settings(max_examples=200)
def test_alive_units_are_those_whose_output_a_pixel_can_change(one, two, three):
    # Positive weights, no ReLU in the way: the product of the masks counts the paths.
    into = [np.eye(4, dtype=int)]
    for mask in (one, two, three):
        into.append(mask.astype(int) @ into[-1])
    out = [np.eye(2, dtype=int)]
    for mask in (three, two, one):
        out.append(out[-1] @ mask.astype(int))
    expected = [
        (a.sum(axis=1) > 0) & (b.sum(axis=0) > 0) for a, b in zip(into, out[::-1], strict=True)
    ]
    level = level_of([one, two, three])
    found = flow.alive(chain_of(level), level.mask).values()
    for have, want in zip(found, expected[1:], strict=True):
        np.testing.assert_array_equal(have, want)


# What died when


def test_a_weight_dies_in_the_first_round_whose_mask_lacks_it():
    masks = [{"fc1.weight": np.array([row], bool)} for row in ([1, 1, 1], [1, 1, 0], [1, 0, 0])]
    died = anatomy.deaths(masks)["fc1.weight"]
    assert died.tolist() == [[0, 2, 1]]
    assert anatomy.deaths(masks[:2])["fc1.weight"].tolist() == [[0, 0, 1]]
    assert anatomy.deaths(masks[:1])["fc1.weight"].tolist() == [[0, 0, 0]]


def test_survivors_of_a_real_run_are_those_of_the_mask_in_every_round(store, tiny):
    levels = list(engine.run(tiny, Context(store)))
    masks = [store.read(key).mask for key in anatomy.chain(tiny, 2)]
    for name, rounds in anatomy.deaths(masks).items():
        for n in range(3):
            alive = (rounds == 0) | (rounds > n)
            np.testing.assert_array_equal(alive, levels[n].mask[name])


@pytest.mark.parametrize("arm", ["reinit", "random-mask"])
def test_a_controls_weights_died_in_its_trunks_rounds(store, tiny, arm):
    list(engine.run(tiny, Context(store)))
    control = ARMS[arm].of(tiny)
    *_, last = engine.run(control, Context(store))
    masks = [store.read(key).mask for key in anatomy.chain(control, 2)]
    for name, rounds in anatomy.deaths(masks).items():
        np.testing.assert_array_equal(rounds == 0, last.mask[name])
        assert set(np.unique(rounds)) <= {0, 1, 2}
        # What the trunk's first round took and the control does not keep died then.
        gone = ~masks[1][name] & ~last.mask[name]
        assert (rounds[gone] == 1).all()


def test_pixels_count_the_first_layers_kept_weights():
    mask = np.zeros((3, 784), bool)
    mask[:2, 29] = True
    image = anatomy.kept_per_pixel({"fc1.weight": mask}, (1, 28, 28))
    assert image.shape == (28, 28)
    assert image[1, 1] == 2
    assert image.sum() == 2
    assert anatomy.kept_per_pixel({"fc1.weight": np.ones((2, 3), bool)}, (1, 28, 28)) is None
    in_colour = np.ones((2, 12), bool)
    assert anatomy.kept_per_pixel({"fc1.weight": in_colour}, (3, 2, 2)).tolist() == [[6, 6], [6, 6]]
    kernels = np.ones((2, 1, 3, 3), bool)
    assert anatomy.kept_per_pixel({"conv1.weight": kernels}, (1, 3, 3)) is None


@pytest.mark.parametrize("shape", [(7, 9), (300, 784), (400, 784), (1001, 787), (70, 64, 9, 9)])
def test_a_coarse_map_has_as_many_of_each_round_as_its_layer(shape):
    died = np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)
    picture, block = ticket_figures.coarse(died)
    assert picture.size <= MAX_CELLS
    if block == 1 and picture.ndim == died.ndim:
        assert np.array_equal(picture, died)
        return
    for row, column in ((0, 0), (picture.shape[0] - 1, picture.shape[1] - 1)):
        part = died[row * block : (row + 1) * block, column * block : (column + 1) * block]
        assert picture[row, column] in part
    for n in range(5):  # five deviations of a share of so many cells
        deviation = np.sqrt(0.2 * 0.8 / picture.size)
        assert abs((picture == n).mean() - (died == n).mean()) < 5 * deviation


# Values


def test_histograms_count_every_value_once_and_share_their_bins():
    rng = np.random.default_rng(0)
    groups = {"all": rng.normal(size=5_000), "few": rng.normal(size=300)}
    found = values.histogram(groups)
    assert found.counts == {"all": 5_000, "few": 300}
    for name, group in groups.items():
        assert found.shares[name].sum() == pytest.approx(1)
        inside = (group > found.edges[20]) & (group <= found.edges[21])
        assert found.shares[name][20] == pytest.approx(inside.mean(), abs=2e-3)
    assert found.edges[0] == -found.edges[-1]


def test_groups_without_values_are_empty_and_not_an_error():
    found = values.histogram({"none": np.zeros(0), "zeros": np.zeros(4)})
    assert found.shares["none"].sum() == 0
    assert found.shares["zeros"].sum() == 1


def test_survivors_are_set_beside_all_and_beside_the_rest():
    dense = level_of([[[1, 1]]], starts=[[[1, 2]]], ends=[[[4, 2.5]]])
    ticket = level_of([[[1, 0]]], starts=[[[1, 2]]], ends=[[[7, 0]]])
    names = ["fc1.weight"]
    assert values.initial_values(dense, ticket, names).counts == {"all weights": 2, "survivors": 1}
    moved = values.distances(dense, ticket, names)
    assert moved.counts == {"weights that were pruned": 1, "survivors": 1}
    assert moved.centres[moved.shares["survivors"].argmax()] == pytest.approx(3, abs=0.05)
    assert moved.centres[moved.shares["weights that were pruned"].argmax()] == pytest.approx(
        0.5, abs=0.05
    )


def test_directions_are_away_from_zero_towards_it_or_across():
    ticket = level_of(
        [[[1, 1, 1, 1, 0]]],
        starts=[[[1, -1, 1, 2, 5]]],
        ends=[[[2, -0.5, -1, 2, 0]]],
    )
    found = values.moves(ticket, ["fc1.weight"])
    assert (found.away, found.towards, found.across, found.n) == (0.25, 0.25, 0.25, 4)
    assert found.distance == pytest.approx((1 + 0.5 + 2 + 0) / 4)
    assert found.size == pytest.approx(5 / 4)
    assert "25\u202f% of the survivors moved away" in values.moves_in_words(found)


def test_a_layer_without_weights_has_nothing_to_tell():
    empty = level_of([[[0, 0]]])
    assert values.moves_in_words(values.moves(empty, ["fc1.weight"])) == "No weight is left here."


# Units


def test_units_come_in_the_order_of_what_they_keep():
    table = anatomy.units(SMALL, chain_of(SMALL), "fc1.weight")
    assert table["unit"].tolist() == [0, 2, 1]
    assert table["reads"].tolist() == [2, 1, 0]
    assert table["read_by"].tolist() == [1, 0, 2]
    assert table["alive"].tolist() == [True, False, False]
    answers = anatomy.units(SMALL, chain_of(SMALL), "fc2.weight")
    assert answers["read_by"].tolist() == [0, 0]


def test_a_unit_shows_what_it_reads_and_what_reads_it():
    found = anatomy.unit(SMALL, chain_of(SMALL), "fc1.weight", 0)
    np.testing.assert_array_equal(np.isfinite(found.reads), [[[True, True, False]]])  # as an image
    ((reader, weights),) = found.read_by.items()
    assert reader == "fc2.weight"
    np.testing.assert_array_equal(np.isfinite(weights), [[True], [False]])
    assert anatomy.unit(SMALL, chain_of(SMALL), "fc2.weight", 1).read_by == {}


def test_the_strongest_links_come_first_and_pruned_ones_never():
    weights = np.array([0.1, np.nan, -3.0, 2.0])
    assert list(anatomy.strongest(weights, 2)) == [(2, -3.0), (3, 2.0)]
    assert [i for i, _ in anatomy.strongest(weights, 9)] == [2, 3, 0]


# Words


def test_words_name_dead_units_unread_pixels_and_silent_answers():
    words = anatomy.in_words(anatomy.layers(SMALL, chain_of(SMALL)))
    assert "No weight reads 1 of the 3 pixels." in words
    assert "No signal passes 2 of the 3 hidden units: they are dead." in words
    assert "The image has no influence on 1 of the 2 answers any more." in words


def test_a_dense_network_is_all_alive(store):
    (dense,) = engine.run(
        Experiment(Recipe(network="8", iterations=1, evaluate_every=1)), Context(store)
    )
    words = anatomy.in_words(anatomy.layers(dense, network("8", (1, 28, 28), 10)))
    assert words == "All 8 hidden units still carry a signal."


def test_every_figure_draws_a_real_level_and_an_empty_one(store):
    recipe = Recipe(network="8", iterations=4, evaluate_every=4)
    rounds = rounds_of([0.5, 0.999], scope="global")
    for level in engine.run(Experiment(recipe, rounds), Context(store)):
        table = anatomy.layers(level, recipe.net)
        assert "keeps" in ticket_figures.layers_figure(table).layout.meta["alt"]
        name = "fc1.weight"
        unit = anatomy.unit(level, recipe.net, name, 0)
        figure = weight_figures.maps_figure(unit.reads, "Unit 0", "pixel")
        assert "of 784 pixels are read" in figure.layout.meta["alt"]
        links = [(f"fc2 {i}", w) for i, w in anatomy.strongest(unit.read_by["fc2.weight"][:, 0], 5)]
        assert ticket_figures.links_figure(links, "Read by", "Nothing reads it.").data or not links
        died = anatomy.deaths([{name: np.ones_like(level.mask[name])}, {name: level.mask[name]}])
        figure = ticket_figures.survival_figure(died[name], "fc1", 1, 1)
        assert f"{(died[name] == 0).mean():.1%} are alive" in figure.layout.meta["alt"]
