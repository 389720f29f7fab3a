"""A process that does not outlive the one it works for."""

import os
import threading
import time


def follow_parent() -> None:
    """End this process soon after its parent does. A parent that is killed can't see to it;
    without it nobody is served."""
    parent = os.getppid()

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
