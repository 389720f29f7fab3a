"""`python -m lottery_core`; see `cli`."""

from lottery_core.cli import app, start

__all__ = ["app", "start"]

if __name__ == "__main__":
    start()
