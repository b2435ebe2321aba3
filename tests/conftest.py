"""What all tests of the whole system share: a provider."""

from __future__ import annotations

from support.fixtures import provider

__all__ = ["provider"]
