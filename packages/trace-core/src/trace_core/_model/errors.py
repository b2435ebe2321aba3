"""The exceptions that the model itself raises. `trace_core._errors` has the whole hierarchy."""

from __future__ import annotations


class TraceError(Exception):
    """Base of everything these packages raise on purpose."""


class ConfigurationError(TraceError, ValueError):
    """An argument, environment variable or sink specification makes no sense."""
