"""A program that sends spans to a collector until it is killed.

Run: otlp_worker.py URL SPOOL LOG FIRST. It notes the number of each span that it handed over.
"""

from __future__ import annotations

import os
import sys
import time

from worker import Ids, payload

from trace_core import Retry, Tracer, durable
from trace_otlp_sink import OtlpSink


def main() -> None:
    """Make a span every half a millisecond."""
    url, spool, log, first = sys.argv[1:]
    noted = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sink = durable(
        OtlpSink(url, timeout=5),
        spool_dir=spool,
        handoff="caller",
        environ={},
        segment_bytes=200_000,
        retry=Retry(first=0.01, longest=0.05),
    )
    ids = Ids(int(first))
    tracer = Tracer(sink, ids=ids)
    while True:
        number = ids.next + 1
        tracer.start("work", inputs=payload(number)).end()
        os.write(noted, b"%d\n" % number)
        time.sleep(0.0005)


if __name__ == "__main__":
    main()
