"""What `trace-core doctor` says of the installed LiteLLM."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from trace_litellm._calls.takeover import describe_misfits
from trace_litellm._patching.patch import Original, swap_all
from trace_litellm._patching.preflight import UnsupportedLiteLLM, check_version, find_targets
from trace_litellm._patching.targets import TARGETS


def report() -> str:
    """Say whether the installed LiteLLM can be traced, how much of it, and how.

    What is patched to find out is put back at once.
    """
    installed = version("litellm")
    try:
        check_version(installed)  # before the first import: one may be compromised
    except UnsupportedLiteLLM as error:
        return f"cannot be traced: {error}"
    findings = find_targets()
    of = {function: found.target for found in findings.found for function in found.functions}
    swaps, failed = swap_all(dict.fromkeys(of, _call_through))
    for one in reversed(swaps):
        one.remove()
    misfits = [*findings.misfits, *(of[function] for function in failed)]
    known = len(findings.found)
    text = f"{known} of {len(TARGETS)} functions tracing knows are in LiteLLM {installed}"
    return f"{text}; {describe_misfits(misfits)}" if misfits else text


def _call_through(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return original(*args, **kwargs)
