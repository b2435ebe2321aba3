"""What is counted of 30 shapes of answer: by the provider, by LiteLLM and by us.

Each answer comes from a provider on loopback, through LiteLLM, whole and streamed. LiteLLM's books
are what it tells callbacks (its ``standard_logging_object``).

Run: python tests/support/answer_shapes.py PAGE     rewrites the table in the page
"""

from __future__ import annotations

import itertools
import os
import queue
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.provider import Lane, Provider, Scenario, ToolCall, Usage

WAIT_SECONDS: Final = 30.0
KEY: Final = "sk-shapes-0123456789abcdefghij"
MESSAGES: Final = [{"role": "user", "content": "What is the weather in Paris?"}]
SHAPES: Final = {
    "plain": Scenario(usage=Usage(prompt=1_000, completion=50)),
    "cached": Scenario(usage=Usage(prompt=1_000, completion=50, cached=800)),
    "tools": Scenario(tool_calls=(ToolCall("weather"),), usage=Usage(prompt=1_000, completion=50)),
    "reasoning": Scenario(
        reasoning="Let me think.", usage=Usage(prompt=1_000, completion=50, reasoning=30)
    ),
    "audio": Scenario(usage=Usage(prompt=1_000, completion=50, audio=(700, 20))),
    "own cost": Scenario(usage=Usage(prompt=1_000, completion=50, cost=0.0125)),
}
"""What answers have; the tokens of all are as many, so that prices can be compared."""


@dataclass(frozen=True)
class Way:
    """One API of a provider.

    Attributes:
        name: What the table calls it.
        call: Makes the call; takes LiteLLM, a lane of the provider and more arguments.
        shapes: What its answers are tried with.
        include: Arguments that ask for the usage of a stream.
    """

    name: str
    call: Callable[..., Any]
    shapes: tuple[str, ...]
    include: tuple[tuple[str, Any], ...] = ()


def _chat(model: str, base: Callable[[Lane], str]) -> Callable[..., Any]:
    def call(litellm: Any, lane: Lane, **more: Any) -> Any:
        return litellm.completion(model, MESSAGES, api_base=base(lane), api_key=KEY, **more)

    return call


def _responses(litellm: Any, lane: Lane, **more: Any) -> Any:
    base = {"api_base": lane.openai_base, "api_key": KEY}
    return litellm.responses(model="openai/gpt-4o-mini", input="hi", **base, **more)


_ASKED: Final = (("stream_options", {"include_usage": True}),)
_FOUR: Final = ("plain", "cached", "tools", "reasoning")
WAYS: Final = (
    Way("OpenAI, chat", _chat("openai/gpt-5-mini", lambda lane: lane.openai_base), _FOUR, _ASKED),
    Way(
        "OpenAI, audio",
        _chat("openai/gpt-audio-mini", lambda lane: lane.openai_base),
        ("audio",),
        _ASKED,
    ),
    Way("OpenAI, responses", _responses, ("plain",)),
    Way("Anthropic", _chat("anthropic/claude-haiku-4-5", lambda lane: lane.url), _FOUR, _ASKED),
    Way(
        "Google",
        _chat("gemini/gemini-2.5-flash", lambda lane: lane.gemini_base("gemini-2.5-flash")),
        _FOUR,
        _ASKED,
    ),
    Way(
        "OpenRouter",
        _chat("openrouter/openai/gpt-4o-mini", lambda lane: lane.openai_base),
        ("own cost",),
        _ASKED,
    ),
)


@dataclass(frozen=True)
class Counted:
    """What somebody counts of an answer; ``None`` for what is not known."""

    input: int | None
    output: int | None
    cost: float | None

    def __str__(self) -> str:
        tokens = " + ".join("?" if n is None else f"{n:,}" for n in (self.input, self.output))
        return tokens if self.cost is None else f"{tokens}, ${self.cost:.6g}"


@dataclass(frozen=True)
class Row:
    """One answer, as each counts it.

    Attributes:
        way: Who answered.
        shape: What the answer has.
        streamed: Whether it was streamed.
        told: By the provider, which tells a cost if it is OpenRouter.
        books: By LiteLLM.
        ours: By us.
        details: What of the tokens was cached, reasoning or audio, by us.
    """

    way: str
    shape: str
    streamed: bool
    told: Counted
    books: Counted
    ours: Counted
    details: str


@contextmanager
def books_of(litellm: Any) -> Iterator[queue.Queue[Counted]]:
    """Keep LiteLLM's books while the block runs."""
    found: queue.Queue[Counted] = queue.Queue()

    class Books(litellm.integrations.custom_logger.CustomLogger):  # type: ignore[misc, name-defined]
        def log_success_event(self, kwargs: Any, **_: Any) -> None:
            said = kwargs.get("standard_logging_object") or {}
            wanted = ("prompt_tokens", "completion_tokens", "response_cost")
            found.put(Counted(*(said.get(name) for name in wanted)))

    before = litellm.callbacks
    litellm.callbacks = [*before, Books()]
    try:
        yield found
    finally:
        litellm.callbacks = before


def rows(litellm: Any, provider: Provider) -> Iterator[Row]:
    """Make all calls, one after the other, and count their answers.

    Args:
        litellm: LiteLLM.
        provider: Answers them.
    """
    import litellm.integrations.custom_logger

    import trace_litellm
    from trace_core import MemorySink, Tracer

    sink = MemorySink()
    tracer = Tracer(sink)
    with books_of(litellm) as books, trace_litellm.instrument(tracer):
        for way in WAYS:
            for shape, streamed in itertools.product(way.shapes, (False, True)):
                lane = provider.lane(f"{way.name} {shape} {streamed}")
                lane.script(SHAPES[shape])
                more = {"stream": True, **dict(way.include)} if streamed else {}
                answer = way.call(litellm, lane, **more)
                if streamed:
                    list(answer)
                booked = books.get(timeout=WAIT_SECONDS)
                (span,) = sink.spans
                sink.clear()
                yield _row(way, shape, streamed, booked, span)


def _row(way: Way, shape: str, streamed: bool, booked: Counted, span: Any) -> Row:
    usage = SHAPES[shape].usage
    assert usage is not None
    told = Counted(usage.prompt, usage.completion, usage.cost)
    found, cost = span.usage, span.cost
    ours = Counted(found.input, found.output, None if cost is None else cost.total)
    named = {
        "cached": found.cache_read,
        "reasoning": found.reasoning,
        "audio in": found.audio_input,
        "audio out": found.audio_output,
    }
    details = ", ".join(f"{number} {name}" for name, number in named.items() if number)
    return Row(way.name, shape, streamed, told, booked, ours, details)


def table(found: list[Row]) -> str:
    """Return the table in Markdown."""
    head = (
        "provider",
        "answer",
        "the provider says",
        "LiteLLM's books",
        "trace-litellm",
        "of these",
    )
    lines = [head, ("---",) * len(head)]
    for row in found:
        answer = f"{row.shape}, {'streamed' if row.streamed else 'whole'}"
        lines.append(
            (row.way, answer, str(row.told), str(row.books), str(row.ours), row.details or "-")
        )
    made = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{made}\n\nBy litellm {version('litellm')}."


MARKED: Final = re.compile(r"(<!-- made by.*?-->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def main() -> None:
    """Rewrite the table between its two marks."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    page = Path(sys.argv[1])
    with Provider() as provider:
        made = table(list(rows(litellm, provider)))
    text = page.read_text("utf-8")
    page.write_text(MARKED.sub(lambda match: f"{match[1]}{made}{match[2]}", text), "utf-8")


if __name__ == "__main__":
    main()
