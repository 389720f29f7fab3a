"""Where things lie that belong to no cache: in a checkout beside the code, else in the package."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parent
# Of an installed package, the folder around it is everybody's.
IS_CHECKOUT = (_CHECKOUT / "pyproject.toml").is_file()

# The script of the first page, and the archives of the data sets that come along: setup.py puts
# them into the package.
APP = _CHECKOUT / "app.py" if IS_CHECKOUT else _PACKAGE / "explorer" / "app.py"
ARCHIVES = _CHECKOUT / "cache" / "datasets" if IS_CHECKOUT else _PACKAGE / "data" / "archives"


def users_own() -> Path:
    """The user's own cache folder, as the system has it: ~/.cache/lottery-ticket-explorer, say."""
    return user_cache_path("lottery-ticket-explorer", appauthor=False)


# Where results are kept unless somebody says otherwise; an empty variable says nothing.
_NAMED = os.environ.get("LOTTERY_CACHE") or (_CHECKOUT / "cache" if IS_CHECKOUT else users_own())
CACHE = Path(os.path.expanduser(_NAMED))  # noqa: PTH111 - a home of nobody is left to `Store`
