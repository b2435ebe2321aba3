"""What a tracer keeps back from a sink that nobody has made private."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from trace_core import (
    Background,
    ConfigurationError,
    MemorySink,
    SinkLike,
    Span,
    Spool,
    Tracer,
    durable,
    pipeline,
    redact,
    tee,
    truncate,
)
from trace_core._processors.redact import Redactor
from trace_core._sinks.compose import Pipeline

SECRET = "sk-proj-" + "Ab3dE6gH" * 6


@pytest.mark.parametrize("redacted", [None, True, False])
@pytest.mark.parametrize("way", ["bare", "queue", "tee", "pipeline", "spool"])
def test_tracers_keep_secrets_from_any_sink(
    memory: MemorySink, folder: Path, way: str, redacted: bool | None
) -> None:
    """However a sink is composed, it gets no secrets unless the tracer is told so."""
    sink: SinkLike = {
        "bare": lambda: memory,
        "queue": lambda: Background(memory),
        "tee": lambda: tee(memory, lambda spans: None),
        "pipeline": lambda: pipeline(truncate(1_000), sink=memory),
        "spool": lambda: Spool(folder, memory, key="memory"),
    }[way]()
    tracer = Tracer(sink, redacted=redacted)
    with tracer.span("call", inputs=SECRET):
        pass
    assert tracer.flush(30)
    assert [span.inputs == SECRET for span in memory.spans] == [redacted is False]
    tracer.close()


def test_secrets_are_looked_for_behind_the_queue() -> None:
    """The caller's thread does not read the span's texts where the sink has a thread of its own."""
    where: list[int] = []

    def looks(span: Span) -> Span:
        where.append(threading.get_ident())
        return span

    background = Background(pipeline(looks, sink=MemorySink()))
    tracer = Tracer(background)
    assert tracer.sink is background
    assert isinstance(background.sink, Pipeline)
    assert background.redacts
    with tracer.span("call"):
        pass
    tracer.close()
    assert where
    assert threading.get_ident() not in where


def test_secrets_are_looked_for_once(memory: MemorySink, folder: Path) -> None:
    """A tracer leaves a sink alone that redacts, or was made not to; so does `durable`."""
    own = pipeline(redact(), sink=memory)
    assert Tracer(own).sink is own
    plain = durable(memory, redacted=False, handoff="caller", environ={})
    assert Tracer(plain).sink is plain
    assert plain.redacts is False
    assert isinstance(around := durable(own, handoff="caller", environ={}), Pipeline)
    assert around.redacts
    assert not any(isinstance(one, Redactor) for one in around._processors)
    assert Tracer(tee(own, own)).sink.redacts
    assert Tracer(tee(own, memory)).sink.redacts
    assert Tracer(plain, redacted=True).sink is not plain


def test_a_queue_in_use_is_not_changed(memory: MemorySink) -> None:
    """A second tracer before a queue that was left plain keeps its own secrets back."""
    background = Background(memory)
    for redacted in (False, None):
        tracer = Tracer(background, redacted=redacted)
        with tracer.span("call", inputs=SECRET):
            pass
        assert tracer.flush(10)
    assert [span.inputs == SECRET for span in memory.spans] == [True, False]
    background.close()


def test_privacy_of_the_environment_holds_for_any_sink(
    memory: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TRACE_CAPTURE and TRACE_REDACT_PII say holds without `durable` as well."""
    monkeypatch.setenv("TRACE_REDACT_PII", "yes")
    with Tracer(memory).span("call", inputs="write to ada@example.org"):
        pass
    monkeypatch.setenv("TRACE_CAPTURE", "metadata")
    with Tracer(memory).span("call", inputs="hello"):
        pass
    assert [span.inputs for span in memory.spans] == ["write to [redacted:e-mail]", None]
    monkeypatch.setenv("TRACE_CAPTURE", "some")
    with pytest.raises(ConfigurationError, match="TRACE_CAPTURE"):
        Tracer(memory)
