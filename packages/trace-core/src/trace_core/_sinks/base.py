"""The contract of sinks: the protocol, the base class with every optional part, and `as_sink`."""

from __future__ import annotations

import os
import sys
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Final, Protocol, TypeAlias, runtime_checkable

from trace_core._clock import monotonic
from trace_core._delivery.stats import Stats
from trace_core._errors import ConfigurationError
from trace_core._model.span import Span
from trace_core._sinks.signatures import check_takes, is_lazy
from trace_core._tracing.bridges import Bridge
from trace_core._tracing.freeze import completed, start_record
from trace_core._tracing.span import OpenSpan


@runtime_checkable
class Sink(Protocol):
    """The three methods every sink has. `SinkBase` has these and everything optional."""

    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch.

        Args:
            spans: Finished spans, in no promised order. A retry may repeat some, so writing one
                twice must be harmless.

        Raises:
            Rejected: The sink will never accept these spans.
            Exception: Any other: not written, try again later.
        """
        ...

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Deliver everything accepted so far.

        Args:
            timeout: Seconds it may take.

        Returns:
            Whether everything is delivered.
        """
        ...

    def close(self, timeout: float = 5.0, /) -> None:
        """Deliver what is left and free all resources; a second call does nothing.

        Args:
            timeout: Seconds it may take.
        """
        ...


SinkFunction: TypeAlias = Callable[[Sequence[Span]], object]
SinkLike: TypeAlias = Sink | SinkFunction


class SinkBase(ABC):
    """Base class of sinks. Only `write` is required; override what else your sink needs.

    The attributes may be class attributes, instance attributes or, where the base class has a
    property, properties.
    """

    wants_spool: bool = True
    """Whether `durable` keeps this sink's spans on disk until they are delivered. False for a
    sink whose spans are of use now or never, as on a terminal."""

    immediate: bool = False
    """Whether `write` returns at once, so that a `tee` gives the sink no thread of its own."""

    small_batches: bool = False
    """Whether a `Background` writes a few spans at a time as soon as it can, instead of many: for
    a sink that keeps spans from being lost."""

    takes_starts: bool = False
    """Whether the sink wants start records; true for a class that overrides `write_started`."""

    redacts: bool | None = None
    """Whether secrets are removed from spans before they come to rest behind this sink. False if
    somebody chose that they are not; ``None`` if nobody chose, so that a `Tracer` sees to it."""

    bridges: tuple[Bridge, ...] = ()
    """Connections to other tracing systems, which a `Tracer` uses for nesting."""

    _owner: weakref.ref[SinkBase] | None = None  # the sink in front of this one, which closes it

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls)
        if "write_started" in own and "takes_starts" not in own:
            cls.takes_starts = True

    @property
    def name(self) -> str:
        """What log messages call this sink."""
        return type(self).__name__

    def __repr__(self) -> str:
        place = "" if self.place == self.name else f": {self.place}"
        return f"<{type(self).__name__}{place}>"

    @property
    def place(self) -> str:
        """Where spans go, for people and without secrets: a file, or a server and what of it."""
        return self.name

    @property
    def viewing(self) -> str | None:
        """How to look at what is stored, for people: a command or an address, if there is one."""
        return None

    def trace_url(self, trace_id: str | None = None, /) -> str | None:
        """Return where a trace can be looked at in a browser, if anywhere.

        Args:
            trace_id: A trace that is delivered; by default the last one.
        """
        return None

    def check(self, timeout: float = 5.0, /) -> str | None:
        """Look whether spans could be stored now, changing nothing, for ``doctor``.

        Args:
            timeout: Seconds it may take.

        Returns:
            What was found, in a few words; ``None`` if there is nothing to look at.

        Raises:
            Exception: Why spans could not be stored.
        """
        return None

    @property
    def spool_key(self) -> str:
        """Names the sink's destination, without secrets.

        Spans spooled under one key are never delivered to a sink with another. Best the
        specification from which `load_sink` makes this sink. By default the class and the
        program, so that two programs with a sink of one class do not share spans.
        """
        return key_in_this_program(f"{type(self).__module__}.{type(self).__qualname__}")

    @property
    def exit_timeout(self) -> float:
        """Seconds that closing this sink may take when the program exits."""
        return 5.0

    @property
    def outermost(self) -> SinkBase:
        """The first sink of the chain that this one is in: a flush of that one is a flush of all.

        The sink itself if none is in front of it.
        """
        sink: SinkBase = self
        while (owner := sink._owner() if sink._owner is not None else None) is not None:
            sink = owner
        return sink

    @property
    def stats(self) -> Stats | None:
        """What became of the spans written so far; ``None`` if the sink does not count."""
        return None

    @abstractmethod
    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch: see `Sink.write`."""

    def write_started(self, spans: Sequence[Span], /) -> None:  # noqa: B027  # optional
        """Take start records: spans that have started, without content and end.

        Called only if `takes_starts` is true; at first without any, so that the sink gets ready.

        Args:
            spans: The start records.
        """

    def write_later(self, ended: OpenSpan, /) -> None:
        """Take a span that has just ended, on the caller's thread.

        By default it is completed and written at once; a sink with a queue defers both.

        Args:
            ended: The span.
        """
        span = completed(ended)
        if span is not None:
            self.write((span,))

    def start_later(self, started: weakref.ref[OpenSpan], /) -> None:
        """Take a span that has just started, on the caller's thread.

        By default its start record is written at once; a sink with a queue defers that.
        Called only if `takes_starts` is true.

        Args:
            started: A weak reference to the span.
        """
        span = started()
        record = start_record(span) if span is not None else None
        if record is not None:
            self.write_started((record,))

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Deliver everything accepted so far: see `Sink.flush`. By default nothing is left."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:  # noqa: B027  # optional
        """Free all resources: see `Sink.close`. By default there are none."""

    def begin_flush(self, deadline: float, /) -> Callable[[], bool]:
        """Start a flush without waiting for it, so that several sinks can flush side by side.

        Args:
            deadline: When to give up, on ``time.monotonic()``'s clock.

        Returns:
            A function that waits for the flush and says whether everything is delivered.
        """
        return lambda: self.flush(seconds_left(deadline))

    def begin_close(self, deadline: float, /) -> Callable[[], None]:
        """Start closing without waiting for it, so that several sinks can close side by side.

        Args:
            deadline: When to give up, on ``time.monotonic()``'s clock.

        Returns:
            A function that waits until the sink is closed.
        """
        return lambda: self.close(seconds_left(deadline))


def deadline_after(timeout: float) -> float:
    """Return the deadline that is some seconds away, on the monotonic clock."""
    return monotonic() + timeout


def seconds_left(deadline: float) -> float:
    """Return the seconds until a deadline on the monotonic clock, 0 if it is past."""
    return max(0.0, deadline - monotonic())


def key_in_this_program(name: str) -> str:
    """Return a spool key for a sink that only this program has."""
    program = os.path.abspath(sys.argv[0] or ".") if sys.argv else "."  # noqa: PTH100
    return f"{name} in {program}"


def escaped(target: str) -> str:
    """Return a target as the specification of a sink has it: a backslash before each comma."""
    return target.replace(",", "\\,")


class FunctionSink(SinkBase):
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

    @property
    def spool_key(self) -> str:
        """The function's full name and the program."""
        return key_in_this_program(self.name)

    def write(self, spans: Sequence[Span], /) -> None:
        """Call the function.

        Raises:
            TypeError: It returned a coroutine or a generator, so that nothing was written.
        """
        result = self._function(spans)
        if isinstance(result, (Coroutine, Generator)):
            result.close()
            raise TypeError(_LAZY.format(self.name))


class PlainSink(SinkBase):
    """A sink made of an object with the three methods of `Sink` and nothing else.

    Args:
        sink: The object.
    """

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.write = sink.write  # type: ignore[method-assign]  # saves a call per span
        self.flush = sink.flush  # type: ignore[method-assign]
        self.close = sink.close  # type: ignore[method-assign]

    @property
    def name(self) -> str:
        """The name of the object's class."""
        return type(self.sink).__name__

    @property
    def spool_key(self) -> str:
        """The object's class and the program."""
        cls = type(self.sink)
        return key_in_this_program(f"{cls.__module__}.{cls.__qualname__}")

    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch to the object."""
        self.sink.write(spans)


_LAZY: Final = (
    "a sink has written when it returns and cannot be async or a generator, as {} is: make it a "
    "plain function, or let it call asyncio.run(...)"
)
_OPTIONAL: Final = frozenset(
    {"spool_key", "wants_spool", "takes_starts", "write_started", "bridges", "exit_timeout"}
)


def as_sink(sink: SinkLike) -> SinkBase:
    """Return a sink with every optional part: a `SinkBase` as it is, anything else wrapped.

    Args:
        sink: A `SinkBase`, an object with the three methods of `Sink`, or a function of a batch.

    Raises:
        ConfigurationError: It is none of these, or an object that has an optional part of
            `SinkBase` without deriving from it, or it is async or a generator, or cannot be
            called with a batch.
    """
    if is_lazy(sink):
        raise ConfigurationError(_LAZY.format(sink))
    if isinstance(sink, type):
        raise ConfigurationError(f"wanted a sink, got the class {sink.__name__}: call it first")
    if isinstance(sink, Sink):
        check_takes(sink.write, "a batch of spans")
        check_takes(sink.flush, "a timeout")
        check_takes(sink.close, "a timeout")
        return sink if isinstance(sink, SinkBase) else _wrapped(sink)
    if callable(sink):
        check_takes(sink, "a batch of spans")
        return FunctionSink(sink)
    raise ConfigurationError(
        "wanted a sink (write, flush, close) or a function of a batch of spans, "
        f"got {sink!r}{_what_it_lacks(sink)}"
    )


def _what_it_lacks(given: object) -> str:
    if isinstance(given, str):
        return f"; load_sink({given!r}) makes a sink of a text"
    missing = [name for name in ("write", "flush", "close") if not hasattr(given, name)]
    if len(missing) == 3:  # noqa: PLR2004  # all of them
        return ""
    return f", which has no {' and no '.join(missing)}: derive it from trace_core.SinkBase"


def _wrapped(sink: Sink) -> SinkBase:
    optional = sorted(_OPTIONAL.intersection(dir(sink)))
    if optional:
        raise ConfigurationError(
            f"{type(sink).__name__} has {', '.join(optional)}, which only counts in a subclass "
            "of trace_core.SinkBase: derive it from that"
        )
    return PlainSink(sink)
