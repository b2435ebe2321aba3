"""For instrumentations: make a library's functions call a hook, also in modules imported later."""

from trace_core.patching._imports import ImportWatch
from trace_core.patching._swap import Hook, Original, Swap, own_code, swap, swap_all

__all__ = ["Hook", "ImportWatch", "Original", "Swap", "own_code", "swap", "swap_all"]
