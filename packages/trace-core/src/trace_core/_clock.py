"""The clock and the pauses of what tracing does on its own.

Tests freeze a program's time, as with freezegun, or replace ``time.sleep``. Ours goes on then: a
deadline from a frozen clock would be reached years later, and a pause might raise.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

# Not by its name in `time`, which is replaced even where it was imported from.
monotonic: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    if sys.platform == "linux"  # elsewhere it may be another clock than that of `time.monotonic`
    else partial(time.monotonic)
)
"""Return the seconds on the clock of ``time.monotonic``."""


def pause(seconds: float) -> None:
    """Wait, as ``time.sleep`` does.

    Args:
        seconds: How long.
    """
    threading.Event().wait(seconds)
