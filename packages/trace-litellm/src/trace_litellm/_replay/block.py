"""`replay`: the block in which calls are answered from recordings."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Final, Literal, TypeVar, cast

import attrs

from trace_core import ConfigurationError, Span, Value
from trace_litellm._patching.preflight import Found
from trace_litellm._replay import players
from trace_litellm._replay.answers import whole
from trace_litellm._replay.errors import NotRecorded
from trace_litellm._replay.failures import error_of
from trace_litellm._replay.recordings import Recording, Source, read_spans, recordings
from trace_litellm._replay.requests import Normaliser, Request
from trace_litellm._replay.streams import stream
from trace_litellm._replay.tape import Tape

F = TypeVar("F", bound=Callable[..., Any])
_CHOICES: Final = {
    "match": ("strict", "loose"),
    "incomplete": ("refuse", "skip"),
    "vectors": ("recorded", "made"),
}


@attrs.frozen
class _Options:
    """How a replay answers: the arguments of `replay`."""

    source: str | os.PathLike[str] | tuple[Span, ...]
    normaliser: Normaliser
    loose: bool
    skip_incomplete: bool
    made_vectors: bool


class Replay:
    """A block in which LiteLLM's calls are answered, and a decorator. Made by `replay`.

    Each time it is entered the recordings begin anew. Calls may come from any thread or task; let
    each of several that enter blocks of their own call `replay`.
    """

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._players: list[_Player] = []
        self._last: _Player | None = None

    def __repr__(self) -> str:
        source = self._options.source
        what = f"{len(source)} spans" if isinstance(source, tuple) else os.fspath(source)
        state = "answers calls" if self._players else "for a with block, or as a decorator"
        return f"<Replay of {what}: {state}>"

    @property
    def missing(self) -> tuple[NotRecorded, ...]:
        """The errors of calls that were not recorded, also of those that the program caught."""
        return tuple(self._last.missed) if self._last is not None else ()

    @property
    def unused(self) -> tuple[Span, ...]:
        """The spans of the recorded calls that nobody has asked for."""
        return self._last.unused if self._last is not None else ()

    def __enter__(self) -> Replay:  # noqa: PYI034  # Self needs Python 3.11
        player = _Player(self._options)
        players.enter(player)
        self._players.append(player)
        self._last = player
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        players.leave(self._players.pop())

    def __call__(self, function: F) -> F:
        """Decorate a function of any kind: each call of it is such a block.

        Raises:
            ConfigurationError: It is a class.
        """
        if isinstance(function, type):
            raise ConfigurationError("replay() decorates functions, not classes")
        wrapper = _wrapper(function, lambda: Replay(self._options))
        return cast("F", functools.update_wrapper(wrapper, function))


def _wrapper(function: Callable[..., Any], block: Callable[[], Replay]) -> Callable[..., Any]:
    """Return a function of the same kind that runs in a block of its own."""

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with block():
            return await function(*args, **kwargs)

    async def async_generator(*args: Any, **kwargs: Any) -> Any:
        with block():
            async for item in function(*args, **kwargs):
                yield item

    def generator(*args: Any, **kwargs: Any) -> Any:
        with block():
            return (yield from function(*args, **kwargs))

    def plain(*args: Any, **kwargs: Any) -> Any:
        with block():
            return function(*args, **kwargs)

    if inspect.iscoroutinefunction(function):
        return coroutine
    if inspect.isasyncgenfunction(function):
        return async_generator
    return generator if inspect.isgeneratorfunction(function) else plain


class _Player:
    """Answers the calls of one block.

    Raises:
        ConfigurationError: The recordings cannot be read, or are not complete.
    """

    def __init__(self, options: _Options) -> None:
        self._options = options
        found = recordings(
            read_spans(options.source), options.normaliser, skip_incomplete=options.skip_incomplete
        )
        self._tape = Tape(found, loose=options.loose)
        self.missed: list[NotRecorded] = []

    @property
    def unused(self) -> tuple[Span, ...]:
        return tuple(one.span for one in self._tape.unused)

    def find(self, found: Found, parameters: Mapping[str, Value]) -> Callable[[], Any] | None:
        recording = self._tape.find(self._request(found, parameters))
        return None if recording is None else lambda: self._answer(recording, parameters)

    def miss(self, found: Found, parameters: Mapping[str, Value]) -> NotRecorded:
        error = self._tape.miss(self._request(found, parameters))
        self.missed.append(error)
        return error

    def _request(self, found: Found, parameters: Mapping[str, Value]) -> Request:
        return self._options.normaliser.request(found.target.name, dict(parameters))

    def _answer(self, recording: Recording, parameters: Mapping[str, Value]) -> Any:
        """Return what a recorded call returned, or raise what it raised."""
        error = error_of(recording) if recording.ending is None else None
        if error is not None:
            raise error
        by_itself = recording.ending is not None and recording.family in ("any", "google")
        if parameters.get("stream") or by_itself:
            return stream(recording, parameters)
        return whole(recording, made_vectors=self._options.made_vectors)


def replay(
    source: Source,
    *,
    match: Literal["strict", "loose"] = "strict",
    ignore: Collection[str] = (),
    scrub: Callable[[str], str] | None = None,
    incomplete: Literal["refuse", "skip"] = "refuse",
    vectors: Literal["recorded", "made"] = "recorded",
) -> Replay:
    r"""Answer LiteLLM's calls from recorded spans: without network, key or cost.

    A call gets what the recorded one got: the same answer, stream or exception, as an object of
    LiteLLM's own. The same call made again gets the recorded answers in their order, then the last
    one. A call that was not recorded raises `NotRecorded`. With tracing on, replayed calls are
    traced as any, with ``trace.replayed`` and a cost of 0.

    It makes no difference whether tracing is on, or who holds which of LiteLLM's functions. At the
    end of the block LiteLLM is exactly as it was. In blocks within blocks the innermost is asked
    first.

    Args:
        source: A file of JSON lines, as `record` and `autolog` write them, or the spans, such as
            those of a `MemorySink`. A file is read each time the block is entered.
        match: ``strict``: function, model, messages and parameters must be those of the recorded
            call, but for where and how it was sent, such as ``api_base`` and ``timeout``.
            ``loose``: it is enough that function and texts are the same.
        ignore: Names of more parameters that are not compared.
        scrub: Changes each text before it is compared, for what differs from run to run:
            ``lambda text: re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)``.
        incomplete: What to do about calls of which not everything was recorded: refuse the source,
            or skip them.
        vectors: ``made``: embeddings that were too long to be recorded are made up, the same for
            the same vector, of length 1.

    Returns:
        A context manager, and a decorator for functions of any kind. Entering it
        raises ConfigurationError where the source cannot be read, and UnsupportedLiteLLM where
        LiteLLM cannot be patched.

    Raises:
        ConfigurationError: An argument makes no sense.
    """
    for name, value in (("match", match), ("incomplete", incomplete), ("vectors", vectors)):
        if value not in _CHOICES[name]:
            raise ConfigurationError(f"{name}={value!r}; choose {' or '.join(_CHOICES[name])}")
    if isinstance(ignore, str):
        raise ConfigurationError(f"ignore is a list of names, got a single one: [{ignore!r}]")
    kept = source if isinstance(source, (str, os.PathLike)) else read_spans(source)
    normaliser = Normaliser(ignore, scrub)
    return Replay(
        _Options(kept, normaliser, match == "loose", incomplete == "skip", vectors == "made")
    )
