"""Turning tracing on and off: one line, harmless twice, nothing left behind."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

import trace_litellm
from support.provider import Provider
from trace_core import Background, ConfigurationError, MemorySink, Tracer
from trace_litellm._patching import preflight

MODEL = "openai/gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "hi"}]


def call(litellm: Any) -> Any:
    """Make a call that needs no provider."""
    return litellm.completion(MODEL, MESSAGES, mock_response="hello")


def test_autolog_takes_a_sink(litellm: Any) -> None:
    """With a memory sink the span is there when the call returns."""
    sink = MemorySink()
    trace_litellm.autolog(sink)
    call(litellm)
    [span] = sink.spans
    assert span.name == f"chat {MODEL}"
    assert span.scope.name == "trace_litellm"


def test_autolog_twice_is_harmless(litellm: Any) -> None:
    """The second call gives the same object and no second span."""
    sink = MemorySink()
    first = trace_litellm.autolog(sink)
    assert trace_litellm.autolog() is first
    call(litellm)
    assert len(sink.spans) == 1


@pytest.mark.parametrize("chosen", [uuid.UUID(int=7), 7, b"seven", ["seven"]])
def test_a_call_with_an_id_that_is_no_text_is_one_span(litellm: Any, chosen: object) -> None:
    """LiteLLM hands it on as it is, which is how its own calls are told from others."""
    sink = MemorySink()
    trace_litellm.autolog(sink)
    litellm.completion(MODEL, MESSAGES, mock_response="hello", litellm_call_id=chosen)
    asyncio.run(litellm.acompletion(MODEL, MESSAGES, mock_response="hello", litellm_call_id=chosen))
    litellm.text_completion(model=MODEL, prompt="hi", mock_response="hello", litellm_call_id=chosen)
    assert [span.attributes["litellm.call_id"] for span in sink.spans] == 3 * [str(chosen)]


def test_autolog_with_another_sink_goes_on_with_that(litellm: Any) -> None:
    """A new sink takes over from the old one."""
    old, new = MemorySink(), MemorySink()
    trace_litellm.autolog(old)
    trace_litellm.autolog(new)
    call(litellm)
    assert (len(old.spans), len(new.spans)) == (0, 1)


@pytest.mark.parametrize("most", [0, 2, 50])
def test_chunks_are_kept_one_by_one_if_asked_for(
    litellm: Any, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """As events, the first ones, with what was in them; none by default."""
    monkeypatch.setenv("TRACE_STREAM_EVENTS", str(most) if most else "")
    sink = MemorySink()
    trace_litellm.autolog(sink)
    chunks = list(litellm.completion(MODEL, MESSAGES, mock_response="one two three", stream=True))
    [span] = sink.spans
    kept = [event for event in span.events if event.name == "trace.stream.chunk"]
    wanted = chunks[:most]
    assert [event.attributes["trace.stream.chunk.index"] for event in kept] == list(
        range(len(wanted))
    )
    values: list[Any] = [event.attributes["trace.stream.chunk.value"] for event in kept]
    assert [value["id"] for value in values] == [chunk.id for chunk in wanted]
    said = [value["choices"][0]["delta"].get("content") for value in values]
    assert said == [chunk.choices[0].delta.content for chunk in wanted]
    outputs: Any = span.outputs
    assert outputs["choices"][0]["message"]["content"] == "one two three"


def test_a_wrong_number_of_chunks_is_told(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When tracing is turned on, with the variable's name."""
    monkeypatch.setenv("TRACE_STREAM_EVENTS", "-1")
    with pytest.raises(ConfigurationError, match="TRACE_STREAM_EVENTS='-1'; choose a number"):
        trace_litellm.autolog(MemorySink())


def test_disable_makes_litellm_what_it_was(litellm: Any) -> None:
    """Codes, signatures, identity and every global are those of before."""
    functions = [litellm.completion, litellm.acompletion, litellm.embedding, litellm.moderation]
    before = [(f, f.__code__, inspect.signature(f), dict(vars(f))) for f in functions]
    sink = MemorySink()
    trace_litellm.autolog(sink)
    assert trace_litellm.autolog(disable=True) is None
    call(litellm)
    assert [(f, f.__code__, inspect.signature(f), dict(vars(f))) for f in functions] == before
    assert not sink.spans


def test_signature_and_identity_while_on(litellm: Any) -> None:
    """While tracing is on, signature, name and identity are those of before."""
    function = litellm.completion
    before = (inspect.signature(function), function.__name__, inspect.isfunction(function))
    with trace_litellm.instrument(Tracer(MemorySink())):
        assert litellm.completion is function
        after = (inspect.signature(function), function.__name__, inspect.isfunction(function))
    assert after == before


def test_instrument_is_a_context_manager(litellm: Any) -> None:
    """Tracing ends with the block."""
    sink = MemorySink()
    with trace_litellm.instrument(Tracer(sink)) as on:
        assert on.active
        call(litellm)
    assert not on.active
    call(litellm)
    assert len(sink.spans) == 1


def test_a_second_tracer_is_refused(litellm: Any) -> None:
    """Two tracers at once: the error says what to do instead."""
    with (
        trace_litellm.instrument(Tracer(MemorySink())),
        pytest.raises(ConfigurationError, match="tee"),
    ):
        trace_litellm.instrument(Tracer(MemorySink()))


def test_instrument_wants_a_tracer() -> None:
    """A sink in its place: the error says what to do instead."""
    with pytest.raises(ConfigurationError, match="autolog"):
        trace_litellm.instrument(MemorySink())  # type: ignore[arg-type]


def test_environment_turns_it_off(monkeypatch: pytest.MonkeyPatch, litellm: Any) -> None:
    """``TRACE_DISABLED=1`` wins, and the program that uses the tracer does not notice."""
    monkeypatch.setenv("TRACE_DISABLED", "1")
    sink = MemorySink()
    tracing = trace_litellm.autolog(sink)
    assert not tracing.active
    with tracing, tracing.tracer.span("agent", inputs="why") as span:
        call(litellm)
        span.set(outputs="so")
    assert tracing.tracer.trace(len)("four") == 4
    assert tracing.flush(1)
    assert not sink.spans
    assert trace_litellm.autolog() is tracing
    assert trace_litellm.autolog(disable=True) is None
    monkeypatch.delenv("TRACE_DISABLED")
    with trace_litellm.autolog(sink):
        call(litellm)
    assert len(sink.spans) == 1


def test_environment_names_the_sink(
    monkeypatch: pytest.MonkeyPatch, litellm: Any, tmp_path: Path
) -> None:
    """``TRACE_SINKS`` is taken where no sink is given."""
    path = tmp_path / "spans.jsonl"
    monkeypatch.setenv("TRACE_SINKS", f"jsonl:{path}")
    instrumentation = trace_litellm.autolog()
    assert instrumentation is not None
    call(litellm)
    assert instrumentation.flush(10)
    assert json.loads(path.read_text())["name"] == f"chat {MODEL}"


@pytest.mark.parametrize("spec", ["nosuch", "nosuch:x", "console:x"])
def test_a_wrong_sink_is_told(spec: str) -> None:
    """A name that is no sink raises at once and says what there is."""
    with pytest.raises(ConfigurationError, match="console"):
        trace_litellm.autolog(spec)


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "1.107.0"])
def test_compromised_releases_are_refused(
    version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a compromised LiteLLM nothing is touched, and the warning says why."""
    monkeypatch.setattr(preflight, "litellm_version", lambda: version)
    with caplog.at_level(logging.WARNING):
        on = trace_litellm.instrument(Tracer(MemorySink()))
    assert not on.active
    assert "compromised" in caplog.text


def test_imports_are_lazy() -> None:
    """Importing trace_litellm imports neither LiteLLM nor MLflow."""
    code = (
        "import sys, trace_litellm; print([m for m in ('litellm', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_stream_open_at_exit_is_delivered(tmp_path: Path, provider: Provider) -> None:
    """A program that ends in the middle of a stream leaves its span, with what had arrived."""
    path = tmp_path / "spans.jsonl"
    code = f"""
import litellm, trace_litellm
trace_litellm.autolog("jsonl:{path}")
stream = litellm.completion({MODEL!r}, {MESSAGES!r}, stream=True,
    api_base={provider.lane("exit").openai_base!r}, api_key="x")
for chunk in stream:
    if chunk.choices[0].delta.content:
        break
"""
    # No look at the exit code: CPython 3.13.0 crashes while it collects the OpenAI SDK's stream
    # at its exit, with and without tracing. Our span is on disk before that.
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    span = json.loads(path.read_text())
    assert span["attributes"]["trace.stream.ending"] in ("abandoned", "interrupted")
    assert span["outputs"]["choices"][0]["message"]["content"] == "Hello"


def test_hostile_sinks_never_reach_the_caller(litellm: Any) -> None:
    """A sink that raises costs the call nothing; the answer is the very object."""

    def broken(_spans: Any) -> None:
        raise RuntimeError("sink is broken")

    told: list[str] = []
    tracer = Tracer(broken, on_error=lambda where, _error: told.append(where))
    with trace_litellm.instrument(tracer):
        assert call(litellm).choices[0].message.content == "hello"
    assert told


def test_the_callers_messages_are_copied(litellm: Any) -> None:
    """What the caller changes after the call does not change the span."""
    sink = MemorySink()
    messages = [{"role": "user", "content": [{"type": "text", "text": "before"}]}]
    with trace_litellm.instrument(Tracer(sink)):
        litellm.completion(MODEL, messages, mock_response="x")
    messages[0]["content"][0]["text"] = "after"  # type: ignore[index]
    assert "before" in str(sink.spans[0].inputs)
    assert "after" not in str(sink.spans[0].inputs)


def test_background_sinks_are_used_as_they_are(litellm: Any) -> None:
    """A sink that has a thread of its own does not get another one."""
    memory = MemorySink()
    background = Background(memory)
    on = trace_litellm.autolog(background)
    assert on is not None
    assert on.tracer.sink is background
    call(litellm)
    assert on.flush(10)
    assert len(memory.spans) == 1


def test_a_key_in_an_errors_text_is_removed(litellm: Any, tmp_path: Path) -> None:
    """A provider that repeats the key in its error: the file has the error without it."""
    path = tmp_path / "spans.jsonl"
    key = "no-known-prefix-4711-0815"
    on = trace_litellm.autolog(f"jsonl:{path}")
    assert on is not None
    error = litellm.AuthenticationError(f"Incorrect key: {key}", "openai", "gpt")
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(MODEL, MESSAGES, mock_response=error, api_key=key)
    assert on.flush(10)
    written = path.read_text()
    assert "Incorrect key" in written
    assert key not in written


@pytest.mark.parametrize("way", ["instrument", "autolog"])
@pytest.mark.parametrize("plain", [False, True])
def test_sinks_in_memory_get_no_secrets(
    litellm: Any, monkeypatch: pytest.MonkeyPatch, way: str, plain: bool
) -> None:
    """A sink of the user's own gets an error without the key in it, unless the user wants it so."""
    if plain and way == "autolog":
        monkeypatch.setenv("TRACE_REDACT", "no")
    sink, key = MemorySink(), "no-known-prefix-4711-0816"
    redacted = False if plain and way == "instrument" else None
    trace_litellm.instrument(
        Tracer(sink, redacted=redacted)
    ) if way == "instrument" else trace_litellm.autolog(sink)
    error = litellm.AuthenticationError(f"Incorrect key: {key}", "openai", "gpt")
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(MODEL, MESSAGES, mock_response=error, api_key=key)
    (span,) = sink.spans
    assert "Incorrect key" in repr(span)
    assert (key in repr(span)) is plain


@pytest.mark.parametrize(
    "options", [{"mock_response": "x"}, {"mock_response": "x", "stream": True}, {}]
)
def test_nothing_more_is_printed(
    options: dict[str, Any],
    litellm: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """LiteLLM prints where it does not know a model's provider; tracing does not make it print more."""
    monkeypatch.setattr(litellm, "suppress_debug_info", False)

    def printed() -> str:
        try:
            answer = litellm.completion("nobody-has-heard-of-it", MESSAGES, **options)
            list(answer) if options.get("stream") else None
        except litellm.BadRequestError:
            pass
        return "".join(capsys.readouterr())

    without = printed()
    sink = MemorySink()
    with trace_litellm.instrument(Tracer(sink)):
        assert printed() == without
    assert len(sink.spans) == 1
