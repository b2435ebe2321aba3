"""The stream proxy is the stream, and ends its span once, however the stream ends."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import itertools
import pickle
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from trace_core import MemorySink, OpenSpan, Tracer, semconv
from trace_core.streams import ChunkEvents, ListDeltas, NoDeltas, StreamProxy, Watch


class Inner:
    """A stream with everything that a stream can have."""

    def __init__(self, items: list[Any], error: BaseException | None = None) -> None:
        self.items = list(items)
        self.error = error
        self.completion_stream = "inner"
        self.entered = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.items:
            return self.items.pop(0)
        raise self.error or StopIteration

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        if self.items:
            return self.items.pop(0)
        raise self.error or StopAsyncIteration

    def __enter__(self) -> Inner:
        self.entered = True
        return self

    def __exit__(self, *details: object) -> None:
        self.entered = False


class Closable(Inner):
    """One that can be closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


class Followed:
    """A stream with a span of its own."""

    def __init__(self, inner: Any, deltas: Any = None) -> None:
        self.sink = MemorySink()
        self.troubles: list[str] = []
        tracer = Tracer(self.sink)
        self.span: OpenSpan = tracer.start("stream")
        self.watch = Watch(
            self.span,
            deltas or NoDeltas(),
            self.span.end,
            lambda where, _error: self.troubles.append(where),
        )
        self.proxy: Any = StreamProxy(inner, self.watch)

    @property
    def ending(self) -> Any:
        [span] = self.sink.spans
        return span.attributes["trace.stream.ending"]


def test_completed() -> None:
    """Every item arrives, then the span ends as completed, once."""
    followed = Followed(Inner([1, 2, 3]))
    assert list(followed.proxy) == [1, 2, 3]
    assert followed.ending == "completed"
    with pytest.raises(StopIteration):
        next(followed.proxy)
    del followed.proxy
    gc.collect()
    assert followed.ending == "completed"


def test_completed_async() -> None:
    """The same with ``async for``."""
    followed = Followed(Inner([1, 2]))

    async def read() -> list[int]:
        return [item async for item in followed.proxy]

    assert asyncio.run(read()) == [1, 2]
    assert followed.ending == "completed"


def test_abandoned() -> None:
    """A stream dropped before its end ends its span when it is collected."""
    followed = Followed(Inner([1, 2]))
    assert next(followed.proxy) == 1
    assert not followed.sink.spans
    del followed.proxy
    gc.collect()
    assert followed.ending == "abandoned"


def test_failed() -> None:
    """The very exception arrives, and the span has it."""
    failure = RuntimeError("cut")
    followed = Followed(Inner([1], failure))
    assert next(followed.proxy) == 1
    with pytest.raises(RuntimeError) as caught:
        next(followed.proxy)
    assert caught.value is failure
    assert followed.ending == "failed"
    assert followed.sink.spans[0].status.description == "cut"


def test_cancelled() -> None:
    """A cancelled read ends the span as cancelled."""
    followed = Followed(Inner([], asyncio.CancelledError()))

    async def read() -> None:
        await followed.proxy.__anext__()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(read())
    assert followed.ending == "cancelled"


def test_closed() -> None:
    """Closing closes the stream inside and ends the span."""
    inner = Closable([1, 2])
    followed = Followed(inner)
    next(followed.proxy)
    followed.proxy.close()
    assert inner.closed == 1
    assert followed.ending == "closed"


def test_aclosed() -> None:
    """The same with ``aclose``."""
    inner = Closable([1, 2])
    followed = Followed(inner)
    asyncio.run(followed.proxy.aclose())
    assert inner.closed == 1
    assert followed.ending == "closed"


def test_interrupted() -> None:
    """A stream still open when the program ends is told as interrupted, not lost."""
    sink = MemorySink()
    tracer = Tracer(sink)
    span = tracer.start("stream")
    watch = Watch(span, NoDeltas(), span.end, lambda *_: None)
    proxy = StreamProxy(Inner([1, 2]), watch)
    next(proxy)
    tracer.end_open_spans()
    assert sink.spans[0].attributes["trace.stream.ending"] == "interrupted"
    assert next(proxy) == 2


def test_visible_ways() -> None:
    """Class, attributes, ``dir``, ``repr`` and context manager are those of the stream."""
    inner = Inner([1])
    proxy = Followed(inner).proxy
    assert isinstance(proxy, Inner)
    assert proxy.__class__ is Inner
    assert proxy.completion_stream == "inner"
    proxy.completion_stream = "changed"
    assert inner.completion_stream == "changed"
    del proxy.completion_stream
    assert not hasattr(proxy, "completion_stream")
    assert dir(proxy) == dir(inner)
    assert repr(proxy) == repr(inner)
    with proxy as entered:
        assert entered is proxy
        assert inner.entered


def test_no_method_that_the_stream_has_not() -> None:
    """Programs ask with ``hasattr`` whether a stream can be closed."""
    proxy = Followed(Inner([1])).proxy
    assert not hasattr(proxy, "close")
    assert not hasattr(proxy, "aclose")
    assert hasattr(Followed(Closable([])).proxy, "aclose")


def test_trouble_of_ours_costs_the_caller_nothing() -> None:
    """A chunk we cannot read arrives all the same, and is told once."""

    class Broken(ListDeltas):
        def add(self, chunk: Any) -> None:
            raise ValueError(chunk)

    followed = Followed(Inner([1, 2, 3]), Broken())
    assert list(followed.proxy) == [1, 2, 3]
    assert len(followed.troubles) == 1
    assert followed.ending == "completed"


def test_statistics() -> None:
    """Chunks are counted and the pauses between them measured."""
    followed = Followed(Inner(list(range(5))))
    list(followed.proxy)
    found = followed.watch.statistics()
    assert found["trace.stream.chunks"] == 5
    assert 0 < found["trace.stream.gap.p95"] <= found["trace.stream.gap.max"]  # type: ignore[operator]
    assert found["gen_ai.response.time_to_first_chunk"] > 0  # type: ignore[operator]
    speed = followed.watch.tokens_per_second(10)
    assert speed is not None
    assert speed > 0


def test_pauses_are_kept_in_buckets() -> None:
    """All of them, with their sums: a metric of the time per chunk is made of these."""
    followed = Followed(Inner([]))
    pauses = [5, 10, 11, 300, 0, 100_000]
    followed.watch._times[:] = [1_000_000 * sum(pauses[:n]) for n in range(len(pauses) + 1)]
    assert followed.watch.statistics()["trace.stream.gap.buckets"] == {
        "0.01": (3, 0.015),
        "0.02": (1, 0.011),
        "0.32": (1, 0.3),
        "163.84": (1, 100.0),
    }


def test_one_way_streams() -> None:
    """A stream that is either synchronous or asynchronous is not both to who asks."""

    class Sync:
        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            raise StopIteration

    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    async def read() -> list[int]:
        return [item async for item in Followed(asynchronous()).proxy]

    for inner in (Sync(), asynchronous(), Inner([])):
        proxy = Followed(inner).proxy
        for abstract in (Iterator, AsyncIterator, AbstractContextManager):
            assert isinstance(proxy, abstract) == isinstance(inner, abstract)
        for name in ("__iter__", "__next__", "__aiter__", "__anext__", "__enter__", "__aenter__"):
            assert hasattr(proxy, name) == hasattr(inner, name), name
    assert list(Followed(Sync()).proxy) == []
    assert asyncio.run(read()) == [1]


def test_a_copy_reads_on() -> None:
    """``copy.copy`` works as without tracing; the span ends with the last of the copies."""
    followed = Followed(Inner([1, 2]))
    copied = copy.copy(followed.proxy)
    assert isinstance(copied, Inner)
    del followed.proxy
    gc.collect()
    assert not followed.sink.spans
    assert list(copied) == [1, 2]
    assert followed.ending == "completed"


def test_two_readers_of_one_stream_read_the_same() -> None:
    """`itertools.tee` copies what seems to have ``__copy__``, in place of keeping its items."""
    followed = Followed(Inner([1, 2, 3]))
    one, other = itertools.tee(followed.proxy)
    assert (list(one), list(other)) == ([1, 2, 3], [1, 2, 3])
    assert not hasattr(followed.proxy, "__copy__")
    assert followed.ending == "completed"


def test_the_last_copy_that_is_dropped_abandons_the_stream() -> None:
    """The original is read no more, and neither is the copy."""
    followed = Followed(Inner([1, 2]))
    copied = copy.copy(followed.proxy)
    del followed.proxy
    gc.collect()
    assert not followed.sink.spans
    del copied
    gc.collect()
    assert followed.ending == "abandoned"


def test_a_deep_copy_and_a_pickle_are_those_of_the_stream() -> None:
    """They work where the stream's work, and raise what the stream's raise."""
    proxy = Followed(Inner([1, 2])).proxy
    assert list(copy.deepcopy(proxy)) == [1, 2]
    assert pickle.loads(pickle.dumps(proxy)).items == [1, 2]
    assert list(proxy) == [1, 2]
    for act in (copy.copy, copy.deepcopy, pickle.dumps):
        errors = []
        for stream in (number for number in [1]), Followed(number for number in [1]).proxy:
            with pytest.raises(TypeError) as caught:
                act(stream)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]


class Special(Inner):
    """A stream with other special methods."""

    def __len__(self) -> int:
        return len(self.items)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, item: object) -> bool:
        return item == "in"

    def __getitem__(self, index: int) -> Any:
        return self.items[index]

    def __eq__(self, other: object) -> bool:
        return other == "equal"

    def __hash__(self) -> int:
        return 7

    def __call__(self, *args: Any) -> Any:
        return args

    def __str__(self) -> str:
        return "special"


def test_special_methods_of_the_stream() -> None:
    """Those that a stream defines answer as its own; those it does not are not there."""
    proxy = Followed(Special([5])).proxy
    assert (len(proxy), bool(proxy), "in" in proxy, proxy[0], proxy == "equal") == (
        1, True, True, 5, True,
    )  # fmt: skip
    assert (hash(proxy), proxy(1), str(proxy)) == (7, (1,), "special")
    plain = Followed(Inner([])).proxy
    assert plain
    assert not callable(plain)
    assert plain != Inner([])


def test_generators() -> None:
    """What is sent to a generator arrives, what it yields is counted, its end is recorded."""

    def echo() -> Generator[Any, Any, None]:
        sent = yield 0
        while sent != "stop":
            sent = yield sent

    followed = Followed(echo())
    assert inspect.isgenerator(followed.proxy)
    assert (next(followed.proxy), followed.proxy.send("a")) == (0, "a")
    with pytest.raises(StopIteration):
        followed.proxy.send("stop")
    assert followed.watch.statistics()["trace.stream.chunks"] == 2
    assert followed.ending == "completed"


def test_asynchronous_generators() -> None:
    """The same with ``asend``; what is thrown in and comes out again ends the span as failed."""

    async def echo() -> AsyncGenerator[Any, Any]:
        sent = None
        while True:
            sent = yield sent

    followed = Followed(echo())

    async def read() -> list[Any]:
        read = [await anext(followed.proxy), await followed.proxy.asend("a")]
        with pytest.raises(LookupError):
            await followed.proxy.athrow(LookupError("lost"))
        return read

    assert inspect.isasyncgen(followed.proxy)
    assert asyncio.run(read()) == [None, "a"]
    assert followed.watch.statistics()["trace.stream.chunks"] == 2
    assert followed.ending == "failed"


class Answer:
    """A stream whose iterators are other objects, as those of OpenAI's SDK; entered by `async`."""

    def __init__(self, entered: Any = None) -> None:
        self.entered = entered
        self.left = 0

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2])

    def __next__(self) -> int:
        raise AssertionError("not asked")

    async def __anext__(self) -> int:
        raise AssertionError("not asked")

    async def __aiter__(self) -> AsyncIterator[int]:
        for item in (1, 2):
            await asyncio.sleep(0)
            yield item

    async def __aenter__(self) -> Any:
        return self.entered or self

    async def __aexit__(self, *details: object) -> bool:
        self.left += 1
        return True


def test_a_stream_whose_iterators_are_other_objects() -> None:
    """They are followed like the stream."""
    followed = Followed(Answer())
    assert list(followed.proxy) == [1, 2]
    assert followed.ending == "completed"
    followed = Followed(Answer())

    async def read() -> list[int]:
        return [item async for item in followed.proxy]

    assert asyncio.run(read()) == [1, 2]
    assert followed.ending == "completed"


def test_an_asynchronous_context_manager() -> None:
    """It hands out the proxy where the stream hands out itself, and leaving it ends the span."""
    inner = Answer()
    followed = Followed(inner)
    other = Followed(Answer(entered="another thing"))

    async def enter() -> None:
        async with followed.proxy as entered:
            assert entered is followed.proxy
            raise LookupError  # which the stream's __aexit__ takes
        async with other.proxy as entered:
            assert entered == "another thing"

    asyncio.run(enter())
    assert inner.left == 1
    assert followed.ending == other.ending == "closed"


def test_each_step_is_taken_inside_the_span() -> None:
    """Where the stream makes calls between its chunks; it is left however the step ends."""
    followed = Followed(Inner([1, 2], RuntimeError("cut")))
    steps: list[str] = []

    def resume() -> Any:
        steps.append("in")
        return lambda: steps.append("out")

    proxy: Any = StreamProxy(followed.proxy._trace_inner, followed.watch, resume)

    async def read() -> None:
        assert await anext(proxy) == 2
        with pytest.raises(RuntimeError, match="cut"):
            await anext(proxy)

    assert next(proxy) == 1
    assert steps == ["in", "out"]
    asyncio.run(read())
    assert steps == ["in", "out"] * 3
    with pytest.raises(RuntimeError, match="cut"):
        next(proxy)
    assert steps == ["in", "out"] * 4


def test_chunks_of_no_known_format() -> None:
    """They are copied up to a limit, and those above it counted."""
    deltas = ListDeltas()
    chunk = {"text": ["a"]}
    for one in (chunk, b"\xff", *range(ListDeltas.LIMIT)):
        deltas.add(one)
    chunk["text"].append("b")
    found: Any = deltas.outputs()
    assert found["chunks"][:3] == ({"text": ("a",)}, "\ufffd", 0)
    assert len(found["chunks"]) == ListDeltas.LIMIT
    assert found["chunks_left_out"] == 2
    assert "chunks_left_out" not in ListDeltas().outputs()  # type: ignore[operator]


def test_chunks_whose_content_is_elsewhere() -> None:
    """They are counted and not kept."""
    deltas = NoDeltas()
    followed = Followed(Inner([1, 2]), deltas)
    assert list(followed.proxy) == [1, 2]
    assert deltas.outputs() is None
    assert followed.watch.statistics()["trace.stream.chunks"] == 2


def test_the_first_chunks_are_events() -> None:
    """As many as are asked for; all are combined."""
    sink = MemorySink()
    span = Tracer(sink).start("stream")
    events = ChunkEvents(span, ListDeltas(), 2)
    for chunk in ("a", "b", "c"):
        events.add(chunk)
    span.end()
    assert events.outputs() == {"chunks": ("a", "b", "c")}
    found = [event.attributes for event in sink.spans[0].events]
    assert found == [
        {semconv.CHUNK_INDEX: 0, semconv.CHUNK_VALUE: "a"},
        {semconv.CHUNK_INDEX: 1, semconv.CHUNK_VALUE: "b"},
    ]


@pytest.mark.parametrize("items", [[], [1], [1, 1]])
def test_the_speed_of_an_answer_that_came_at_once(items: list[int]) -> None:
    """There is none: nothing is divided by no time."""
    followed = Followed(Inner(items))
    list(followed.proxy)
    followed.watch._times[:] = [5] * len(items)
    assert followed.watch.tokens_per_second(10) is None
    followed.watch._times[:] = [0, 2_000_000_000]
    assert followed.watch.tokens_per_second(10) == 5.0
    assert followed.watch.tokens_per_second(0) is None
    assert followed.watch.tokens_per_second(None) is None
