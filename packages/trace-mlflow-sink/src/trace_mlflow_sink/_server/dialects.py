"""What each MLflow version understands; measured against real servers, see the package's tests."""

from __future__ import annotations

import re
from typing import Final

import attrs

from trace_core import SinkError

NEWEST_CHANGE: Final = (3, 16)
OLDEST: Final = (3, 2)


@attrs.frozen
class Dialect:
    """How to write to one version.

    Args:
        otlp: It stores spans sent by OTLP; else they go into an artifact (3.2 to 3.5).
        nested: It wants structured attribute values, not JSON text (3.6 and 3.7).
        recount: It counts tokens and cost again when a span comes again, so that the totals are
            set by us after every batch (before 3.16).
    """

    otlp: bool = True
    nested: bool = False
    recount: bool = False


_ROWS: Final = (
    ((3, 16), Dialect()),
    ((3, 8), Dialect(recount=True)),
    ((3, 6), Dialect(recount=True, nested=True)),
    (OLDEST, Dialect(recount=True, otlp=False)),
)
ARTIFACTS: Final = Dialect(recount=True, otlp=False)
"""Also what a newer server on a file store speaks, which answers 501 to OTLP."""


def dialect_of(version: str, name: str) -> Dialect:
    """Return how to write to a version.

    Args:
        version: As MLflow tells it, such as ``3.17.2`` or ``3.18.0.dev0``.
        name: Whose version, for the message.

    Raises:
        SinkError: It is too old to take traces from outside.
    """
    match = re.match(r"\s*(\d+)\.(\d+)", version)
    if match is None:
        return Dialect()  # a gateway that hides the version; most likely new
    found = (int(match[1]), int(match[2]))
    for oldest, dialect in _ROWS:
        if found >= oldest:
            return dialect
    raise SinkError(
        f"MLflow {version.strip()} at {name} takes no traces with ids of our own: upgrade it to "
        f"{OLDEST[0]}.{OLDEST[1]} at least, better {NEWEST_CHANGE[0]}.{NEWEST_CHANGE[1]}"
    )
