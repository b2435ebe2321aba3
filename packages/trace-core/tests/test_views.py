"""Spans and traces as people see them at a prompt and in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import pytest

import trace_core
from trace_core import MemorySink, Span, Trace, Tracer, load_sink, semconv
from trace_core._view.messages import answered, asked, parameters
from trace_core.testing import sample_spans

HOSTILE = "</div><script>alert(1)</script><img src=x onerror=alert(1)>\x1b]0;x\x07\u202e"


class Tags(HTMLParser):
    """Collects the tags and attributes of a page, and checks that they close."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_span_says_what_it_is() -> None:
    """In one line."""
    agent = sample_spans()[-1]
    assert repr(agent).startswith(f"<Span {agent.name}  ")
    assert agent.trace_id in repr(agent)
    assert "failed: no such tool" in "".join(map(repr, sample_spans()))


def test_a_trace_draws_itself() -> None:
    """As a tree; a memory sink has its spans as traces."""
    sink = MemorySink()
    sink.write(sample_spans())
    (trace,) = sink.traces
    assert len(trace) == 3
    assert trace == Trace(sample_spans())
    assert {trace} == {Trace(trace[:])}
    assert trace[0].trace_id == trace.trace_id
    lines = repr(trace).splitlines()
    assert lines[0].startswith(f"trace {trace.trace_id}  ")
    assert lines[2].startswith("  ├─ ✓ chat sample-model")
    with pytest.raises(ValueError, match="at least one"):
        Trace([])


@pytest.mark.parametrize("draw", [lambda span: span, lambda span: Trace([span])])
def test_nothing_in_a_span_is_markup(
    make_span: Callable[..., Span], draw: Callable[[Span], Span | Trace]
) -> None:
    """Hostile names, messages, parameters and sessions are shown as they are."""
    span = make_span(
        name=HOSTILE,
        inputs={"messages": [{"role": HOSTILE, "content": HOSTILE}], HOSTILE: HOSTILE},
        outputs={"choices": [{"message": {"role": "assistant", "content": HOSTILE}}]},
        attributes={semconv.REQUEST_MODEL: HOSTILE, semconv.SESSION_ID: HOSTILE},
    )
    page = Tags()
    page.feed(draw(span)._repr_html_())
    assert page.tags == {"div", "details", "summary"}
    assert page.attributes == {"style", "open"}
    assert page.open == []
    text = "".join(page.texts)
    assert text.count("<script>alert(1)</script>") == 7
    assert not set(text) & set("\x1b\x07\u202e")


def test_deep_and_circular_traces_are_drawn(make_span: Callable[..., Span]) -> None:
    """Neither overflows the stack nor loops."""
    sink = MemorySink()
    tracer = Tracer(sink)
    spans = [tracer.start(f"span {number}") for number in range(1)]
    for _ in range(300):
        leave = tracer.activate(spans[-1])
        spans.append(tracer.start("inner"))
        leave()
    for span in spans:
        span.end()
    (trace,) = sink.traces
    assert trace._repr_html_().count("<details") == 51
    one = make_span()
    assert Trace([one, one])._repr_html_()


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        (
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [
                {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}]}]},
            {"choices": [{"message": {"role": "assistant", "content": None, "reasoning_content":
                "Hm.", "tool_calls": [{"function": {"name": "see", "arguments": '{"x":1}'}}]}}]},
            [("system", "Be brief."), ("user", 'What is this?\n{"type":"image_url","image_url":{}}'),
             ("reasoning", "Hm."), ("assistant", '→ see({"x":1})')],
        ),
        (
            {"instructions": "Be brief.", "input": [{"role": "user", "content": "Hi"}]},
            {"output": [{"type": "reasoning", "summary": "Hm."}, {"type": "message", "role":
                "assistant", "content": [{"type": "output_text", "text": "Hello"}]}]},
            [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hm."), ("assistant", "Hello")],
        ),
        (
            {"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]},
            {"type": "message", "content": [{"type": "text", "text": "Hello"},
                {"type": "tool_use", "name": "see", "input": {"x": 1}}]},
            [("system", "Be brief."), ("user", "Hi"), ("assistant", 'Hello\n→ see({"x":1})')],
        ),
        (
            {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
            {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}}]},
            [("user", "Hi"), ("model", "Hello")],
        ),
        ({"prompt": "Once"}, {"choices": [{"text": " upon"}]}, [("user", "Once"),
            ("assistant", " upon")]),
        ({"input": ["a", "b"]}, {"data": []}, [("user", "a"), ("user", "b"), ("output",
            '{"data":[]}')]),
        ({"query": "q", "documents": ["d"]}, None, [("query", "q"), ("documents", "d")]),
        ("a text", 42, [("input", "a text"), ("output", "42")]),
    ],
    ids=["chat", "responses", "anthropic", "gemini", "text", "embedding", "rerank", "plain"],
)  # fmt: skip
def test_messages_of_every_interface(
    make_span: Callable[..., Span], inputs: object, outputs: object, said: list[tuple[str, str]]
) -> None:
    """Who said what, in order."""
    span = make_span(inputs=inputs, outputs=outputs, attributes={semconv.OPERATION_NAME: "x"})
    found = [*asked(span), *answered(span)]
    assert [(message.role, message.text) for message in found] == said


def test_parameters(make_span: Callable[..., Span]) -> None:
    """What is neither a message nor the model, tools by their names."""
    inputs = {
        "model": "m",
        "messages": [],
        "temperature": 0.2,
        "stop": ["a"],
        "seed": None,
        "tools": [{"function": {"name": "see"}}, {"type": "web_search"}],
    }
    span = make_span(inputs=inputs, attributes={semconv.OPERATION_NAME: "chat"})
    assert parameters(span) == {"temperature": "0.2", "stop": '["a"]', "tools": "see, web_search"}
    assert parameters(make_span(inputs=inputs)) == {}


def test_what_a_prompt_shows() -> None:
    """Tracer, open spans and sinks say what is in them, not where they lie in memory."""
    sink = MemorySink()
    tracer = Tracer(sink, service="tests")
    assert repr(tracer.span("look")) == "<SpanScope 'look', for a with block>"
    with tracer.span("look up", kind="TOOL") as span:
        assert repr(span).startswith("<OpenSpan look up  TOOL  open for ")
        assert span.trace_id in repr(span)
        assert repr(tracer) == "<Tracer of trace_core: 1 open span; spans go to memory>"
    assert "  ended  " in repr(span)
    assert repr(tracer).startswith("<Tracer of trace_core: 0 open spans;")
    assert repr(sink) == "<MemorySink: 1 span>"
    assert repr(load_sink("jsonl:a.jsonl,console")).endswith(": a.jsonl, standard error>")


def test_every_public_class_has_a_repr() -> None:
    """Nothing of ours shows only its address."""
    classes = (getattr(trace_core, name) for name in trace_core.__all__)
    bare = [
        one.__name__
        for one in classes
        if isinstance(one, type)
        and one.__module__.startswith("trace_core")  # on Python 3.10 aliases are types, too
        and one.__repr__ is object.__repr__
        and not getattr(one, "_is_protocol", False)
    ]
    assert bare == []
