"""."""


def gather(*a, **k):
    raise RuntimeError
