"""What training keeps in memory, and what it lets go."""

import ctypes
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)
_MOST_KNOWN = 100_000  # texts


def keep_freed_memory() -> None:
    """Keep what a step frees for the next one.

    glibc gives large blocks back to the system at once, which clears each page before the next step gets it: a tenth of
    a step's time. Other systems' libraries are left alone.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_MMAP_MAX, 0)
            mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def make_room(known: dict[str, Any]) -> None:
    """Forget what is known of texts when there are too many of them: an endless run must not fill the memory."""
    if len(known) >= _MOST_KNOWN:
        known.clear()
