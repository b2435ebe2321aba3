"""The metrics of calls: their names, units and buckets, in one table.

The first four are those of OpenTelemetry's GenAI conventions, which are still in development and
may rename them.
"""

from __future__ import annotations

from typing import Final

import attrs

SECONDS: Final = tuple(round(0.01 * 2**n, 2) for n in range(14))
TOKENS: Final = tuple(4**n for n in range(14))
"""Boundaries of buckets, as the conventions advise them."""
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105  # not a credential


@attrs.frozen
class Metric:
    """A metric.

    Args:
        name: Its name.
        unit: Its unit, in UCUM.
        about: What it measures.
        buckets: Boundaries of a histogram's buckets; none for a counter.
    """

    name: str
    unit: str
    about: str
    buckets: tuple[float, ...] = ()


TOKEN_USAGE: Final = Metric(
    "gen_ai.client.token.usage", "{token}", "Input and output tokens of calls.", TOKENS
)
DURATION: Final = Metric("gen_ai.client.operation.duration", "s", "How long calls took.", SECONDS)
FIRST_CHUNK: Final = Metric(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "From the request to the first chunk of a stream.",
    SECONDS,
)
PER_CHUNK: Final = Metric(
    "gen_ai.client.operation.time_per_output_chunk",
    "s",
    "From a chunk of a stream to the next.",
    SECONDS,
)
COST: Final = Metric("trace.client.cost", "USD", "What calls cost, in US dollars.")
ERRORS: Final = Metric("trace.client.errors", "{call}", "Calls that failed.")
CACHE_HITS: Final = Metric(
    "trace.client.cache_hits", "{call}", "Calls that were answered from LiteLLM's cache."
)
METRICS: Final = (TOKEN_USAGE, DURATION, FIRST_CHUNK, PER_CHUNK, COST, ERRORS, CACHE_HITS)
