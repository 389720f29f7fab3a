"""Where every random number comes from: one seed, one stream per purpose.

Initial weights, the order of the data, the validation split and each control draw from
generators of their own, so that changing one leaves the others as they were and every
replicate can be repeated.
"""

import hashlib


def seed_of(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for `purpose`, e.g. `seed_of(0, "order", epoch)`; same in, same out."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
