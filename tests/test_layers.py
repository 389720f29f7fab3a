"""Which array of a file is which, and what comes after what: by names, shapes and order, told."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from torch.nn.utils import prune

from lottery_core.spec.checks import InvalidValue
from lottery_core.tickets import names
from lottery_core.tickets.incoming import read_upload
from lottery_core.tickets.unpacking import unpack
from tests.networks import masked, masks, npz, same, weights

SQUARE = (10, 10, 10)  # hidden layers 2 and 3, and the output layer, have one shape


def read(content):
    """The upload; every name of the file is in exactly one of two lists."""
    upload = read_upload("file", content)
    used = [name for name, _ in upload.reading.used_as]
    left = [name for name, _ in upload.reading.left_out]
    assert sorted(used + left) == sorted(unpack(content).arrays)
    return upload


def refused(content):
    with pytest.raises(InvalidValue) as caught:
        read_upload("file", content)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 300, message
    assert "; " in message
    return message


def told(upload):
    return " ".join(upload.reading.worked_out)


def named(arrays, labels):
    """The arrays of fc1, fc2, ... under other names of their layers."""
    old = [f"fc{i}" for i in range(1, len(labels) + 1)]
    new = dict(zip(old, labels, strict=True))
    return {f"{new[name.split('.')[0]]}.{name.split('.')[1]}": v for name, v in arrays.items()}


def ticket(hidden):
    """Masks, and weights and biases beside them, as torch.nn.utils.prune names them."""
    mask, start = masks(hidden), weights(hidden)
    arrays = {f"{n}_orig" if n in mask else n: values for n, values in start.items()}
    return arrays | {f"{name}_mask": kept.astype(np.float32) for name, kept in mask.items()}


# What a name says


@pytest.mark.parametrize(
    ("name", "kinds", "stem"),
    [
        ("fc1.weight_mask", {"mask", "weights"}, ("fc1",)),
        ("mask_fc1", {"mask"}, ("fc1",)),
        ("dense_1/kernel:0", {"weights"}, ("dense", "1")),
        ("fc1.bias_orig", {"bias", "weights"}, ("fc1",)),
        ("fc1Bias", {"bias"}, ("fc1",)),
        ("fc1bias", {"bias"}, ("fc1",)),
        ("w12", {"weights"}, ("12",)),
        ("b", {"bias"}, ()),
        ("alpha", set(), ("alpha",)),
        ("слой1.weight", {"weights"}, ("слой1",)),
        ("val_losses", {"other"}, ("val", "losses")),
        ("valLosses", {"other"}, ("val", "losses")),
        ("trainloss2", {"other"}, ("trainloss2",)),
        ("bn1.running_mean", {"other"}, ("bn1", "running", "mean")),
        ("bn1.bias", {"bias", "other"}, ("bn1",)),
        ("test_accuracies", {"other"}, ("test", "accuracies")),
        ("layer1", set(), ("layer1",)),
        ("0", set(), ("0",)),
    ],
)
def test_a_name_says_what_an_array_is_and_which_layer(name, kinds, stem):
    assert (names.kinds(name), names.stem(name)) == (kinds, stem)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("fc2", "fc10"),
        ("0.weight", "2.weight_orig"),
        ("dense/kernel:0", "dense_1/kernel:0"),
        ("layers/dense/vars/0", "layers/dense_1/vars/0"),
        ("mask_fc_1", "fc2.weight"),
        ("layer1_input", "layer2_middle"),
        ("block1.fc2", "block2.fc1"),
    ],
)
def test_numbers_in_names_order_layers(one, other):
    assert names.precedes(one, other)
    assert not names.precedes(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("alpha", "beta"), ("fc1", "output"), ("hidden1", "hidden1"), ("a1", "b2"), ("w", "w")],
)
def test_words_in_names_order_nothing(one, other):
    assert not names.precedes(one, other)
    assert not names.precedes(other, one)


# What comes after what


@pytest.mark.parametrize("labels", [*permutations(["alpha", "beta", "gamma"])])
def test_layers_of_one_shape_named_by_words_stay_in_the_order_of_an_npz(labels):
    hidden = (10, 10)
    arrays = named(masks(hidden), labels)
    upload = read(npz(**arrays))
    assert same(upload.mask, masks(hidden))
    assert upload.reading.used_as == tuple(
        (f"{label}.weight", f"mask of fc{i}") for i, label in enumerate(labels, 1)
    )
    assert "No numbers in their names order the masks: taken as they stand in the file." in told(
        upload
    )


@pytest.mark.parametrize("labels", [*permutations(["hidden", "middle", "output"])])
def test_weights_and_biases_beside_masks_stay_in_that_order_too(labels):
    mask, start = masks((10, 10)), weights((10, 10))
    upload = read(npz(**named(ticket((10, 10)), labels)))
    assert same(upload.mask, mask)
    assert same(upload.restart, masked(start, mask))
    assert "No numbers in their names order the layers" in told(upload)


@pytest.mark.parametrize("arrays", [masks(SQUARE), ticket(SQUARE)], ids=["masks", "ticket"])
def test_safetensors_keep_no_order_so_layers_of_one_shape_need_numbers(arrays):
    content = save(named(arrays, ["input", "alpha", "beta", "output"]))
    message = refused(content)
    assert "that could change places" in message
    assert "number them from input to output, as fc1, fc2, ..., or save them in order as .npz" in (
        message
    )
    upload = read(save(arrays))  # which does help, as does the other remedy
    assert same(upload.mask, masks(SQUARE))
    assert same(read(npz(**named(arrays, "abcd"))).mask, masks(SQUARE))


@pytest.mark.parametrize(
    "labels",
    [
        ["fc1", "fc2", "fc3", "fc4"],
        ["0", "2", "4", "10"],
        ["dense", "dense_1", "dense_2", "dense_10"],
        ["layers.0.fc", "layers.1.fc", "layers.2.fc", "layers.3.fc"],
        ["l1_input", "l2_hidden", "l3_a", "l4_output"],
    ],
    ids=str,
)
def test_numbers_in_names_order_layers_of_one_shape_in_any_file(labels):
    arrays = named(ticket(SQUARE), labels)
    for content in (save(arrays), npz(**arrays)):
        upload = read(content)
        assert same(upload.mask, masks(SQUARE))
        assert same(upload.restart, masked(weights(SQUARE), masks(SQUARE)))
        assert "order" not in told(upload)


def test_numbers_win_over_the_order_of_the_file_and_that_is_told():
    mask = masks(SQUARE)
    arrays = {name: mask[name] for name in ("fc1.weight", "fc3.weight", "fc2.weight", "fc4.weight")}
    upload = read(npz(**arrays))
    assert same(upload.mask, mask)
    assert told(upload) == (
        "The masks were put in order by the numbers in their names, not as they stand in the file."
    )


def test_numbers_of_some_layers_and_shapes_decide_together():
    hidden = (6, 6, 6)
    arrays = named(masks(hidden), ["hidden1", "hidden2", "hidden3", "output"])
    upload = read(save(arrays))
    assert same(upload.mask, masks(hidden))
    assert "by their shapes and the numbers in their names" in told(upload)


def test_numbers_that_make_no_network_decide_nothing():
    hidden = (6, 5)
    backwards = named(masks(hidden), ["fc3", "fc2", "fc1"])
    upload = read(npz(**backwards))
    assert same(upload.mask, masks(hidden))  # by shapes, which leave no choice
    assert "by their shapes, not by the numbers in their names" in told(upload)
    square = named(masks(SQUARE), ["fc4", "fc3", "fc2", "fc1"])
    assert "none of them that of the numbers in their names" in refused(npz(**square))


def test_a_file_that_is_in_no_order_of_a_network_decides_nothing():
    arrays = named(masks(SQUARE), ["input", "alpha", "beta", "output"])
    turned = dict(reversed(arrays.items()))
    assert "could change places" in refused(npz(**turned))
    assert "or save them in that order" in refused(npz(**turned))


def test_masks_in_another_order_than_their_weights_decide_nothing():
    arrays = named(ticket(SQUARE), ["input", "alpha", "beta", "output"])
    alpha = arrays.pop("alpha.weight_mask")
    assert "could change places" in refused(npz(**arrays, **{"alpha.weight_mask": alpha}))


def test_weights_named_after_no_mask_are_paired_by_order_and_that_is_told():
    mask, start = masks(SQUARE), weights(SQUARE)
    arrays = {f"a_{word}": kept for word, kept in zip("wxyz", mask.values(), strict=True)}
    arrays |= {f"c_{word}": start[name] for word, name in zip("zyxw", mask, strict=True)}
    upload = read(npz(**arrays))
    assert same(upload.mask, mask)
    for name in mask:
        assert np.array_equal(upload.restart[name], masked(start, mask)[name])
    assert "Which weights belong to which mask was told by their order." in told(upload)
    assert "could change places" in refused(save(arrays))


# Layers without a mask


class Network(torch.nn.Module):
    """LeNet-300-100 in small, its layers named as people name them."""

    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(784, 12)
        self.fc2 = torch.nn.Linear(12, 12)
        self.fc3 = torch.nn.Linear(12, 10)


@pytest.mark.parametrize("whole", [("fc3",), ("fc1",), ("fc2",), ("fc1", "fc3")], ids=str)
@pytest.mark.parametrize("write", [save, lambda state: npz(**state)], ids=["safetensors", "npz"])
def test_a_layer_with_weights_and_no_mask_is_kept_whole_and_that_is_told(whole, write):
    net = Network()
    for name in {"fc1", "fc2", "fc3"} - {*whole}:
        prune.l1_unstructured(getattr(net, name), "weight", amount=0.5)
    state = {name: values.detach().numpy() for name, values in net.state_dict().items()}
    upload = read(write(state))
    for name in ("fc1", "fc2", "fc3"):
        layer = getattr(net, name)
        kept = np.ones(layer.weight.shape, bool) if name in whole else layer.weight_mask.numpy() > 0
        assert np.array_equal(upload.mask[f"{name}.weight"], kept)
        assert np.array_equal(upload.restart[f"{name}.weight"], layer.weight.detach().numpy())
        assert np.array_equal(upload.restart[f"{name}.bias"], layer.bias.detach().numpy())
        sentence = f"'{name}.weight' has no mask: {name} is kept whole."
        assert (sentence in upload.reading.worked_out) == (name in whole)


def test_a_part_of_our_own_form_without_a_mask_for_each_layer_is_read_alike():
    mask, start = masks(), weights()
    arrays = {f"restart/{name}": values for name, values in start.items()}
    upload = read(save(arrays | {"mask/fc1.weight": mask["fc1.weight"]}))
    assert upload.mask["fc2.weight"].all()
    assert "'restart/fc2.weight' has no mask: fc2 is kept whole." in told(upload)


def test_what_stands_outside_of_the_parts_of_our_own_form_is_left_out():
    arrays = {f"mask/{name}": kept for name, kept in masks().items()}
    arrays |= {f"restart/{name}": values for name, values in weights().items()}
    upload = read(npz(**arrays, losses=np.ones(4), **{"other/fc2.bias": np.ones(10)}))
    assert same(upload.restart, masked(weights(), masks()))
    why = "outside of mask/, restart/ and trained/"
    assert upload.reading.left_out == (("losses", why), ("other/fc2.bias", why))


def test_a_mask_without_weights_among_others_with_weights_is_refused_by_name():
    arrays = ticket((6,))
    del arrays["fc2.weight_orig"]
    assert "'fc2.weight_mask' and no weights that are named after its layer" in refused(
        npz(**arrays)
    )


def test_masks_alone_that_end_early_get_a_remedy_that_helps():
    arrays = {f"{name}_mask": kept for name, kept in masks((6,)).items()}
    output = arrays.pop("fc2.weight_mask")
    assert "add the weights of a layer that has no mask" in refused(npz(**arrays))
    both = arrays | {name: values for name, values in weights((6,)).items() if "weight" in name}
    upload = read(npz(**both))
    assert upload.mask["fc2.weight"].shape == output.shape
    assert upload.mask["fc2.weight"].all()


def test_two_arrays_of_weights_for_one_layer_are_refused_by_name():
    arrays = ticket((6,)) | {"fc1.weight": weights((6,))["fc1.weight"]}
    assert "'fc1.weight_orig' and 'fc1.weight' for one layer" in refused(npz(**arrays))


def test_a_table_that_is_named_as_one_is_no_layer_though_it_would_fit():
    arrays = ticket((6,)) | {"confusion_matrix": np.full((10, 10), 0.5, np.float32)}
    upload = read(npz(**arrays))
    assert upload.network == "6"
    assert upload.reading.left_out == (
        ("confusion_matrix", "named as something other than weights"),
    )
    arrays["foo"] = arrays.pop("confusion_matrix")
    assert "'foo' that may be one layer more or none" in refused(npz(**arrays))


# Biases


def without_bias(layer, hidden=(100,)):
    return {name: v for name, v in ticket(hidden).items() if name != f"{layer}.bias"}


@pytest.mark.parametrize(
    "name",
    ["val_losses", "valLosses", "trainloss", "accuracy", "history", "bn1.running_mean", "bn1.bias",
     "fc1.running_var", "learning_rates", "loss_curve", "fc1.scale_weight", "norm.weight"],
)  # fmt: skip
def test_a_vector_that_is_named_otherwise_is_no_bias_though_it_would_fit(name):
    arrays = without_bias("fc1") | {name: np.ones(100, np.float32)}
    for content in (npz(**arrays), save(arrays)):
        upload = read(content)
        assert not upload.restart["fc1.bias"].any()
        assert upload.reading.left_out == ((name, "named as something other than a bias"),)
        assert "The weights have no biases for fc1: set to 0." in told(upload)


def test_a_vector_that_is_named_as_nothing_is_a_bias_only_if_nothing_is_left_over():
    start = weights((100,))
    upload = read(npz(**without_bias("fc1"), x=start["fc1.bias"]))
    assert np.array_equal(upload.restart["fc1.bias"], start["fc1.bias"])
    assert "'x' of 100 values was taken for the bias of fc1." in told(upload)
    assert dict(upload.reading.used_as)["x"] == "bias of fc1"
    # One of a hundred for two layers, two for one, one for none, one of another size.
    alone = {name: v for name, v in without_bias("fc1").items() if name != "fc2.bias"}
    for arrays in (
        alone | {"x": start["fc1.bias"]},
        without_bias("fc1") | {"x": start["fc1.bias"], "y": start["fc1.bias"]},
        ticket((100,)) | {"x": start["fc1.bias"]},
        without_bias("fc1") | {"x": np.ones(99, np.float32)},
    ):
        upload = read(npz(**arrays))
        left = dict(upload.reading.left_out)
        assert left.keys() == arrays.keys() & {"x", "y"}
        assert {*left.values()} == {"not named as a bias, and not one by elimination"}
        assert not {"x", "y"} & dict(upload.reading.used_as).keys()


@pytest.mark.parametrize("label", ["fc{}.bias", "bias_fc{}", "fc{}_b", "fc{}", "fc{}.bias_orig"])
def test_a_vector_with_the_name_of_its_layer_is_its_bias_without_a_word(label):
    hidden = (10, 10)
    start = weights(hidden)
    arrays = {n: v for n, v in ticket(hidden).items() if not n.endswith(".bias")}
    arrays |= {label.format(i): start[f"fc{i}.bias"] for i in (1, 2, 3)}
    upload = read(save(arrays))
    assert same(upload.restart, masked(start, masks(hidden)))
    assert "bias" not in told(upload)


def test_biases_under_names_of_no_layer_go_by_size_number_and_file_order():
    hidden = (10, 7)
    start = weights(hidden)
    biases = [start[f"fc{i}.bias"] for i in (1, 2, 3)]
    rest = {n: v for n, v in ticket(hidden).items() if not n.endswith(".bias")}
    for labels, files in (
        (["bias_x1", "bias_x2", "bias_x3"], (save, lambda arrays: npz(**arrays))),
        (["x1", "x2", "x3"], (save, lambda arrays: npz(**arrays))),
        (["z", "y", "x"], (lambda arrays: npz(**arrays),)),
        (["z_bias", "y_bias", "x_bias"], (lambda arrays: npz(**arrays),)),
    ):
        arrays = rest | dict(zip(labels, biases, strict=True))
        for write in files:
            upload = read(write(arrays))
            assert same(upload.restart, masked(start, masks(hidden)))
            for i, label in enumerate(labels, 1):
                assert f"'{label}' of {len(biases[i - 1])} values was taken for the bias of" in (
                    told(upload)
                )
    assert "has biases that could change places" in refused(save(arrays))


def test_a_bias_that_has_the_name_of_one_layer_and_the_size_of_another_is_refused():
    start = weights((100,))
    arrays = {n: v for n, v in ticket((100,)).items() if not n.endswith(".bias")}
    arrays["fc1.bias"] = start["fc2.bias"]
    assert "'fc1.bias' of 10 values that is no layer's bias for sure" in refused(npz(**arrays))


def test_a_layer_may_be_called_what_is_no_layer_elsewhere():
    labels = ["scale", "beta"]
    upload = read(save(named(ticket((6,)), labels)))
    assert same(upload.restart, masked(weights((6,)), masks((6,))))
    assert upload.reading.left_out == ()


# Any network


FORMS = [  # mask, weights, bias
    ("fc{}.weight_mask", "fc{}.weight_orig", "fc{}.bias"),
    ("mask/fc{}.weight", "restart/fc{}.weight", "restart/fc{}.bias"),
    ("dense_{}/mask", "dense_{}/kernel:0", "dense_{}/bias:0"),
    ("m{}", "w{}", "b{}"),
    ("layer{}Mask", "layer{}Weight", "layer{}Bias"),
    ("fc{}_mask", "fc{}", "fc{}_b"),
]
STRAYS = {
    "val_losses": (10,),
    "epoch": (),
    "lr": (),
    "bn1.running_mean": (6,),
    "bn1.bias": (4,),
    "test_accuracy": (3,),
    "confusion": (10, 10),
}


@given(
    st.lists(st.sampled_from([4, 6, 10]), max_size=3).map(tuple),
    st.sampled_from(FORMS),
    st.sets(st.sampled_from([1, 2, 3, 4])),
    st.sets(st.sampled_from([1, 2, 3, 4])),
    st.sets(st.sampled_from([*STRAYS])),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_named_network_is_read_as_it_is_with_every_name_accounted_for(
    hidden, form, masked_layers, biased_layers, strays, as_npz, source
):
    mask, start = masks(hidden), weights(hidden)
    if not masked_layers & {*range(1, len(mask) + 1)}:
        masked_layers = {1}
    arrays = {}
    for i, name in enumerate(mask, 1):
        of_mask, of_weights, of_bias = (part.format(i) for part in form)
        arrays[of_weights] = start[name]
        if i in masked_layers:
            arrays[of_mask] = mask[name]
        else:
            mask[name] = np.ones_like(mask[name])
        if i in biased_layers:
            arrays[of_bias] = start[name.replace("weight", "bias")]
        else:
            start[name.replace("weight", "bias")] = np.zeros(len(mask[name]), np.float32)
    arrays |= {stray: np.full(STRAYS[stray], 0.5, np.float32) for stray in strays}
    items = list(arrays.items())
    source.shuffle(items)
    upload = read(npz(**dict(items)) if as_npz else save(dict(items)))
    assert same(upload.mask, mask)
    assert same(upload.restart, masked(start, mask))
    assert {name for name, _ in upload.reading.left_out} == strays
