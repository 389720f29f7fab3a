"""How soon does accuracy follow a rub? `python -m benchmarks.by_hand`.

For each network and each layer a rub of a few cells, as the Ticket page gets it: the strokes are
read, the mask is made, and the network answers test images in NumPy on one thread until 0.1 s have
gone by (the first answer, of as many images as are done by then) and then until all of its sample
is answered; by hand alone, and then for magnitude and chance beside it. Weights are drawn, not
trained, which costs the same. Seconds are of processor time, from the strokes to the number: what
it takes where a core is free, without what Streamlit and the browser need around it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from lottery_core.findings import by_hand
from lottery_core.findings.by_hand import FIRST, go_on
from lottery_core.method.masks import Arrays, apply
from lottery_core.spec.recipe import Recipe
from lottery_core.store import CACHE, Store, processor

NETWORKS = {
    "lenet-300-100": "mnist",
    "lenet-5": "mnist",
    "conv-2": "mnist",
    "conv-6": "mnist",
    "resnet-20 x0.25": "mnist",
    "resnet-20": "mnist",
    "vgg-16 x0.25": "mnist",
}
TURNS = 3
CELLS = 9  # of a picture, one beside the other


def weights_of(recipe: Recipe, source: np.random.Generator) -> Arrays:
    """Drawn, with variances that are none of them 0."""
    shapes = recipe.net.parameters | recipe.net.buffers
    return {
        name: np.ones(shape, np.float32)
        if name.endswith("running_var")
        else source.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def time_layer(recipe: Recipe, weights: Arrays, mask: Arrays, of: by_hand.Sample, name: str):
    """Seconds and images of the first answer, and seconds of the whole sample's, by hand; and of
    all three; medians of some rubs."""
    net = recipe.net
    shapes = {layer: kept.shape for layer, kept in mask.items()}
    number = list(shapes).index(name)
    way = by_hand.rubbed(net, weights, of, by_hand.first_touched(net, mask, mask, name))
    way.keep()  # as it is from the second rub of a layer on
    cells = int(by_hand.cells_of(shapes[name]).max()) + 1
    found = []
    for turn in range(TURNS):
        began = time.thread_time()
        end = began + FIRST
        first = turn * CELLS % max(1, cells - CELLS)
        strokes = by_hand.read_strokes([[number, [first, min(CELLS, cells)]]], shapes)
        left = by_hand.rub_out(mask, strokes)
        ways = by_hand.counted(way, apply(weights, left), of)
        quick = go_on(ways, lambda found, end=end: time.thread_time() >= end)
        answered = time.thread_time() - began
        go_on(ways)
        whole_after = time.thread_time() - began
        for criterion in ("magnitude", "random"):
            other = by_hand.as_many(criterion, weights, mask, left)
            go_on(by_hand.counted(way, apply(weights, other), of))
        found.append((answered, quick.of, whole_after, time.thread_time() - began))
    return [statistics.median(values) for values in zip(*found, strict=True)]


def main() -> None:
    """Print a table: a row a network, its median layer and its worst."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    chosen = parser.parse_args().networks
    print(f"{processor()}, one thread; milliseconds, median layer / worst layer\n")
    print("| network | images | first answer | of images | all of them | with both others |")
    print("|---|---|---|---|---|---|")
    source, datasets = np.random.default_rng(0), Store(CACHE).datasets
    for text in chosen:
        recipe = Recipe(network=text, dataset=NETWORKS.get(text, "mnist"))
        weights, of = weights_of(recipe, source), by_hand.sample(recipe, datasets)
        mask = {name: np.ones(shape, bool) for name, shape in recipe.shapes.items()}
        rows = [time_layer(recipe, weights, mask, of, name) for name in mask]
        first, images, whole, all_three = zip(*rows, strict=True)
        cells = [
            f"{1000 * statistics.median(times):.0f} / {1000 * max(times):.0f}"
            for times in (first, whole, all_three)
        ]
        seen = f"{statistics.median(images):.0f} / {min(images):.0f}"
        print(f"| {text} | {len(of.labels):,} | {cells[0]} | {seen} | {cells[1]} | {cells[2]} |")


if __name__ == "__main__":
    main()
