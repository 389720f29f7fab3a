"""What is computed anew after a stroke is what the whole network answers."""

import numpy as np
import pytest

from lottery_core.findings import forward
from lottery_core.findings.rubbed import Rubbed
from tests import networks

NETWORKS = [(6, 5), (6,), *networks.CONVOLUTIONAL]


def layers_of(net):
    return [n for n, at in enumerate(net.operations, 1) if f"{at.name}.weight" in net.shapes]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("room", [0, 20_000, 10**9], ids=["nothing kept", "some kept", "all kept"])
def test_answers_without_some_weights_are_those_of_the_whole_way(network, room, monkeypatch):
    monkeypatch.setattr(forward, "_BLOCK", 15_000)  # several parts
    source, net = np.random.default_rng(0), networks.net_of(network)
    whole = networks.masked(networks.weights(network), networks.masks(network))
    images = source.normal(size=(7, *net.input)).astype(np.float32)
    names = {n: f"{net.operations[n - 1].name}.weight" for n in layers_of(net)}
    for first, name in names.items():
        rubbed = Rubbed(net, whole, images, first, room)
        later = [names[n] for n in names if n > first][:1]
        for touched in ([], [name], [name, *later], later):
            weights = dict(whole)
            for one in touched:
                weights[one] = whole[one] * (source.random(whole[one].shape) < 0.95)
            few = dict(weights)
            few[name] = weights[name].copy()
            few[name][1:] = whole[name][1:]  # one unit or channel alone
            for asked in (weights, few):
                found = np.concatenate([*rubbed.logits(asked)])
                expected = forward.logits(net, asked, images)
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_what_is_kept_stays_within_its_room(monkeypatch):
    monkeypatch.setattr(forward, "_BLOCK", 1)  # one image at a time
    net = networks.net_of("4 pool 6@5v pool 12")
    images = np.zeros((50, *net.input), np.float32)
    weights = networks.weights("4 pool 6@5v pool 12")
    # Of the first convolution: the image, what it gives, and what the next one gives.
    each = 4 * (28 * 28 + 4 * 28 * 28 + 6 * 10 * 10)
    rubbed = Rubbed(net, weights, images, 1, 10 * each + 1)
    rubbed.keep()
    kept = sum(len(one.given) for one in rubbed._before.values())
    assert kept == 10
    whole = Rubbed(net, weights, images, 1)
    whole.keep()
    assert sum(len(one.given) for one in whole._before.values()) == 50
