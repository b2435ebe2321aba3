"""An adapter traces a library's functions and changes nothing else; the contract notices if it does."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from trace_core import MemorySink, Scope, SpanKind, TokenUsage, Tracer, semconv
from trace_core.adapters import Adapter, TracedCall
from trace_core.patching import own_code
from trace_core.testing import AdapterContract

KEY = "pk-0123456789"


@attrs.frozen
class Answer:
    """What the parrot says."""

    text: str


class Stream:
    """What it says, word by word."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._words:
            raise StopIteration
        return self._words.pop(0)


class Parrot:
    """A library to trace."""

    def __init__(self, key: str) -> None:
        self.key = key

    def say(self, text: str) -> Answer:
        if not text:
            raise ValueError("say what?")
        return Answer(text)

    async def asay(self, text: str) -> Answer:
        await asyncio.sleep(0)
        return self.say(text)

    def stream(self, text: str) -> Stream:
        if text == "mumble":
            raise ValueError("speak up")
        return Stream(text.split())

    async def astream(self, text: str) -> AsyncIterator[str]:
        for word in text.split():
            await asyncio.sleep(0)
            yield word

    @classmethod
    def hatch(cls, text: str) -> Parrot:
        return cls(text)

    def words(self, text: str) -> Iterator[str]:
        yield from text.split()


class Words:
    """Combines words."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def add(self, chunk: str) -> None:
        self.words.append(chunk)

    def outputs(self) -> Any:
        return {"text": " ".join(self.words)}


def count(span: Any) -> None:
    span.usage = TokenUsage(output=len(span.outputs["text"].split()))


def opens(tracer: Tracer, args: Any, kwargs: Any) -> TracedCall | None:
    if tracer.serves(SpanKind.LLM):
        return None
    attributes = {semconv.OPERATION_NAME: "chat"}
    inputs = {"text": (*args, *kwargs.values())[-1]}
    span = tracer.start("say", kind="LLM", inputs=inputs, attributes=attributes)
    return TracedCall(
        tracer, span, copy=lambda answer: {"text": answer.text}, deltas=Words, complete=count
    )


METHODS = ("say", "stream", "astream", "asay")


def adapter(tracer: Tracer, opens: Any = opens, methods: Any = METHODS) -> Adapter:
    functions = {__name__: {f"Parrot.{method}": opens for method in methods}}
    return Adapter(tracer, Scope("trace_parrot"), functions)


class Contract(AdapterContract):
    """What the adapter is tested with."""

    secret = KEY
    opens = staticmethod(opens)

    def adapter(self, tracer: Tracer) -> Any:
        return adapter(tracer, self.opens, ("say", "stream", "astream"))

    def calls(self) -> Any:
        parrot = Parrot(KEY)

        async def astream() -> Any:
            return parrot.astream("a b")

        return {
            "say": lambda: parrot.say("a b"),
            "asay": lambda: parrot.asay("a b"),
            "stream": lambda: parrot.stream("a b"),
            "astream": astream,
        }

    def failures(self) -> Any:
        parrot = Parrot(KEY)
        return {"say": lambda: parrot.say(""), "asay": lambda: parrot.asay("")}


class TestContract(Contract):
    """The tests that every adapter must pass."""


def complaint(contract: AdapterContract, test: str) -> str:
    with pytest.raises(AssertionError) as caught:
        getattr(contract, test)()
    return str(caught.value)


class Faulty(TracedCall):
    """A call that is followed badly."""

    def failed(self, error: BaseException) -> None:
        super().failed(error)
        raise RuntimeError("another error")

    def returned(self, result: Any) -> Any:
        super().returned(result)
        return list(result) if isinstance(result, Stream) else Answer("something else")


def faulty(tracer: Tracer, args: Any, kwargs: Any) -> Any:
    span = tracer.start("say", inputs={"key": args[0].key, "text": args[1]})
    return Faulty(tracer, span)


class OnForEver(Contract):
    """An adapter that stays on."""

    def adapter(self, tracer: Tracer) -> Any:
        one = adapter(tracer)
        one.remove = lambda: None  # type: ignore[method-assign]
        return one


class Fails(Contract):
    opens = staticmethod(faulty)


def test_the_contract_notices_faults() -> None:
    """Each way to go wrong fails one of its tests, which says how."""
    contract = Fails()
    assert "attributes" not in complaint(contract, "test_secrets_are_not_recorded")
    assert "no gen_ai.operation.name" in complaint(contract, "test_a_call_has_one_span")
    assert "something else" in complaint(contract, "test_the_caller_gets_the_same")
    assert "another error" in complaint(contract, "test_errors_pass_unchanged")
    assert "the secret is in" in complaint(contract, "test_secrets_are_not_recorded")
    lasting = OnForEver()
    try:
        assert "the adapter is off" in complaint(lasting, "test_it_can_be_turned_off")
    finally:
        for name in METHODS:
            function = getattr(Parrot, name)
            function.__code__ = own_code(function)


@pytest.mark.parametrize("name", ["adapter", "calls", "failures"])
def test_the_contract_asks_for_what_it_needs(name: str) -> None:
    """Without one of its three methods it says which."""
    arguments = [Tracer(MemorySink())] if name == "adapter" else []
    with pytest.raises(NotImplementedError, match="return"):
        getattr(AdapterContract(), name)(*arguments)


def test_a_stream_is_measured(tracer: Tracer, memory: MemorySink, clock: Any) -> None:
    """Chunks, time to the first, ending and speed are in its attributes."""
    with adapter(tracer):
        for _ in Parrot(KEY).stream("a b c"):
            clock.advance(1)
    (span,) = memory.spans
    assert span.attributes[semconv.STREAM_CHUNKS] == 3
    assert span.attributes[semconv.STREAM_ENDING] == "completed"
    assert semconv.STREAM_TOKENS_PER_SECOND in span.attributes
    assert span.outputs == {"text": "a b c"}
    assert span.scope.name == "trace_parrot"


def test_what_cannot_be_patched_costs_itself(
    tracer: Tracer, troubles: list[tuple[str, BaseException]]
) -> None:
    """A function that is not there and one of another kind are reported; the others are traced."""
    with adapter(tracer, methods=("say", "hatch", "words", "fly")) as on:
        assert {name.partition(".")[2] for name in on.patched} == {"say", "hatch"}
    where = [place.rpartition(".")[2] for place, _ in troubles]
    assert where == ["words", "fly"]
    troubles.clear()


def test_an_interrupt_leaves_nothing_patched() -> None:
    """All or nothing: what was patched before it has its own code again."""

    def interrupted(where: str, error: BaseException) -> None:
        raise KeyboardInterrupt

    code = Parrot.say.__code__
    one = adapter(Tracer(MemorySink(), on_error=interrupted), methods=("say", "fly"))
    with pytest.raises(KeyboardInterrupt):
        one.install()
    assert Parrot.say.__code__ is code
    assert one.patched == ()


def test_what_opens_a_span_may_raise(
    tracer: Tracer, memory: MemorySink, troubles: list[tuple[str, BaseException]]
) -> None:
    """The call goes on without a span, as with an answer that cannot be copied."""

    def broken(*_: Any) -> Any:
        raise KeyError("text")

    with adapter(tracer, broken):
        assert Parrot(KEY).say("a") == Answer("a")
        assert asyncio.run(Parrot(KEY).asay("a")) == Answer("a")
    assert len(troubles) == 3
    assert not memory.spans
    troubles.clear()

    def uncopied(tracer: Tracer, *_: Any) -> TracedCall:
        return TracedCall(tracer, tracer.start("say"), copy=lambda answer: answer.nothing)

    with adapter(tracer, uncopied):
        assert Parrot(KEY).say("a") == Answer("a")
    assert [place for place, _ in troubles] == ["reading a Answer"]
    assert [span.name for span in memory.spans] == ["say"]
    troubles.clear()


def test_a_call_that_serves_another_adapters_has_no_span_of_its_own(
    tracer: Tracer, memory: MemorySink
) -> None:
    """A call inside one that an adapter records is part of it; inside the program's own it is not."""
    other = tracer.with_scope(Scope("trace_other"))
    assert not tracer.serves(SpanKind.LLM)
    with adapter(tracer):
        with other.span("chat", kind="LLM"):
            assert not tracer.serves(SpanKind.EMBEDDING)
            Parrot(KEY).say("a")
        assert [span.name for span in memory.spans] == ["chat"]
        with tracer.span("mine", kind="LLM"), other.span("agent", kind="AGENT"):
            Parrot(KEY).say("a")
        assert [span.name for span in memory.spans[1:]] == ["say", "agent", "mine"]


def test_the_current_span(tracer: Tracer) -> None:
    """It is the innermost one of the tracer's, in this thread."""
    assert tracer.current_span() is None
    with tracer.span("outer") as outer:
        with Tracer(MemorySink()).span("another tracer's"):
            assert tracer.current_span() is None
        twin = tracer.with_scope(Scope("twin"))
        with twin.span("inner") as inner:
            assert tracer.current_span() is twin.current_span() is inner
        assert tracer.current_span() is outer
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(tracer.current_span()))
        thread.start()
        thread.join()
        assert found == [None]


MODULE = "parrot_that_comes_later"


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{MODULE}.py").write_text("def say(text):\n    return text\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop(MODULE, None)


def test_a_module_that_is_imported_later(later: None, tracer: Tracer, memory: MemorySink) -> None:
    """It is traced once it is there, and again after a reload, until tracing is off."""

    def opens(tracer: Tracer, args: Any, kwargs: Any) -> TracedCall:
        return TracedCall(tracer, tracer.start("say", inputs=args))

    one = Adapter(tracer, Scope("later"), {MODULE: {"say": opens}})
    before = list(sys.meta_path)
    with one:
        assert one.patched == ()
        found = importlib.import_module(MODULE)
        assert found.say("a") == "a"
        old = found.say
        importlib.reload(found)
        assert found.say("b") == old("b") == "b"
        assert one.patched == ("say", "say")
    assert sys.meta_path == before
    found.say("c")
    importlib.reload(found)
    found.say("c")
    assert [span.inputs for span in memory.spans] == [("a",), ("b",), ("b",)]
