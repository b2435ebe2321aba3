"""For adapters: make a library's functions call a hook, also in modules imported later."""

from trace_core.patching._calls import Begin, Call, call_hook
from trace_core.patching._imports import ImportWatch
from trace_core.patching._swap import Hook, Original, Swap, own_code, swap, swap_all

__all__ = [
    "Begin",
    "Call",
    "Hook",
    "ImportWatch",
    "Original",
    "Swap",
    "call_hook",
    "own_code",
    "swap",
    "swap_all",
]
