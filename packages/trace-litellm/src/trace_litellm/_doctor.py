"""What `trace-core doctor` says of the installed LiteLLM."""

from __future__ import annotations

from importlib.metadata import version

from trace_litellm._patching.preflight import UnsupportedLiteLLM, check_version, find_targets
from trace_litellm._patching.targets import TARGETS


def report() -> str:
    """Say whether the installed LiteLLM can be traced, and how much of it; nothing is touched."""
    installed = version("litellm")
    try:
        check_version(installed)  # before the first import: one may be a trojan
        found = find_targets()
    except UnsupportedLiteLLM as error:
        return f"cannot be traced: {error}"
    return f"{len(found)} of {len(TARGETS)} functions tracing knows are in LiteLLM {installed}"
