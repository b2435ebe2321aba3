"""What reads traces from one MLflow: the protocol of its three forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import attrs

from trace_mlflow_sink._reading.stored import StoredTrace

PAGE: Final = 100
"""Traces that are read at once."""


@attrs.frozen
class Query:
    """Which traces to read.

    Args:
        since_ms: Those that began at this moment or later, in milliseconds since the epoch.
        until_ms: Those that began before this moment.
        prefix: Those whose id begins with this, MLflow's ``tr-`` included.
        newest_first: Their order.
    """

    since_ms: int | None
    until_ms: int | None
    prefix: str
    newest_first: bool


class Store(Protocol):
    """Reads traces from one place."""

    def experiments(self) -> dict[str, str]:
        """Return the names of all experiments by their ids."""
        ...

    def traces(self, experiment_ids: list[str], query: Query) -> Iterator[StoredTrace]:
        """Read traces, a page at a time.

        Args:
            experiment_ids: Of these experiments.
            query: Which traces, and in which order.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...
