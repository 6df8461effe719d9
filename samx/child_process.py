"""How a process that reads radiographs lives and dies with the one that started it; light enough for its start."""

import multiprocessing
import os
import signal
import threading


def live_with_parent() -> None:
    """Leaves signals to the parent, which stops at a safe point, and ends with it, however it ends.

    A terminal signals all of a process group, and so does timeout(1); a child in a group of its own is spared. It must
    not ignore SIGTERM, with which its parent ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only for children"
    parent.join()
    os._exit(1)
