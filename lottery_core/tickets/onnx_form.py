"""The trained sparse network as an ONNX graph, built and checked without torch."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from lottery_core.data import DataUnavailable, counts_of, mean_and_deviation, read_part
from lottery_core.findings.forward import EPSILON
from lottery_core.method.masks import Arrays
from lottery_core.spec.datasets import NORMALISATIONS
from lottery_core.spec.networks import Network, Operation
from lottery_core.store import Level, LevelInfo
from lottery_core.tickets.content import known_network_of

# Old enough for any runtime of the last years, new enough for all that is used here.
_OPSET, _IR = 17, 8
_TYPES = {  # and what each is told
    "conv": ("Conv", {}),
    "norm": ("BatchNormalization", {"epsilon": EPSILON}),
    "relu": ("Relu", {}),
    "pool": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "mean": ("ReduceMean", {"axes": [2, 3], "keepdims": 0}),
    "flat": ("Flatten", {}),
    "fc": ("Gemm", {"transB": 1}),
    "add": ("Add", {}),
}


def network(level: Level, datasets: Path) -> bytes:
    """A level's trained network; see `of`. Raises `InvalidValue` for a level of another version."""
    return of(known_network_of(level.info), level.end, level.info, datasets)


def of(net: Network, weights: Arrays, info: LevelInfo, datasets: Path) -> bytes:
    """`image` (batch, channels, rows, columns) float32, normalised as the recipe says -> `logits`
    (batch, classes). A fully connected network takes its images flat, as it always did: (batch,
    channels * rows * columns).

    Pruned weights are zeros in dense tensors, as runtimes want them; batch norm has its running
    statistics. The metadata names key, recipe and normalisation, with the data set's mean and
    deviation, channel by channel, where it lies in `datasets`.
    """
    image = net.input if net.is_convolutional else (math.prod(net.input),)
    values = [numpy_helper.from_array(weights[name], name) for name in _arrays(net)]
    graph = helper.make_graph(
        _nodes(net),
        f"ticket-{info.key[:8]}-level{info.level}",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *image])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", net.classes])],
        values,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="lottery-ticket-explorer",
    )
    helper.set_model_props(model, _metadata(info, net, datasets))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _nodes(net: Network) -> list[NodeProto]:
    """A node an operation; parameters go by their names, results by that of their node."""
    nodes, flowing, count = [], ["image"], Counter()
    for at in net.operations:
        if at.kind == "flat" and not net.is_convolutional:  # its images come so
            flowing.append("image")
            continue
        count[at.kind] += 1
        name = at.name or f"{at.kind}{count[at.kind]}"
        out = "logits" if at is net.operations[-1] else f"{name}.out"
        kind, options = _TYPES[at.kind]
        if at.kind == "conv":
            options = {"kernel_shape": [at.kernel] * 2, "strides": [at.stride] * 2,
                       "pads": [at.padding] * 4}  # fmt: skip
        given = [*(flowing[read] for read in at.reads), *_parameters(net, at)]
        nodes.append(helper.make_node(kind, given, [out], name=name, **options))
        flowing.append(out)
    return nodes


def _parameters(net: Network, at: Operation) -> list[str]:
    """The names of an operation's parameters, in the order in which ONNX takes them."""
    names = (f"{at.name}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
    return [name for name in names if at.name and name in _arrays(net)]


def _arrays(net: Network) -> dict[str, tuple[int, ...]]:
    return net.parameters | net.buffers


def _metadata(info: LevelInfo, net: Network, datasets: Path) -> dict[str, str]:
    recipe = info.experiment["recipe"]
    how = recipe["normalisation"]
    flat = "" if net.is_convolutional else ", flat in that order"
    found = {
        "key": info.key,
        "level": str(info.level),
        "contents": "the trained weights; pruned ones are 0",
        "network": net.title,
        "image": f"{'x'.join(map(str, net.input))}: channels, rows, columns{flat}",
        "recipe": json.dumps(recipe),
        "normalisation": f"pixels from 0 to 1, then {NORMALISATIONS[how]}",
    }
    if how == "half":
        return found | {"mean": "0.5", "deviation": "0.5"}
    if how == "dataset":
        try:
            pieces = read_part(
                recipe["dataset"], datasets, "train_images", recipe.get("content", "")
            )
        except DataUnavailable:
            return found
        channels = zip(*map(mean_and_deviation, counts_of(pieces)), strict=True)
        mean, deviation = (", ".join(f"{value:.9g}" for value in values) for values in channels)
        return found | {"mean": mean, "deviation": deviation}
    return found
