"""One of many programs that write to one address: makes traces whose ids can be foreseen.

Run: worker.py SINK SPOOL NUMBER TRACES
"""

from __future__ import annotations

import secrets
import sys

from trace_core import SpanKind, TokenUsage, Tracer, durable, load_sink

CALLS = 4
SPANS = CALLS + 1
PROMPT_BYTES, ANSWER_BYTES = 2_048, 1_024


def trace_id(worker: int, index: int) -> str:
    """The id of a worker's trace."""
    return f"{(worker + 1) << 32 | index + 1:032x}"


def span_id(worker: int, index: int, position: int) -> str:
    """The id of a span in it; position 0 is the root."""
    return f"{(worker + 1) << 48 | (index + 1) << 8 | position + 1:016x}"


def tokens(worker: int, index: int, position: int) -> int:
    """How many tokens a call took; no two traces in a row have the same sum."""
    return 1 + (worker * 31 + index * 7 + position) % 97


def expected_tokens(workers: int, traces: int) -> dict[str, int]:
    """MLflow's trace ids of so many workers, and the tokens of each trace."""
    return {
        f"tr-{trace_id(worker, index)}": sum(
            tokens(worker, index, position) + 1 for position in range(1, SPANS)
        )
        for worker in range(workers)
        for index in range(traces)
    }


def expected_spans(workers: int, traces: int) -> set[str]:
    """The span ids of so many workers."""
    return {
        span_id(worker, index, position)
        for worker in range(workers)
        for index in range(traces)
        for position in range(SPANS)
    }


def text(size: int) -> str:
    """Return text that a database cannot compress, unlike any other."""
    return secrets.token_hex(size // 2)


class Ids:
    """Ids that a reader of the store can foresee."""

    def __init__(self, worker: int) -> None:
        self.worker, self.index, self.position = worker, 0, 0

    def trace_id(self) -> str:
        """Return the id of the trace at hand."""
        return trace_id(self.worker, self.index)

    def span_id(self) -> str:
        """Return the next span's id."""
        self.position += 1
        return span_id(self.worker, self.index, self.position - 1)


def main() -> None:
    """Make the traces, and wait until they are delivered."""
    target, spool, number, count = sys.argv[1:]
    worker = int(number)
    ids = Ids(worker)
    sink = durable(load_sink(target), spool_dir=spool, environ={})
    tracer = Tracer(sink, ids=ids)
    for index in range(int(count)):
        ids.index, ids.position = index, 0
        with tracer.span("agent", kind=SpanKind.AGENT, inputs={"question": text(PROMPT_BYTES)}):
            for position in range(1, SPANS):
                message = {"role": "user", "content": text(PROMPT_BYTES)}
                with tracer.span("chat", kind=SpanKind.LLM, inputs={"messages": [message]}) as call:
                    used = tokens(worker, index, position)
                    usage = TokenUsage(input=used, output=1, total=used + 1)
                    call.set(outputs=text(ANSWER_BYTES), usage=usage)
    delivered = tracer.flush(240)
    tracer.close(5)
    sys.exit(0 if delivered else 1)


if __name__ == "__main__":
    main()
