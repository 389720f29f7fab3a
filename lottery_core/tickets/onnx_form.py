"""The trained sparse network as an ONNX graph, built and checked without torch."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from lottery_core.data import DataUnavailable, counts_of, mean_and_deviation, read_part
from lottery_core.spec.datasets import CLASSES, NORMALISATIONS, PIXELS
from lottery_core.store import Level

# Old enough for any runtime of the last years, new enough for all that is used here.
_OPSET, _IR = 17, 8


def network(level: Level, datasets: Path) -> bytes:
    """`image` (batch, 784) float32, normalised as the recipe says -> `logits` (batch, 10).

    Pruned weights are zeros in dense tensors, as runtimes want them. The metadata names key,
    recipe and normalisation, with the data set's mean and deviation where it lies in `datasets`.
    """
    nodes, tensors, flowing = [], [], "image"
    layers = [name.removesuffix(".weight") for name in level.mask]
    for n, layer in enumerate(layers, 1):
        last = n == len(layers)
        names = [f"{layer}.weight", f"{layer}.bias"]
        tensors += [numpy_helper.from_array(level.end[name], name) for name in names]
        out = "logits" if last else f"{layer}.out"
        nodes.append(helper.make_node("Gemm", [flowing, *names], [out], name=layer, transB=1))
        flowing = out
        if not last:
            flowing = f"relu{n}.out"
            nodes.append(helper.make_node("Relu", [out], [flowing], name=f"relu{n}"))
    graph = helper.make_graph(
        nodes,
        f"ticket-{level.info['key'][:8]}-level{level.info['level']}",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", PIXELS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        tensors,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="lottery-ticket-explorer",
    )
    helper.set_model_props(model, _metadata(level.info, datasets))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _metadata(info: dict, datasets: Path) -> dict[str, str]:
    recipe = info["experiment"]["recipe"]
    how = recipe["normalisation"]
    found = {
        "key": info["key"],
        "level": str(info["level"]),
        "contents": "the trained weights; pruned ones are 0",
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
        mean, deviation = mean_and_deviation(counts_of(pieces))
        return found | {"mean": f"{mean:.9g}", "deviation": f"{deviation:.9g}"}
    return found
