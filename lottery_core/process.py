"""A process that does not outlive the one it works for."""

import os
import threading
import time
from collections.abc import Callable


def follow(parent: int, ending: Callable[[], None] = lambda: None) -> None:
    """End this process soon after `parent`, the one that started it, ends: a parent that is
    killed can't see to it. `ending` is called first, and must not take long.

    The caller says who the parent is, and calls this before anything that takes time: a process
    that looked for itself, late, would find whoever took it over from a parent already dead.
    """
    if os.getppid() != parent:
        os._exit(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        try:
            ending()
        finally:
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
