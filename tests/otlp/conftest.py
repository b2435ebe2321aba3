"""What the tests of the whole system with a collector share."""

from __future__ import annotations

from support.fixtures import (
    litellm,
    no_opentelemetry_variables,
    nothing_left_patched,
    spools_of_its_own,
)

__all__ = [
    "litellm",
    "no_opentelemetry_variables",
    "nothing_left_patched",
    "spools_of_its_own",
]
