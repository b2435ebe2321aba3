"""``@tracer.trace`` on every kind of function."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from collections.abc import AsyncGenerator, Generator

import pytest

from trace_core import MemorySink, SpanKind, StatusCode, Tracer, current_context
from trace_core._tracing.decorator import MAX_YIELDED


def test_functions(tracer: Tracer, memory: MemorySink) -> None:
    """A call is a span with its arguments by name and its result; identity is kept."""

    @tracer.trace(name="adding", kind=SpanKind.TOOL)
    def add(a: int, b: int = 2) -> int:
        """Add."""
        return a + b

    assert add(1) == 3
    assert add.__doc__ == "Add."
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    (span,) = memory.spans
    assert (span.name, span.kind, span.inputs, span.outputs) == (
        "adding",
        SpanKind.TOOL,
        {"a": 1},
        3,
    )


def test_methods_do_not_record_self(tracer: Tracer, memory: MemorySink) -> None:
    """The object a method belongs to is not one of its inputs."""

    class Thing:
        @tracer.trace
        def work(self, x: int) -> int:
            return x

    Thing().work(1)
    assert memory.spans[0].inputs == {"x": 1}
    assert memory.spans[0].name.endswith("Thing.work")


def test_a_wrong_call_raises_what_it_always_did(tracer: Tracer, memory: MemorySink) -> None:
    """Bad arguments give the function's own TypeError, recorded."""

    @tracer.trace
    def one(a: int) -> None:
        """Take one."""

    with pytest.raises(TypeError, match="unexpected keyword"):
        one(b=1)  # type: ignore[call-arg]
    assert memory.spans[0].status.code is StatusCode.ERROR


def test_callables_without_name_or_signature(tracer: Tracer, memory: MemorySink) -> None:
    """Partials and C functions can be decorated too."""
    tracer.trace(functools.partial(int, base=2))("101")
    tracer.trace(max)(1, 2)
    assert [span.outputs for span in memory.spans] == [5, 2]


def test_what_is_no_function_is_refused(tracer: Tracer) -> None:
    """A name without its keyword is the usual mistake."""
    with pytest.raises(TypeError, match=r"got 'my name'; for a name: trace\(name=...\)"):
        tracer.trace("my name")  # type: ignore[type-var]


def test_coroutines(tracer: Tracer, memory: MemorySink) -> None:
    """The span lasts until the coroutine is done, and is current in it."""

    @tracer.trace
    async def fetch(x: int) -> int:
        tracer.start("leaf").end()
        await asyncio.sleep(0)
        return x

    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.run(fetch(1)) == 1
    leaf, span = memory.spans
    assert leaf.parent_id == span.span_id
    assert span.outputs == 1


def test_an_object_that_is_called_and_awaited(tracer: Tracer, memory: MemorySink) -> None:
    """Its span ends with its work, and has what it returned."""

    class Asked:
        async def __call__(self, question: str) -> str:
            assert current_context() is not None
            await asyncio.sleep(0)
            return question.upper()

    assert asyncio.run(tracer.trace(Asked())("why")) == "WHY"
    [span] = memory.spans
    assert (span.name.rpartition(".")[2], span.inputs, span.outputs) == (
        "Asked",
        {"question": "why"},
        "WHY",
    )


def test_generators(tracer: Tracer, memory: MemorySink) -> None:
    """One span from first item to end; current in the generator, never in its consumer."""

    @tracer.trace
    def count(n: int) -> Generator[int, str, str]:
        for i in range(n):
            tracer.start(f"leaf {i}").end()
            got = yield i
            assert got in (None, "sent")
        return "done"

    def consume() -> Generator[int, str, None]:
        result = yield from count(2)
        assert result == "done"

    generator = consume()
    assert next(generator) == 0
    assert current_context() is None
    assert generator.send("sent") == 1
    with pytest.raises(StopIteration):
        generator.send("sent")
    *leaves, span = memory.spans
    assert span.outputs == (0, 1)
    assert {leaf.parent_id for leaf in leaves} == {span.span_id}


def test_generator_throw_and_close(tracer: Tracer, memory: MemorySink) -> None:
    """What is thrown in arrives inside; closing early is no error and runs the clean-up."""
    log: list[str] = []

    @tracer.trace
    def work() -> Generator[int, None, None]:
        try:
            yield 1
        except KeyError:
            log.append("caught")
            yield 2
        finally:
            log.append(str(current_context() is not None))

    generator = work()
    next(generator)
    assert generator.throw(KeyError()) == 2
    generator.close()
    assert log == ["caught", "True"]
    assert memory.spans[0].status.code is StatusCode.OK
    assert memory.spans[0].outputs == (1, 2)


def test_generator_error(tracer: Tracer, memory: MemorySink) -> None:
    """An exception inside ends the span as failed, with what was yielded before."""

    @tracer.trace
    def work() -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(work())
    assert memory.spans[0].status.description == "broken"
    assert memory.spans[0].outputs == (1,)


def test_abandoned_generators_end(tracer: Tracer, memory: MemorySink) -> None:
    """A generator dropped half way ends its span; one never read opens none."""

    @tracer.trace
    def work() -> Generator[int, None, None]:
        yield 1
        yield 2

    work()
    generator = work()
    next(generator)
    del generator
    gc.collect()
    assert len(memory.spans) == 1


def test_long_generators_are_not_hoarded(tracer: Tracer, memory: MemorySink) -> None:
    """Beyond a limit, items are counted, not kept."""

    @tracer.trace
    def work() -> Generator[int, None, None]:
        yield from range(MAX_YIELDED + 5)

    assert sum(1 for _ in work()) == MAX_YIELDED + 5
    outputs = memory.spans[0].outputs
    assert isinstance(outputs, tuple)
    assert len(outputs) == MAX_YIELDED + 1
    assert outputs[-1] == "<5 more items>"


def test_async_generators(tracer: Tracer, memory: MemorySink) -> None:
    """As generators: sent, thrown and closed through, current inside alone."""
    log: list[str] = []

    @tracer.trace
    async def work() -> AsyncGenerator[int, str]:
        try:
            got = yield 1
            log.append(str(got))
            await asyncio.sleep(0)
            tracer.start("leaf").end()
            yield 2
        except KeyError:
            yield 3
        finally:
            log.append("closed")

    async def main() -> None:
        generator = work()
        assert await generator.__anext__() == 1
        assert current_context() is None
        assert await generator.asend("sent") == 2
        assert await generator.athrow(KeyError()) == 3
        await generator.aclose()
        assert [item async for item in work()] == [1, 2]

    asyncio.run(main())
    first, second = [span for span in memory.spans if span.name != "leaf"]
    assert log == ["sent", "closed", "None", "closed"]
    assert first.outputs == (1, 2, 3)
    assert second.outputs == (1, 2)
    assert {span.status.code for span in memory.spans} == {StatusCode.OK}


def test_async_generator_cancelled(tracer: Tracer, memory: MemorySink) -> None:
    """A cancellation while the generator waits ends its span as failed."""

    @tracer.trace
    async def work() -> AsyncGenerator[int, None]:
        yield 1
        await asyncio.sleep(60)
        yield 2

    async def consume() -> None:
        async for _ in work():
            pass

    async def main() -> None:
        task = asyncio.ensure_future(consume())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert memory.spans[0].status.code is StatusCode.ERROR
