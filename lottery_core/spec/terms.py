"""What the names stand for that a recipe, a round or an experiment can have, each in words and with
its version."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Named:
    """What a name stands for, in words, and its version (see `keys`)."""

    title: str
    version: int = 1


@dataclass(frozen=True)
class Augmentation(Named):
    """What happens to each training image whenever it is shown."""

    flips: bool = False
    shifts: bool = False


MAX_SHIFT = 4  # pixels; what comes in from the sides is black

INITS = {
    "pytorch": Named("PyTorch's default: uniform in ±1/√fan_in"),
    "glorot": Named("Gaussian Glorot: normal with variance 2/(fan_in + fan_out), biases 0"),
}
OPTIMISERS = {"sgd": Named("SGD with momentum"), "adam": Named("Adam")}
AUGMENTATIONS = {
    "none": Augmentation("none: every epoch shows the same images"),
    "flip": Augmentation("mirrored left to right, each with a chance of a half", flips=True),
    "shift": Augmentation(f"shifted by up to {MAX_SHIFT} pixels each way", shifts=True),
    "flip-shift": Augmentation(
        f"mirrored and shifted by up to {MAX_SHIFT} pixels, as for CIFAR-10 in He et al. 2016",
        flips=True,
        shifts=True,
    ),
}
SCOPES = {
    "layerwise": "each layer loses the same fraction (uniform)",
    "global": "all layers are ranked together",
    "erk": "each layer keeps weights in proportion to the sum of its sides (ERK)",
    "balanced": "each layer keeps equally many weights (balanced)",
}

# Of these the scopes that whole units can have, and what is ranked in them.
SCOPES_OF_UNITS = {
    "layerwise": "each hidden layer loses the same fraction of its units",
    "global": "the units of all hidden layers are ranked together, each by its part of its layer's "
    "l2 norm (Molchanov et al. 2017, arXiv 1611.06440)",
}

# How a mask is put on the weights of another dense network.
TRANSPLANTS = {
    "plain": "as it is",
    "permuted": "with its units in the order that matches that network's",
}

# A control stands beside each level of an experiment: the same mask, or the same count of weights,
# treated otherwise. Level n of a control follows level n-1 of the experiment itself and
# costs one training. The fields of `Round` that it changes:
_INITIAL = {"restart": "rewind", "rewind_iteration": 0, "transplant": ""}
_ERK = {"reshuffled": True, "reshuffled_as": "erk"}
CONTROLS = {
    "reinit": {"restart": "reinit", "rewind_iteration": 0},
    "signs": {"restart": "signs", "rewind_iteration": 0},
    "new-order": {"order": 1},
    "new-magnitudes": {"restart": "new-magnitudes"},
    "new-signs": {"restart": "new-signs"},
    "transplanted": {"restart": "rewind", "transplant": "plain"},
    "permuted": {"restart": "rewind", "transplant": "permuted"},
    "random-mask": {"reshuffled": True},
    "random-erk": _ERK,
    "reshuffled-reinit": {"reshuffled": True, "restart": "reinit", "rewind_iteration": 0},
    "set": _INITIAL | _ERK | {"dynamics": "set"},
    "set-long": _INITIAL | _ERK | {"dynamics": "set", "as_long_as_search": True},
    "rigl": _INITIAL | _ERK | {"dynamics": "rigl"},
    "rigl-long": _INITIAL | _ERK | {"dynamics": "rigl", "as_long_as_search": True},
    "gradual": _INITIAL | {"dynamics": "gradual"},
    "edge-popup": _INITIAL | {"supermask": "edge-popup"},
    "edge-popup-signs": _INITIAL | {"supermask": "edge-popup", "restart": "signs"},
    "learned-mask": _INITIAL | {"supermask": "learned-mask"},
    "learned-mask-signs": _INITIAL | {"supermask": "learned-mask", "restart": "signs"},
    "early-bird": _INITIAL | {"dynamics": "early-bird"},
}
