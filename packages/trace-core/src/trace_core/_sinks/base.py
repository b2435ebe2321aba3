"""Where finished spans go: the sink protocol and the sinks that need nothing else."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TextIO, TypeAlias, runtime_checkable

from trace_core import semconv
from trace_core._errors import ConfigurationError, SinkClosed
from trace_core._lifecycle import after_fork
from trace_core._model.json import encode
from trace_core._model.span import Span, StatusCode


@runtime_checkable
class Sink(Protocol):
    """Takes finished spans. Implement these three methods, or use a function of a batch.

    A sink may offer more, by attributes of these names:

    - ``bridges``: `Bridge` objects, to nest with another tracing system.
    - ``exit_timeout``: seconds it would like to have at exit.
    - ``immediate``: true when `write` never waits for anything, so that it needs no thread of
      its own under a `tee`.
    - ``spool_key``: a text that names its destination, with no secret in it; best the
      specification `load_sink` makes it from. Spans spooled for one key are never delivered to
      another.
    - ``stats``: a `Stats`.
    - ``wants_spool``: false when a span is of use to it now or never, as on a terminal: then
      `durable` puts no spool before it.
    - ``write_started(spans)``: takes records of spans that have started.
    """

    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch.

        Args:
            spans: Finished spans, in no promised order; a retry may repeat some, so writing
                one twice must be harmless.

        Raises:
            Rejected: These spans will never be accepted.
            Exception: Any other: not written, try again later.
        """
        ...

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Deliver everything accepted so far.

        Args:
            timeout: Seconds to take at the most.

        Returns:
            Whether all of it is delivered.
        """
        ...

    def close(self, timeout: float = 5.0, /) -> None:
        """Deliver what is left and free what is held; a second call does nothing.

        Args:
            timeout: Seconds to take at the most.
        """
        ...


SinkFunction: TypeAlias = Callable[[Sequence[Span]], object]
SinkLike: TypeAlias = Sink | SinkFunction


class FunctionSink:
    """A sink made of a function of a batch.

    Args:
        function: Called with each batch; raises to say "not written".
    """

    def __init__(self, function: SinkFunction) -> None:
        self._function = function

    @property
    def name(self) -> str:
        """The function's full name."""
        function = self._function
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return f"{getattr(function, '__module__', '')}.{name}"

    def write(self, spans: Sequence[Span], /) -> None:
        """Call the function."""
        self._function(spans)

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Do nothing: the function has returned."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Do nothing."""


def as_sink(sink: SinkLike) -> Sink:
    """Return a sink as it is, and a function as a sink.

    Raises:
        ConfigurationError: It is neither.
    """
    if isinstance(sink, type):
        raise ConfigurationError(f"wanted a sink, got the class {sink.__name__}: call it first")
    if isinstance(sink, Sink):
        return sink
    if callable(sink):
        return FunctionSink(sink)
    raise ConfigurationError(
        f"wanted a sink (write, flush, close) or a function of a batch of spans, got {sink!r}"
    )


class MemorySink:
    """Keeps spans in memory, for tests and notebooks. Thread-safe.

    Args:
        limit: How many to keep at the most; the oldest go first. ``None``: all.
    """

    immediate = True  # never slow: needs no thread of its own under a tee
    wants_spool = False

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._spans: list[Span] = []

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans written so far, oldest first."""
        return tuple(self._spans)

    def write(self, spans: Sequence[Span], /) -> None:
        """Keep the spans."""
        self._spans.extend(spans)  # one C call: atomic
        if self._limit is not None:
            del self._spans[: -self._limit or None]

    def clear(self) -> None:
        """Forget all spans."""
        self._spans.clear()

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Do nothing: all is kept already."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Do nothing: the spans stay readable."""


class JsonLinesSink:
    """Appends each span as one line of JSON to a file.

    A batch is one ``write`` call on a descriptor opened for appending, so several processes can
    share a file on a local disk. The file is readable by its owner alone.

    Args:
        path: The file; made with its folders at the first write.
        rotate_bytes: Once the file is this long, it is renamed to ``PATH.1``, that to ``PATH.2``
            and so on, and a new one is begun. ``None``: never.
        keep: Renamed files that are kept.

    Raises:
        ConfigurationError: A number makes no sense.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, rotate_bytes: int | None = None, keep: int = 5
    ) -> None:
        if keep < 1 or (rotate_bytes is not None and rotate_bytes < 1):
            raise ConfigurationError("rotate_bytes and keep must be at least 1")
        self.path = Path(path)
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._descriptor: int | None = None
        self._closed = False
        self._lock = threading.Lock()
        after_fork(self._renew_lock)

    @property
    def spool_key(self) -> str:
        """What a spool knows this sink by: the specification that makes it again."""
        return f"jsonl:{self.path.absolute()}"

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def write(self, spans: Sequence[Span], /) -> None:
        """Append the spans.

        Raises:
            OSError: The file cannot be written; a line that was written in part is ended.
            SinkClosed: It was closed.
        """
        data = b"".join([encode(span) + b"\n" for span in spans])
        with self._lock:
            if self._closed:
                raise SinkClosed(f"{self.path} is closed")
            self._rotate_if_due()
            if self._descriptor is None:
                self._descriptor = self._open()
            self._append(self._descriptor, data)

    def _rotate_if_due(self) -> None:
        if self._rotate_bytes is None or self._descriptor is None:
            return
        mine = os.fstat(self._descriptor)
        if mine.st_size < self._rotate_bytes and self._is_in_place(mine.st_ino):
            return
        if self._is_in_place(mine.st_ino):  # else another process has done it already
            for number in range(self._keep - 1, 0, -1):
                self._rename(self._numbered(number), self._numbered(number + 1))
            self._rename(self.path, self._numbered(1))
        self._close_descriptor()

    def _is_in_place(self, inode: int) -> bool:
        try:
            return self.path.stat().st_ino == inode
        except FileNotFoundError:
            return False

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _rename(self, old: Path, new: Path) -> None:
        if old.exists():
            old.replace(new)

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)

    def _append(self, descriptor: int, data: bytes) -> None:
        if self._ends_torn(descriptor):
            data = b"\n" + data
        written = 0
        while written < len(data):  # a nearly full disk takes a part, then refuses
            written += os.write(descriptor, data[written:])

    def _ends_torn(self, descriptor: int) -> bool:
        """Say whether the last line was cut off: by a full disk, or a process that was killed."""
        size = os.fstat(descriptor).st_size
        if not size:
            return False
        os.lseek(descriptor, size - 1, os.SEEK_SET)  # appending is not affected
        return os.read(descriptor, 1) != b"\n"

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Do nothing: what is written is with the operating system."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            self._close_descriptor()

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class ConsoleSink:
    """Prints one line a span: name, duration, tokens, cost, and the error if it failed.

    Args:
        stream: Where to; standard error by default, looked up at each write.
    """

    wants_spool = False

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def write(self, spans: Sequence[Span], /) -> None:
        """Print the spans."""
        stream = self._stream or sys.stderr
        if stream is not None:  # there is none under pythonw
            print_to(stream, "".join(f"{summary(span)}\n" for span in spans))

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Do nothing: every write is flushed."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Do nothing: the stream is not ours."""


def print_to(stream: TextIO, text: str) -> None:
    """Print to a stream, with substitutes for characters it cannot show.

    Args:
        stream: Where to.
        text: What.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def summary(span: Span) -> str:
    """Describe a span in one line.

    Args:
        span: The span.

    Returns:
        Its name, duration, tokens, cost and error.
    """
    mark = "✗" if span.status.code is StatusCode.ERROR else "✓"
    parts = [f"{mark} {span.name}", duration_text(span.duration_ns), *_usage_and_cost(span)]
    if span.status.description:
        parts.append(span.status.description.splitlines()[0][:200])
    return "  ".join(parts)


def duration_text(nanoseconds: int) -> str:
    """Write a duration for people: ``640 ms`` or ``3.20 s``."""
    seconds = nanoseconds / 1e9
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def _usage_and_cost(span: Span) -> list[str]:
    parts: list[str] = []
    usage, cost = span.usage, span.cost
    if usage is not None and usage.total is not None:
        estimated = "~" if usage.source == "estimated" else ""
        parts.append(f"{estimated}{usage.input}→{usage.output} tokens")
    if cost is not None and cost.total is not None:
        parts.append(f"${cost.total:.6f}")
    if span.attributes.get(semconv.CACHE_HIT):
        parts.append("cache hit")
    return parts
