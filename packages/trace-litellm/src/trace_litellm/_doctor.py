"""What ``doctor`` says of the installed LiteLLM."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from trace_core.patching import Original, swap_all
from trace_litellm._calls.takeover import describe_misfits
from trace_litellm._patching import source_check
from trace_litellm._patching.preflight import check_safe, find_targets, litellm_version
from trace_litellm._patching.targets import Target


def report() -> str:
    """Say whether the installed LiteLLM can be traced, and which calls with fewer details.

    Where LiteLLM is not imported, its source is read: importing it takes eight seconds.

    Raises:
        UnsupportedLiteLLM: It cannot be traced.
    """
    check_safe()  # before the first import: one may be a trojan
    look = _look_at_functions if "litellm" in sys.modules else source_check.misfits
    count, misfits = look()
    installed = litellm_version()
    if not misfits:
        return f"release {installed}; its calls are traced in full ({count} functions)"
    return f"release {installed}; {count} functions are traced in full; {describe_misfits(misfits)}"


def _look_at_functions() -> tuple[int, Sequence[Target]]:
    """Patch what can be patched, to find out; it is put back at once."""
    findings = find_targets()
    of = {function: found.target for found in findings.found for function in found.functions}
    swaps, failed = swap_all(dict.fromkeys(of, _call_through))
    for one in reversed(swaps):
        one.remove()
    misfits = [*findings.misfits, *(of[function] for function in failed)]
    return len(findings.found), misfits


def _call_through(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return original(*args, **kwargs)
