"""Convolutional masks and tickets are read in everybody's layout and under everybody's names."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from lottery_core.findings.forward import logits
from lottery_core.running import engine
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, Dataset, register
from lottery_core.spec.networks import network
from lottery_core.spec.recipe import Recipe
from lottery_core.tickets import files, fitting, transfer
from lottery_core.tickets.incoming import read_upload
from lottery_core.tickets.verify import verify, verify_in_words
from lottery_core.training.context import Context
from tests.networks import make_level, masked, masks, net_of, npz, same, weights

NAMED = ["lenet-5", "conv-2", "resnet-20"]


def read(content, text=""):
    """The upload; every name of the file is in exactly one of two lists."""
    upload = read_upload("file", content, text)
    used, left = ([name for name, _ in pairs] for pairs in
                  (upload.reading.used_as, upload.reading.left_out))  # fmt: skip
    assert len({*used, *left}) == len(used) + len(left)
    return upload


def refused(content, text=""):
    with pytest.raises(InvalidValue) as caught:
        read_upload("file", content, text)
    message = str(caught.value)
    assert len(message) < 300, message
    assert message.isprintable()
    return message


def told(upload):
    return " ".join(upload.reading.worked_out)


# Each makes somebody's arrays of our masks and weights.


def torch_pruned(net, mask, start):
    """As torch.nn.utils.prune and torchvision: layers of a Sequential by their numbers, with
    gaps where there are pools, and batch norm next to its convolution."""
    if any(at.kind == "add" for at in net.operations):
        return in_blocks(net, mask, start, "layer1.0.", "downsample", "{}_mask", "{}_orig")
    arrays, place = {}, {}
    for n, at in enumerate(one for one in net.operations if one.name):
        place[at.name] = f"features.{3 * n}"
    for name, values in start.items():
        layer, _, part = name.partition(".")
        end = "_orig" if name in mask else ""
        arrays[f"{place[layer]}.{part}{end}"] = values
        if name in mask:
            arrays[f"{place[layer]}.{part}_mask"] = mask[name].astype(np.float32)
    return arrays


def open_lth(net, mask, start):
    """As open_lth's pruned models: masks in buffers beside a wrapped model."""
    if any(at.kind == "add" for at in net.operations):
        arrays = in_blocks(net, mask, start, "blocks.", "shortcut", "mask.{}", "model.{}")
    else:
        place, last = {}, net.output.partition(".")[0]
        for at in (one for one in net.operations if one.name):
            number = re.sub(r"\D", "", at.name)
            where = {"conv": f"layers.{number}.conv", "norm": f"layers.{number}.bn"}
            place[at.name] = where.get(at.kind, f"fc_layers.{number}")
        place[last] = "fc"
        arrays = {
            f"model.{place[name.partition('.')[0]]}.{name.partition('.')[2]}": values
            for name, values in start.items()
        }
        arrays |= {f"mask.{place[name.partition('.')[0]]}.weight": m for name, m in mask.items()}
    buffers = [name for name in arrays if name.startswith("mask.")]
    for name in buffers:
        theirs = f"mask_{name.removeprefix('mask.').replace('.', '___')}"
        arrays[theirs] = arrays.pop(name).astype(np.float32)
    return arrays


def in_blocks(net, mask, start, blocks, shortcut, of_mask, of_weights):
    """A ResNet's arrays by block, the convolution of a shortcut after the two beside it."""
    place, block, inside = {"conv1": "conv", "norm1": "bn"}, -1, 0
    for n, at in enumerate(net.operations, 1):
        if at.kind == "conv" and n > 1:
            if at.kernel == 1:
                place[at.name] = f"{blocks}{block}.{shortcut}.0"
                place[f"norm{at.name[4:]}"] = f"{blocks}{block}.{shortcut}.1"
                continue
            block, inside = (block + 1, 1) if inside in (0, 2) else (block, 2)
            place[at.name] = f"{blocks}{block}.conv{inside}"
            place[f"norm{at.name[4:]}"] = f"{blocks}{block}.bn{inside}"
    place["fc1"] = "fc"
    arrays = {}
    for name, values in start.items():
        layer, _, part = name.partition(".")
        theirs = f"{place[layer]}.{part}"
        if name in mask:
            arrays[of_mask.format(theirs)] = mask[name]
            arrays[of_weights.format(theirs)] = values
        else:
            arrays["model." * of_weights.startswith("model.") + theirs] = values
    return arrays


def keras(net, mask, start):
    """As Keras saves a model whose pruned weights are 0: the last two sides of a kernel are inputs
    and outputs, and images are flattened by rows, columns and channels."""
    flat = next((at for at in net.operations if at.kind == "flat"), None)
    reader = flat and next(
        at.name for at in net.operations if net.operations.index(flat) + 1 in at.reads
    )
    titles = {"conv": "conv2d", "norm": "batch_normalization", "fc": "dense"}
    parts = {"weight": "kernel:0", "bias": "bias:0"}
    of_norm = {"weight": "gamma:0", "bias": "beta:0", "running_mean": "moving_mean:0",
               "running_var": "moving_variance:0"}  # fmt: skip
    arrays = {}
    for name, values in masked(start, mask).items():
        layer, _, part = name.partition(".")
        kind, number = re.fullmatch(r"([a-z]+)(\d+)", layer).groups()
        theirs = f"{titles[kind]}_{int(number) - 1}".removesuffix("_0")
        if values.ndim == 4:
            values = values.transpose(2, 3, 1, 0)
        if values.ndim == 2:
            if layer == reader:
                shape = net.shape_of(flat.reads[0])
                values = values.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(values), -1)
            values = values.T
        arrays[f"{theirs}/{(of_norm if kind == 'norm' else parts)[part]}"] = values
    return arrays


def read_as(form, start):
    """What we have of weights in that form: Keras's batch norm adds 0.001 to a variance where ours
    adds 0.00001."""
    return {
        name: np.float32(values + (1e-3 - 1e-5))
        if form is keras and name.endswith("running_var")
        else values
        for name, values in start.items()
    }


@pytest.mark.parametrize("write", [save, lambda arrays: npz(**arrays)], ids=["safetensors", "npz"])
@pytest.mark.parametrize("form", [torch_pruned, open_lth, keras])
@pytest.mark.parametrize(
    "text", [*NAMED, "norm 4 pool 8 pool 16 mean", "resnet-8 x0.25", "vgg-16 x0.1"]
)
def test_a_ticket_comes_back_from_everybodys_layout_and_names(text, form, write):
    net, mask, start = net_of(text), masks(text), weights(text)
    arrays = form(net, mask, start)
    upload = read(write({name: np.ascontiguousarray(values) for name, values in arrays.items()}))
    assert upload.net == net
    assert same(upload.mask, mask)
    for name, values in read_as(form, masked(start, mask)).items():
        nearest = 1e-6 if name.endswith("running_var") and form is keras else 0
        np.testing.assert_allclose(upload.restart[name], values, rtol=nearest, err_msg=name)
    assert upload.reading.left_out == ()
    assert f"taken for those of {net.title}, for images of 1x28x28 and 10 classes" in told(upload)
    assert ("as in Keras: turned" in told(upload)) == (form is keras)


@pytest.mark.parametrize("text", NAMED)
def test_masks_alone_are_read_in_both_layouts(text):
    net, mask = net_of(text), masks(text)
    assert same(read(npz(**mask)).mask, mask)
    start = {name: np.ones(shape, np.float32) for name, shape in net.parameters.items()}
    turned = {name: values.astype(bool) for name, values in keras(net, mask, start).items()
              if "kernel" in name}  # fmt: skip
    upload = read(npz(**turned))
    assert (upload.net, upload.restart) == (net, None)
    assert same(upload.mask, mask)
    assert ("as TensorFlow flattens" in told(upload)) == (text != "resnet-20")


def test_masks_and_weights_may_have_layouts_of_their_own():
    text = "4 pool 6@5v pool 12"
    net, mask, start = net_of(text), masks(text), weights(text)
    theirs = keras(net, mask, start)
    arrays = {name: np.ascontiguousarray(values) for name, values in theirs.items()}
    names = [name for name in theirs if "kernel" in name]
    arrays |= {name.replace("kernel:0", "mask"): m
               for name, m in zip(names, mask.values(), strict=True)}  # fmt: skip
    upload = read(npz(**arrays))
    assert same(upload.mask, mask)
    assert same(upload.restart, masked(start, mask))
    assert "The weights are stored as (rows, columns, inputs, outputs)" in told(upload)


def test_what_was_read_answers_as_the_network_that_keras_and_torch_wrote():
    """The order of a flattened image is what a network computes, not a way to store it."""
    text = "4 pool 6@5v pool 12"
    net, mask, start = net_of(text), masks(text), weights(text)
    arrays = keras(net, mask, start)
    upload = read(npz(**{name: np.ascontiguousarray(values) for name, values in arrays.items()}))
    images = np.random.default_rng(0).random((3, 1, 28, 28)).astype(np.float32)
    # As TensorFlow computes it, in torch's operations: channels last, flattened as they lie.
    x = torch.from_numpy(images)
    for n, padding in ((0, 1), (1, 0)):
        layer = f"conv2d_{n}".removesuffix("_0")
        kernel = torch.from_numpy(arrays[f"{layer}/kernel:0"].copy()).permute(3, 2, 0, 1)
        bias = torch.from_numpy(arrays[f"{layer}/bias:0"])
        x = torch.nn.functional.conv2d(x, kernel, bias, padding=padding).relu()
        x = torch.nn.functional.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = (x @ torch.from_numpy(arrays["dense/kernel:0"].copy()) + torch.from_numpy(
        arrays["dense/bias:0"])).relu()  # fmt: skip
    x = x @ torch.from_numpy(arrays["dense_1/kernel:0"].copy()) + torch.from_numpy(
        arrays["dense_1/bias:0"])  # fmt: skip
    np.testing.assert_allclose(logits(net, upload.restart, images), x.numpy(), rtol=1e-4)


def test_batch_norm_with_keras_s_epsilon_answers_as_keras_defines_it():
    """In float64 by the definition; variances so small that the epsilon is most of them."""
    text = "norm 4 mean"
    net, mask, start = net_of(text), masks(text), weights(text)
    start["norm1.running_var"] = np.array([1e-6, 1e-4, 1e-3, 0.5], np.float32)
    arrays = {name: np.ascontiguousarray(v) for name, v in keras(net, mask, start).items()}
    upload = read(npz(**arrays))
    images = np.random.default_rng(0).random((3, 1, 28, 28)).astype(np.float32)

    given = {name: values.astype(float) for name, values in arrays.items()}
    padded = np.pad(images[:, 0].astype(float), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    x = np.einsum("nrcij,ijo->nrco", windows, given["conv2d/kernel:0"][:, :, 0])
    norm = {part: given[f"batch_normalization/{part}:0"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")}  # fmt: skip

    def answers(epsilon):
        spread = np.sqrt(norm["moving_variance"] + epsilon)
        y = norm["gamma"] * (x - norm["moving_mean"]) / spread + norm["beta"]
        pooled = np.maximum(y, 0).mean(axis=(1, 2))
        return pooled @ given["dense/kernel:0"] + given["dense/bias:0"]

    found = logits(net, upload.restart, images)
    np.testing.assert_allclose(found, answers(1e-3), rtol=1e-4, atol=1e-4)
    assert np.abs(found - answers(1e-5)).max() > 0.1  # what it would be with the variance as it is
    assert "Keras's batch norm adds 0.001 to a variance and the one here 0.00001" in told(upload)
    of_torch = read(npz(**masked(start, mask)))
    assert "epsilon" not in told(of_torch)


# Shapes that say little


def test_square_layers_follow_the_layout_of_the_others():
    text = "3 3 pool 49 49"  # (3, 3, 3, 3) and (49, 49) are the same in both layouts
    net = network(text, (3, 14, 14), 10)
    source = np.random.default_rng(0)
    mask = {name: source.random(shape) < 0.5 for name, shape in net.shapes.items()}
    for turned in (False, True):
        arrays = keras(net, mask, {n: np.ones(m.shape, np.float32) for n, m in mask.items()})
        arrays = {name: values != 0 for name, values in arrays.items()} if turned else mask
        with small_images():
            upload = read(npz(**arrays))
        assert upload.net == net
        assert same(upload.mask, mask)


def test_where_every_shape_is_square_words_tell_the_layout_and_the_choice_is_told():
    net = network("3 mean", (3, 14, 14), 3)
    source = np.random.default_rng(0)
    mask = {name: source.random(shape) < 0.5 for name, shape in net.shapes.items()}
    with small_images(classes=3):
        upload = read(npz(**mask))
        assert same(upload.mask, mask)
        assert "may be stored as in torch or as in TensorFlow: read as in torch." in told(upload)
        turned = keras(net, mask, {n: np.ones(m.shape, np.float32) for n, m in mask.items()})
        upload = read(npz(**{name: values != 0 for name, values in turned.items()}))
        assert same(upload.mask, mask)
        assert "torch or as in TensorFlow: read as in TensorFlow." in told(upload)


def small_images(classes=10):
    """Have a data set of 3x14x14 while it is used."""
    return _Registered(
        Dataset("Small", "", 100, 50, {}, (), {}, image=(3, 14, 14), classes=classes)
    )


class _Registered:
    def __init__(self, dataset):
        self.dataset = dataset

    def __enter__(self):
        register("small", self.dataset)

    def __exit__(self, *error):
        register("small", None)


def test_convolutions_of_one_shape_need_numbers_or_an_order():
    text = "4 4 4 4 pool 8"
    mask = masks(text)
    words = ["first", "alpha", "beta", "gamma", "dense", "output"]
    arrays = dict(zip(words, mask.values(), strict=True))
    assert "could change places, 'beta' and 'gamma'" in refused(save(arrays))
    upload = read(npz(**arrays), text)
    assert same(upload.mask, mask)
    assert "taken as they stand in the file" in told(upload)


def test_many_layers_that_nothing_orders_are_refused_in_words_and_soon():
    arrays = {f"{chr(97 + i // 26)}{chr(97 + i % 26)}": np.ones((4, 4, 3, 3), bool)
              for i in range(50)}  # fmt: skip
    arrays |= {"conv9": np.ones((4, 1, 3, 3), bool), "out": np.ones((10, 4), bool)}
    assert "could change places" in refused(save(arrays))
    # Numbers that contradict the shapes: no order of the other fifty would help.
    arrays |= {"v2": np.ones((5, 4, 3, 3), bool), "v1": np.ones((4, 5, 3, 3), bool)}
    assert "could be in too many orders; number them from input to output" in refused(save(arrays))


# Which network


def test_a_ticket_of_images_that_are_not_here_is_read_and_that_is_told():
    with small_images():
        level = make_level("4 pool 8", dataset="small", validation_size=10)
        content = files.mask_safetensors(replace(level, mask=_colour_masks()))
    # As where it was never added: the network alone is believed.
    upload = read(content)
    assert (upload.network, upload.net.input) == ("4 pool 8", (3, 14, 14))
    assert ("header: experiment", "names a data set that is not here, small") in (
        upload.reading.left_out
    )
    with pytest.raises(InvalidValue, match="for images of 3x14x14 in 10 classes, and no data set"):
        transfer.recipe_of(upload)


@pytest.mark.parametrize("text", [
    "6 pool 16 pool 120 84", "8@5 pool 16@5v pool 50", "8 8 pool 16 16 pool 10",
    "norm 4 pool 6 mean", "6@5v pool 16@5v pool 120 84", "4 pool 4 pool 4 pool",
    "16 16 pool 64 64", "12 mean",
])  # fmt: skip
def test_a_plain_text_is_found_from_shapes_and_what_else_fits_is_told(text):
    net = net_of(text)
    shapes = [*net.shapes.values()]
    (route,) = [one for one in fitting.routes(shapes, []) if one.holds(shapes)]
    found = [one.network for one in route.fitting(shapes, "norm" in text)]
    assert found[0] == net
    upload = read(save(masked(weights(text), masks(text))))
    assert upload.network == net.text
    for other in found[1:]:
        assert other.shapes == net.shapes
        assert f"{other.title} has these shapes too" in told(upload)


def test_the_network_that_is_named_is_read_where_shapes_leave_a_choice():
    text = "8 8 16 pool 16 pool 10"
    content = npz(**masks(text))
    assert read(content).network == "8 8 pool 16 16 pool 10"
    assert f"{text} has these shapes too" in told(read(content))
    upload = read(content, text)
    assert upload.network == text
    assert "taken for" not in told(upload)
    message = refused(content, "conv-2")
    assert "has masks of 8 x 1 x 3 x 3, 8 x 8 x 3 x 3" in message
    assert "the network that is named, conv-2, has 64 x 1 x 3 x 3, 64 x 64 x 3 x 3" in message
    assert "none of: a width" in refused(content, "no network")


def test_our_own_tickets_say_which_network_they_are():
    for text in ("8 8 16 pool 16 pool 10", "norm 4 6 pool 6 mean", "resnet-8 x0.25"):
        level = make_level(text)
        for make in (files.mask_safetensors, files.ticket_safetensors):
            upload = read(make(level))
            assert upload.network == text
            assert upload.reading.worked_out == upload.reading.left_out == ()
            assert same(upload.mask, level.mask)


def test_a_header_that_names_another_network_is_not_believed():
    level = make_level("4 pool 6 pool 12")
    content = files.mask_safetensors(level).replace(b"4 pool 6 pool 12", b"5 pool 6 pool 12")
    upload = read(content)
    assert upload.network == "4 pool 6 pool 12"
    assert same(upload.mask, level.mask)


def test_widths_follow_a_factor_for_every_network_with_a_name():
    for text in ("lenet-5 x0.5", "conv-2 x0.0625", "conv-4 x0.0625", "vgg-16 x0.05",
                 "resnet-20 x0.25", "resnet-8 x0.5", "resnet-14 x1.5"):  # fmt: skip
        net = net_of(text)
        assert read(npz(**masks(text))).net == net


def test_pictures_in_colour_are_told_by_their_channels():
    net = network("conv-2 x0.0625", (3, 32, 32), 100)
    mask = {name: np.ones(shape, bool) for name, shape in net.shapes.items()}
    assert read(npz(**mask)).net == net


# Batch norm and biases


def test_batch_norm_is_neither_pruned_nor_counted():
    text = "norm 4 pool 6 mean"
    upload = read(save(masked(weights(text), masks(text))))
    assert [*upload.mask] == ["conv1.weight", "conv2.weight", "fc1.weight"]
    used = dict(upload.reading.used_as)
    assert used["norm1.weight"] == "scale of norm1"
    assert used["norm2.running_var"] == "running variance of norm2"


def test_a_network_without_batch_norm_is_not_taken_for_one_that_has_it():
    text = "6 6 pool 13 13 pool 26 26 26 pool 51 51 51 pool 51 51 51 mean"
    assert read(save(masked(weights(text), masks(text)))).network == text
    alone = read(save(masks(text)))
    assert alone.network == f"norm {text}"
    assert "Whether it has batch norm is not in the file: it is read as a network with it." in (
        told(alone)
    )


def test_vectors_without_names_that_may_be_of_batch_norm_are_refused():
    text = "norm 4 pool 6 mean"
    arrays = keras(net_of(text), masks(text), weights(text))
    unnamed = {f"arr_{n}": np.ascontiguousarray(v) for n, v in enumerate(arrays.values())}
    message = refused(npz(**unnamed))
    assert "has 8 vectors such as 'arr_1' beside 3 layers, which may be of batch norm" in message
    assert "as norm1/gamma, norm1/beta, norm1/moving_mean and norm1/moving_variance" in message
    # Without batch norm every vector is a bias by its size and number.
    text = "lenet-5"
    arrays = keras(net_of(text), masks(text), weights(text))
    unnamed = {f"arr_{n}": np.ascontiguousarray(v) for n, v in enumerate(arrays.values())}
    assert same(read(npz(**unnamed)).restart, masked(weights(text), masks(text)))


def test_running_statistics_that_are_missing_are_as_before_any_training():
    text = "norm 4 pool 6 mean"
    arrays = {n: v for n, v in masked(weights(text), masks(text)).items() if "running" not in n}
    upload = read(save(arrays))
    assert not upload.restart["norm1.running_mean"].any()
    assert (upload.restart["norm2.running_var"] == 1).all()
    assert "set to running mean 0, running variance 1" in told(upload)


def test_the_bias_of_a_convolution_before_batch_norm_changes_no_answer():
    text = "norm 4 pool 6 mean"
    net, start = net_of(text), masked(weights(text), masks(text))
    biased = start | {"conv1.bias": np.array([1, -2, 3, 0.5], np.float32)}
    upload = read(save(biased))
    assert dict(upload.reading.used_as)["conv1.bias"] == (
        "bias of conv1, taken off the running mean of norm1"
    )
    taken = start["norm1.running_mean"] - biased["conv1.bias"]
    assert np.array_equal(upload.restart["norm1.running_mean"], taken)
    assert same({n: v for n, v in upload.restart.items() if n != "norm1.running_mean"},
                {n: v for n, v in start.items() if n != "norm1.running_mean"})  # fmt: skip
    assert [*upload.restart] == [*(net.parameters | net.buffers)]


# From a file to a training


def test_a_ticket_of_convolutions_is_verified_and_trained(store):
    text = "norm 2 pool 4 mean"
    mask, start = masks(text), weights(text)
    upload = read(npz(**{n: np.ascontiguousarray(v) for n, v in
                         keras(net_of(text), mask, start).items()}))  # fmt: skip
    findings = verify(upload, store)
    assert "Nothing in this cache has this mask" in verify_in_words(findings)
    recipe = transfer.adapted(transfer.recipe_of(upload), iterations=2)
    recipe = replace(recipe, evaluate_every=2, batch_size=8)
    assert (recipe.network, recipe.dataset) == (text, "mnist")
    store.write_ticket(upload.content_digest, upload.mask, upload.restart)
    experiment = transfer.experiment(upload, recipe)
    list(engine.run(experiment, Context(store)))
    level = store.read(experiment.key)
    assert same(level.mask, mask)
    for name, values in level.start.items():
        assert np.array_equal(values, upload.restart[name])
    again = read(files.ticket_safetensors(level))
    assert {finding.verdict for finding in verify(again, store)} == {"matches"}


def test_a_ticket_is_trained_on_data_sets_that_its_network_can_read():
    with small_images():
        upload = read(npz(**_colour_masks()))
        assert transfer.datasets_of(upload.net) == ["small"]
        recipe = transfer.recipe_of(upload)
        assert (recipe.dataset, recipe.validation_size) == ("small", 10)
        other = replace(recipe, dataset="mnist")
        with pytest.raises(InvalidValue, match="has images of 1x28x28 in 10 classes, and the tick"):
            transfer.experiment(upload, other)
    assert "small" not in DATASETS
    known = read(npz(**_colour_masks(side=32)))
    if not transfer.datasets_of(known.net):
        with pytest.raises(InvalidValue, match="for images of 3x32x32 in 10 classes, and no data"):
            transfer.recipe_of(known)


def _colour_masks(side=14):
    net = network("4 pool 8", (3, side, side), 10)
    source = np.random.default_rng(0)
    return {name: source.random(shape) < 0.5 for name, shape in net.shapes.items()}


def test_every_recipe_that_names_the_network_by_another_text_is_its_own():
    upload = read(files.ticket_safetensors(make_level("lenet-5")))
    assert Recipe(network="lenet-5").net == upload.net
    recipe = transfer.recipe_of(upload)
    assert transfer.experiment(upload, replace(recipe, network="lenet-5")).rounds[0].ticket
