"""A language-model provider on loopback: real HTTP, no model, failures on demand.

It speaks the wire formats of OpenAI, Anthropic and Gemini, so a test drives the whole of LiteLLM
and its HTTP clients. What is answered depends on the model's name alone, or on a lane: concurrent tests use models or lanes
of their own and do not disturb each other.

    with Provider() as provider:
        provider.script("flaky", Scenario(status=429, retry_after=1, fail_times=1))
        litellm.completion("openai/flaky", messages, api_base=provider.openai_base, api_key="x")
        assert len(provider.requests_for("flaky")) == 2
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import enum
import itertools
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

JSON: TypeAlias = dict[str, Any]

PROMPT_TOKENS: Final = 11
COMPLETION_TOKENS: Final = 7
TOTAL_TOKENS: Final = PROMPT_TOKENS + COMPLETION_TOKENS
REASONING_TOKENS: Final = 3
"""Of the completion tokens, when a scenario reasons and its usage does not say otherwise."""

CHUNKS: Final = ("Hello", " from", " the", " loopback", " provider.")
TEXT: Final = "".join(CHUNKS)
EMBEDDING: Final = (0.5, -0.25, 0.125, 1.0)
"""Exact in 32 bits, so that it survives the base64 encoding."""
RERANK_SCORES: Final = (0.875, 0.5, 0.25)
AUDIO: Final = b"ID3\x04" + bytes(range(256))
IMAGE_BASE64: Final = base64.b64encode(b"\x89PNG loopback").decode()
CREATED: Final = 1_700_000_000
RATE_LIMIT_REMAINING: Final = "99"

_LANES: Final = "/lanes/"
_JOIN_TIMEOUT: Final = 5.0
_FRAGMENT_PAUSE: Final = 0.0005
"""Seconds, so that the client reads fragments one by one; without, it finds many at once."""
_MALFORMED: Final = b'data: {"id": "broken", "choices": [{"del\n\n'


@dataclass(frozen=True)
class ToolCall:
    """A tool the model asks for; ``arguments`` is JSON text, streamed in several deltas."""

    name: str
    arguments: str = '{"city": "Paris"}'
    id: str = "call_1"


@dataclass(frozen=True)
class Usage:
    """Token counts to report; cached and reasoning tokens are part of the other two.

    ``cost`` is what OpenRouter and its like add in USD; ``audio`` is what of prompt and completion
    is audio; ``created`` and ``created_hour`` are what of the prompt Anthropic put into its cache,
    for five minutes and an hour. ``sparse`` leaves out details that are 0. ``told`` is how a stream
    tells it: at its end, also in every chunk before, the prompt first and the rest at the end, at
    the end and then zeros, or, of Anthropic's, at its start alone, with 1 token of the answer.
    """

    prompt: int = PROMPT_TOKENS
    completion: int = COMPLETION_TOKENS
    cached: int = 0
    reasoning: int | None = None
    cost: float | None = None
    audio: tuple[int, int] | None = None
    created: int = 0
    created_hour: int = 0
    sparse: bool = False
    told: Literal["last", "every", "sides", "zeros", "start"] = "last"

    @property
    def total(self) -> int:
        """Prompt and completion together."""
        return self.prompt + self.completion


@dataclass(frozen=True)
class Scenario:
    """How to answer a request. The default is a plain, quick success.

    A *chunk* is one delta of text, reasoning or tool arguments; an ``..._after`` counts the
    chunks that are sent in full before it happens, so ``0`` means before the first.

    Attributes:
        text: The answer; split into words when streamed.
        chunks: The answer as the deltas to stream; wins over ``text``.
        reasoning: What the model thinks before it answers.
        tool_calls: Tools it asks for; then there is text only if ``text`` or ``chunks`` is given.
        finish_reason: In OpenAI's terms, translated for the others; ``error`` makes a Responses
            answer one that failed.
        n: Number of choices; ``None`` does what the request asks. Choice ``i`` ends in `` #i``.
        usage: Token counts; ``None`` reports none.
        model: The model that the answer names; ``None`` for the one that was asked for.
        headers: Added to, or replacing, the response headers.
        status: Fail with this HTTP status.
        retry_after: Seconds, for the ``retry-after`` header of the failure.
        error_body: Body of the failure, instead of one in the provider's format.
        fail_times: Only the first so many requests fail, in whatever way; then all is well.
        cut_after: Drop the connection; an answer that is not streamed loses its second half.
        stall_after: Pause for ``stall_seconds``; not streamed, pause before answering.
        stall_seconds: Length of that pause.
        sse_error_after: End the stream with an error event.
        malformed_after: Put broken JSON into the stream; not streamed, answer with broken JSON.
        truncate_after: End the stream cleanly, but with no finish reason, usage or end marker.
        first_chunk_delay: Seconds from the headers to the first event, or before the answer.
        chunk_delay: Seconds after each chunk.
        split_bytes: Send a stream in fragments of so many bytes, whatever the event boundaries.
    """

    text: str | None = None
    chunks: tuple[str, ...] | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    n: int | None = None
    usage: Usage | None = Usage()  # frozen, so sharing it is safe
    model: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    status: int | None = None
    retry_after: float | None = None
    error_body: str | Mapping[str, Any] | None = None
    fail_times: int | None = None
    cut_after: int | None = None
    stall_after: int | None = None
    stall_seconds: float = 1.0
    sse_error_after: int | None = None
    malformed_after: int | None = None
    truncate_after: int | None = None
    first_chunk_delay: float = 0.0
    chunk_delay: float = 0.0
    split_bytes: int | None = None

    def healed(self) -> Scenario:
        """Give the same scenario with nothing going wrong."""
        return dataclasses.replace(
            self,
            status=None,
            fail_times=None,
            cut_after=None,
            stall_after=None,
            sse_error_after=None,
            malformed_after=None,
            truncate_after=None,
        )

    def expanded(self) -> list[Scenario]:
        """Spell ``fail_times`` out: one scenario per request, the last one for all that follow."""
        if self.fail_times is None:
            return [self]
        healed = self.healed()
        failing = dataclasses.replace(self, fail_times=None)
        if failing == healed:
            failing = dataclasses.replace(failing, status=500)
        return [failing] * self.fail_times + [healed]


@dataclass(frozen=True)
class Received:
    """A request as it arrived.

    Attributes:
        serial: Counts the provider's requests, from 1.
        path: Without the query.
        query: Its parameters.
        headers: With lower-case names.
        body: The raw bytes.
        json: The body parsed, the text fields of a form, or empty.
        model: What the request calls the model; empty if it does not.
        lane: The lane it came on; empty if on none. ``path`` is without it.
    """

    serial: int
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    json: JSON
    model: str
    lane: str = ""

    @property
    def request_id(self) -> str:
        """What the answer's ``x-request-id`` header says."""
        return f"req_{self.serial}"


@dataclass(frozen=True)
class _Call:
    """A request and the scenario it is answered by."""

    received: Received
    scenario: Scenario

    @property
    def model(self) -> str:
        return self.scenario.model or self.received.model

    @property
    def body(self) -> JSON:
        return self.received.json

    @property
    def usage(self) -> Usage | None:
        usage = self.scenario.usage
        if usage is None or usage.reasoning is not None:
            return usage
        return dataclasses.replace(
            usage, reasoning=REASONING_TOKENS if self.scenario.reasoning else 0
        )

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text of the first choice, as it is streamed."""
        scenario = self.scenario
        if scenario.chunks is not None:
            return scenario.chunks
        if scenario.text is not None:
            return _words(scenario.text)
        return () if scenario.tool_calls else CHUNKS

    @property
    def finish_reason(self) -> str:
        default = "tool_calls" if self.scenario.tool_calls else "stop"
        return self.scenario.finish_reason or default

    def choices(self) -> range:
        asked = self.body.get("n") or self.body.get("generationConfig", {}).get("candidateCount")
        return range(self.scenario.n or int(asked or 1))

    def text(self, choice: int = 0) -> str:
        return "".join(self.pieces) + _suffix(choice)

    def id(self, prefix: str) -> str:
        return f"{prefix}{self.received.serial}"


def _suffix(choice: int) -> str:
    return f" #{choice}" if choice else ""


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\s*\S+\s*$|\s*\S+|\s+", text))


def _slices(text: str, parts: int = 3) -> list[str]:
    """Cut a text into a few pieces, at places that mean nothing."""
    size = max(1, -(-len(text) // parts))
    return [text[start : start + size] for start in range(0, len(text), size)]


class _Phase(enum.Enum):
    """Where in a stream an event stands; deltas are counted, faults never come before OPEN."""

    OPEN = enum.auto()
    DELTA = enum.auto()
    CLOSE = enum.auto()


class _Frame(NamedTuple):
    data: bytes
    phase: _Phase


def _sse(data: Mapping[str, Any], phase: _Phase = _Phase.DELTA) -> _Frame:
    return _Frame(b"data: " + json.dumps(data).encode() + b"\n\n", phase)


def _event(kind: str, data: Mapping[str, Any], phase: _Phase) -> _Frame:
    frame = _sse({"type": kind, **data}, phase)
    return frame._replace(data=f"event: {kind}\n".encode() + frame.data)


# OpenAI: chat and text completions -------------------------------------------------------------


def _openai_usage(call: _Call) -> JSON | None:
    if (usage := call.usage) is None:
        return None
    heard, said = ({"audio_tokens": part} for part in usage.audio) if usage.audio else ({}, {})
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        **_details(usage, "prompt_tokens_details", {"cached_tokens": usage.cached} | heard),
        **_details(
            usage, "completion_tokens_details", {"reasoning_tokens": usage.reasoning} | said
        ),
        **({} if usage.cost is None else {"cost": usage.cost}),
    }


def _details(usage: Usage, name: str, details: JSON) -> JSON:
    told = {key: count for key, count in details.items() if count or not usage.sparse}
    return {name: told} if told else {}


def _early_usage(usage: JSON) -> JSON:
    """Tell what is known before the answer is there: the prompt."""
    prompt = {key: value for key, value in usage.items() if key.startswith("prompt")}
    return prompt | {"completion_tokens": 0, "total_tokens": usage["prompt_tokens"]}


def _late_usages(told: str, usage: JSON) -> list[JSON]:
    """Tell the rest at the end."""
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if told == "sides":
        answer = {key: value for key, value in usage.items() if not key.startswith("prompt")}
        return [answer | {"prompt_tokens": 0, "total_tokens": usage["completion_tokens"]}]
    return [usage, zeros] if told == "zeros" else [usage]


def _openai_envelope(call: _Call, prefix: str, kind: str, **fields: Any) -> JSON:
    head = {"id": call.id(prefix), "object": kind, "created": CREATED, "model": call.model}
    return head | fields


def _with_usage(body: JSON, usage: JSON | None) -> JSON:
    return body if usage is None else body | {"usage": usage}


def _chat(call: _Call) -> JSON:
    choices = [
        {"index": i, "message": _chat_message(call, i), "finish_reason": call.finish_reason}
        for i in call.choices()
    ]
    body = _openai_envelope(call, "chatcmpl-", "chat.completion", choices=choices)
    return _with_usage(body, _openai_usage(call))


def _chat_message(call: _Call, choice: int) -> JSON:
    message: JSON = {"role": "assistant", "content": call.text(choice) if call.pieces else None}
    if call.scenario.reasoning:
        message["reasoning_content"] = call.scenario.reasoning
    if call.scenario.tool_calls:
        message["tool_calls"] = [_chat_tool(tool) for tool in call.scenario.tool_calls]
    return message


def _chat_tool(tool: ToolCall) -> JSON:
    function = {"name": tool.name, "arguments": tool.arguments}
    return {"id": tool.id, "type": "function", "function": function}


def _chat_frames(call: _Call) -> Iterator[_Frame]:
    early = _usage_of_chunks(call)

    def chunk(choice: int, delta: JSON, phase: _Phase, finish: str | None = None) -> _Frame:
        choices = [{"index": choice, "delta": delta, "finish_reason": finish}]
        made = _openai_envelope(call, "chatcmpl-", "chat.completion.chunk", choices=choices)
        return _sse(_with_usage(made, early), phase)

    for choice in call.choices():
        yield chunk(choice, {"role": "assistant", "content": ""}, _Phase.OPEN)
    for delta, phase in _chat_deltas(call):
        for choice in call.choices():
            yield chunk(choice, delta, phase)
    for choice in call.choices():
        if choice and call.pieces:
            yield chunk(choice, {"content": _suffix(choice)}, _Phase.CLOSE)
        yield chunk(choice, {}, _Phase.CLOSE, call.finish_reason)
    yield from _openai_tail(call, "chatcmpl-", "chat.completion.chunk")


def _chat_deltas(call: _Call) -> Iterator[tuple[JSON, _Phase]]:
    for piece in _words(call.scenario.reasoning or ""):
        yield {"reasoning_content": piece}, _Phase.DELTA
    for piece in call.pieces:
        yield {"content": piece}, _Phase.DELTA
    for index, tool in enumerate(call.scenario.tool_calls):
        opening = _chat_tool(dataclasses.replace(tool, arguments=""))
        yield {"tool_calls": [{"index": index, **opening}]}, _Phase.OPEN
        for piece in _slices(tool.arguments):
            delta = {"index": index, "function": {"arguments": piece}}
            yield {"tool_calls": [delta]}, _Phase.DELTA


def _openai_tail(call: _Call, prefix: str, kind: str) -> Iterator[_Frame]:
    """End a stream; usage comes in a chunk without choices, and only if it was asked for."""
    usage = _openai_usage(call)
    if usage and call.usage and _asks_for_usage(call):
        for told in _late_usages(call.usage.told, usage):
            yield _sse(_openai_envelope(call, prefix, kind, choices=[], usage=told), _Phase.CLOSE)
    yield _Frame(b"data: [DONE]\n\n", _Phase.CLOSE)


def _asks_for_usage(call: _Call) -> bool:
    return bool((call.body.get("stream_options") or {}).get("include_usage"))


def _usage_of_chunks(call: _Call) -> JSON | None:
    """Return what every chunk before the end tells."""
    usage = _openai_usage(call)
    if usage is None or call.usage is None or not _asks_for_usage(call):
        return None
    return _early_usage(usage) if call.usage.told in ("every", "sides") else None


def _text_choice(text: str, choice: int, finish: str | None = None) -> JSON:
    return {"index": choice, "text": text, "logprobs": None, "finish_reason": finish}


def _text(call: _Call) -> JSON:
    choices = [_text_choice(call.text(i), i, call.finish_reason) for i in call.choices()]
    body = _openai_envelope(call, "cmpl-", "text_completion", choices=choices)
    return _with_usage(body, _openai_usage(call))


def _text_frames(call: _Call) -> Iterator[_Frame]:
    def chunk(choice: JSON, phase: _Phase) -> _Frame:
        return _sse(_openai_envelope(call, "cmpl-", "text_completion", choices=[choice]), phase)

    for piece in call.pieces:
        for choice in call.choices():
            yield chunk(_text_choice(piece, choice), _Phase.DELTA)
    for choice in call.choices():
        last = _text_choice(_suffix(choice), choice, call.finish_reason)
        yield chunk(last, _Phase.CLOSE)
    yield from _openai_tail(call, "cmpl-", "text_completion")


def _openai_error(call: _Call, status: int) -> JSON:
    kind = {429: "rate_limit_error", 401: "authentication_error"}.get(status)
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    message = f"scripted failure {status} of {call.model}"
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def _openai_stream_error(call: _Call) -> _Frame:
    return _sse(_openai_error(call, 500), _Phase.CLOSE)


# OpenAI: responses -----------------------------------------------------------------------------


def _responses_usage(call: _Call) -> JSON | None:
    if (usage := call.usage) is None:
        return None
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


_RESPONSE_ENDS: Final = {"error": "failed", "length": "incomplete"}


def _responses(call: _Call) -> JSON:
    items = [item for item, _ in _response_items(call)]
    status = _RESPONSE_ENDS.get(call.finish_reason, "completed")
    response = _response(call, items, _responses_usage(call), status)
    if status == "failed":
        response["error"] = {"code": "server_error", "message": f"scripted end of {call.model}"}
    elif status == "incomplete":
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    return response


def _response(
    call: _Call, output: Sequence[JSON], usage: JSON | None, status: str = "completed"
) -> JSON:
    """Give the whole object: older LiteLLM versions insist on every field."""
    nothing = ("error", "incomplete_details", "instructions", "max_output_tokens", "user")
    return dict.fromkeys((*nothing, "previous_response_id")) | {
        "id": call.id("resp_"),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": call.model,
        "output": output,
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": call.body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "metadata": {},
        "usage": usage,
    }


class _Part(NamedTuple):
    """How an output item is streamed: its events' common name, its field and its deltas."""

    event: str
    field: str
    pieces: Sequence[str]
    wrapper: str | None = None
    wrapped: JSON = {}  # noqa: RUF012  # a NamedTuple's default, never written to


def _response_items(call: _Call) -> Iterator[tuple[JSON, _Part]]:
    scenario = call.scenario
    if scenario.reasoning:
        summary = {"type": "summary_text", "text": scenario.reasoning}
        item = {"type": "reasoning", "id": call.id("rs_"), "summary": [summary]}
        name = "response.reasoning_summary_text"
        part = _Part(name, "text", _words(scenario.reasoning), "reasoning_summary_part", summary)
        yield item, part
    if call.pieces:
        content = {"type": "output_text", "text": call.text(), "annotations": [], "logprobs": []}
        item = {"type": "message", "id": call.id("msg_"), "status": "completed"}
        item |= {"role": "assistant", "content": [content]}
        yield item, _Part("response.output_text", "text", call.pieces, "content_part", content)
    for tool in scenario.tool_calls:
        item = {"type": "function_call", "id": f"fc_{tool.id}", "call_id": tool.id}
        item |= {"name": tool.name, "arguments": tool.arguments, "status": "completed"}
        pieces = _slices(tool.arguments)
        yield item, _Part("response.function_call_arguments", "arguments", pieces)


def _responses_frames(call: _Call) -> Iterator[_Frame]:
    number = itertools.count()

    def event(kind: str, phase: _Phase, **fields: Any) -> _Frame:
        return _event(kind, fields | {"sequence_number": next(number)}, phase)

    started = _response(call, [], None, "in_progress")
    yield event("response.created", _Phase.OPEN, response=started)
    yield event("response.in_progress", _Phase.OPEN, response=started)
    for index, (item, part) in enumerate(_response_items(call)):
        for kind, phase, fields in _item_events(item, part):
            yield event(kind, phase, output_index=index, **fields)
    response = _responses(call)
    yield event(f"response.{response['status']}", _Phase.CLOSE, response=response)


def _item_events(item: JSON, part: _Part) -> Iterator[tuple[str, _Phase, JSON]]:
    empty = {key: type(item[key])() for key in ("summary", "content", "arguments") if key in item}
    where: JSON = {"item_id": item["id"]}
    yield "response.output_item.added", _Phase.OPEN, {"item": item | empty}
    if part.wrapper:
        where["summary_index" if "summary" in item else "content_index"] = 0
        opened = where | {"part": part.wrapped | {"text": ""}}
        yield f"response.{part.wrapper}.added", _Phase.OPEN, opened
    for piece in part.pieces:
        yield f"{part.event}.delta", _Phase.DELTA, where | {"delta": piece}
    yield f"{part.event}.done", _Phase.CLOSE, where | {part.field: "".join(part.pieces)}
    if part.wrapper:
        yield f"response.{part.wrapper}.done", _Phase.CLOSE, where | {"part": part.wrapped}
    yield "response.output_item.done", _Phase.CLOSE, {"item": item}


def _responses_stream_error(call: _Call) -> _Frame:
    error = _openai_error(call, 500)["error"]
    fields = {"code": error["code"], "message": error["message"], "param": None}
    return _event("error", fields | {"sequence_number": 999}, _Phase.CLOSE)


# OpenAI: everything that is not streamed -------------------------------------------------------


def _embeddings(call: _Call) -> JSON:
    given = call.body.get("input") or ""
    several = isinstance(given, list) and not isinstance(given[0], int)  # a list of ints: tokens
    size = call.body.get("dimensions") or len(EMBEDDING)
    vector: Any = [EMBEDDING[i % len(EMBEDDING)] for i in range(size)]
    if call.body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
    data = [
        {"object": "embedding", "index": i, "embedding": vector}
        for i in range(len(given) if several else 1)
    ]
    usage = call.usage or Usage(prompt=0)
    counts = {"prompt_tokens": usage.prompt, "total_tokens": usage.prompt}
    return {"object": "list", "model": call.model, "data": data, "usage": counts}


def _moderations(call: _Call) -> JSON:
    names = ("harassment", "hate", "self-harm", "sexual", "violence")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(names, False),
        "category_scores": dict.fromkeys(names, 0.25),
        "category_applied_input_types": {name: ["text"] for name in names},
    }
    return {"id": call.id("modr-"), "model": call.model, "results": [result]}


def _images(call: _Call) -> JSON:
    inline = call.body.get("response_format") == "b64_json" or call.model.startswith("gpt-image")
    image = {"b64_json": IMAGE_BASE64} if inline else {"url": "https://images.invalid/1.png"}
    details = {"input_tokens_details": {"text_tokens": PROMPT_TOKENS, "image_tokens": 0}}
    body = {"created": CREATED, "data": [image for _ in call.choices()]}
    return _with_usage(body, _media_usage(call, **details))


def _media_usage(call: _Call, **details: Any) -> JSON | None:
    if (usage := call.usage) is None:
        return None
    counts = {"input_tokens": usage.prompt, "output_tokens": usage.completion}
    return counts | {"total_tokens": usage.total} | details


def _speech(_call: _Call) -> bytes:
    return AUDIO


def _transcription(call: _Call) -> JSON:
    details = {"input_token_details": {"text_tokens": 0, "audio_tokens": PROMPT_TOKENS}}
    body = {"text": call.text(), "language": "english", "duration": 1.5}
    return _with_usage(body, _media_usage(call, type="tokens", **details))


def _session_description(_call: _Call) -> bytes:
    return b"v=0\r\n"


def _rerank(call: _Call) -> JSON:
    """Answer as Cohere and Jina do at once; each reads what it knows."""
    documents = call.body.get("documents") or []
    top = call.body.get("top_n") or len(documents)
    results = [
        {"index": i, "relevance_score": score, "document": _document(document)}
        for i, (document, score) in enumerate(zip(documents[:top], itertools.cycle(RERANK_SCORES)))
    ]
    body = {"id": call.id("rerank-"), "model": call.model, "results": results}
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return body | {"meta": meta, "usage": {"total_tokens": PROMPT_TOKENS}}


def _ocr(call: _Call) -> JSON:
    page = {"index": 0, "markdown": call.text(), "images": [], "dimensions": None}
    usage = {"pages_processed": 1, "doc_size_bytes": 1_000}
    return {"pages": [page], "model": call.model, "usage_info": usage, "document_annotation": None}


def _document(document: Any) -> JSON:
    return {"text": document} if isinstance(document, str) else document


# Anthropic -------------------------------------------------------------------------------------

_ANTHROPIC_STOP: Final = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}


def _anthropic_usage(call: _Call) -> JSON:
    """Count as Anthropic does: its input tokens leave out those read from the cache."""
    usage = call.usage or Usage(prompt=0, completion=0)
    created = usage.created + usage.created_hour
    return {
        "input_tokens": usage.prompt - usage.cached - created,
        **({} if usage.sparse and not created else {"cache_creation_input_tokens": created}),
        **({} if usage.sparse and not usage.cached else {"cache_read_input_tokens": usage.cached}),
        **({"cache_creation": _created(usage)} if usage.created_hour else {}),
        "output_tokens": usage.completion,
    }


def _created(usage: Usage) -> JSON:
    times = {"5m": usage.created, "1h": usage.created_hour}
    return {f"ephemeral_{time}_input_tokens": count for time, count in times.items()}


def _anthropic_late(call: _Call) -> JSON:
    """Tell in the last event what older models do (the answer alone), proxies, or newer ones."""
    usage, told = _anthropic_usage(call), call.usage.told if call.usage else "last"
    answer = {"output_tokens": usage["output_tokens"]}
    if told == "zeros":
        return {key: 0 for key, count in usage.items() if isinstance(count, int)} | answer
    return answer if told == "sides" else usage


def _anthropic_blocks(call: _Call) -> Iterator[tuple[JSON, Sequence[tuple[str, str]]]]:
    """Give each content block with the deltas, as pairs of field and piece, that build it."""
    if reasoning := call.scenario.reasoning:
        deltas = [("thinking", piece) for piece in _words(reasoning)]
        block = {"type": "thinking", "thinking": reasoning, "signature": "c2lnbmVk"}
        yield block, [*deltas, ("signature", "c2lnbmVk")]
    if call.pieces:
        yield {"type": "text", "text": call.text()}, [("text", piece) for piece in call.pieces]
    for tool in call.scenario.tool_calls:
        deltas = [("partial_json", piece) for piece in _slices(tool.arguments)]
        block = {"type": "tool_use", "id": tool.id, "name": tool.name}
        yield block | {"input": json.loads(tool.arguments)}, deltas


def _anthropic_message(call: _Call, **fields: Any) -> JSON:
    head = {"id": call.id("msg_"), "type": "message", "role": "assistant", "model": call.model}
    return head | {"stop_sequence": None, **fields}


def _anthropic(call: _Call) -> JSON:
    return _anthropic_message(
        call,
        content=[block for block, _ in _anthropic_blocks(call)],
        stop_reason=_ANTHROPIC_STOP.get(call.finish_reason, call.finish_reason),
        usage=_anthropic_usage(call),
    )


def _anthropic_frames(call: _Call) -> Iterator[_Frame]:
    usage = _anthropic_usage(call)
    opening = _anthropic_message(
        call, content=[], stop_reason=None, usage=usage | {"output_tokens": 1}
    )
    yield _event("message_start", {"message": opening}, _Phase.OPEN)
    yield _event("ping", {}, _Phase.OPEN)
    for index, (block, deltas) in enumerate(_anthropic_blocks(call)):
        yield from _anthropic_block_frames(index, block, deltas)
    stop = _ANTHROPIC_STOP.get(call.finish_reason, call.finish_reason)
    delta = {"stop_reason": stop, "stop_sequence": None}
    late = {} if call.usage and call.usage.told == "start" else {"usage": _anthropic_late(call)}
    yield _event("message_delta", {"delta": delta, **late}, _Phase.CLOSE)
    yield _event("message_stop", {}, _Phase.CLOSE)


def _anthropic_block_frames(
    index: int, block: JSON, deltas: Sequence[tuple[str, str]]
) -> Iterator[_Frame]:
    empty: JSON = {key: type(block[key])() for key in ("text", "thinking", "input") if key in block}
    empty |= {"signature": ""} if "signature" in block else {}
    start = {"index": index, "content_block": block | empty}
    yield _event("content_block_start", start, _Phase.OPEN)
    for field, piece in deltas:
        kind = "input_json_delta" if field == "partial_json" else f"{field}_delta"
        delta = {"index": index, "delta": {"type": kind, field: piece}}
        phase = _Phase.CLOSE if field == "signature" else _Phase.DELTA
        yield _event("content_block_delta", delta, phase)
    yield _event("content_block_stop", {"index": index}, _Phase.CLOSE)


def _anthropic_error(call: _Call, status: int) -> JSON:
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    kinds |= {400: "invalid_request_error", 529: "overloaded_error"}
    message = f"scripted failure {status} of {call.model}"
    error = {"type": kinds.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": call.received.request_id}


def _anthropic_stream_error(call: _Call) -> _Frame:
    return _event("error", _anthropic_error(call, 529), _Phase.CLOSE)


# Gemini ----------------------------------------------------------------------------------------

_GEMINI_STOP: Final = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}


def _gemini_body(call: _Call, *, usage: bool, **candidates: Any) -> JSON:
    body = candidates | {"modelVersion": call.model, "responseId": call.id("gemini-")}
    counts = call.usage
    if counts is None or not (usage or counts.told in ("every", "sides")):
        return body
    thoughts = (counts.reasoning or 0) if usage else 0
    metadata: JSON = {"promptTokenCount": counts.prompt, **_gemini_prompt(counts)}
    if usage:
        metadata["candidatesTokenCount"] = counts.completion - thoughts
    elif counts.told == "every":
        metadata["candidatesTokenCount"] = 1
    metadata["totalTokenCount"] = counts.total if usage else counts.prompt
    metadata |= {"thoughtsTokenCount": thoughts} if thoughts else {}
    return body | {"usageMetadata": metadata}


def _gemini_prompt(usage: Usage) -> JSON:
    """Tell of what the prompt was made."""
    found: JSON = {"cachedContentTokenCount": usage.cached} if usage.cached else {}
    if usage.audio:
        kinds = {"AUDIO": usage.audio[0], "TEXT": usage.prompt - usage.audio[0]}
        details = [{"modality": kind, "tokenCount": count} for kind, count in kinds.items()]
        found["promptTokensDetails"] = details
    return found


def _gemini_candidate(parts: Sequence[JSON], choice: int, finish: str | None = None) -> JSON:
    candidate = {"content": {"role": "model", "parts": parts}, "index": choice}
    return candidate | ({"finishReason": finish} if finish else {})


def _gemini_finish(call: _Call) -> str:
    return _GEMINI_STOP.get(call.finish_reason, "STOP")


def _gemini_tools(call: _Call) -> list[JSON]:
    return [
        {"functionCall": {"name": tool.name, "args": json.loads(tool.arguments)}}
        for tool in call.scenario.tool_calls
    ]


def _gemini(call: _Call) -> JSON:
    reasoning = call.scenario.reasoning
    thoughts = [{"text": reasoning, "thought": True}] if reasoning else []
    candidates = [
        _gemini_candidate(
            [*thoughts, *([{"text": call.text(i)}] if call.pieces else []), *_gemini_tools(call)],
            i,
            _gemini_finish(call),
        )
        for i in call.choices()
    ]
    return _gemini_body(call, usage=True, candidates=candidates)


def _gemini_frames(call: _Call) -> Iterator[_Frame]:
    """Stream parts; Gemini sends a function call whole, and its end as one last event."""
    thoughts = _words(call.scenario.reasoning or "")
    parts: list[JSON] = [{"text": piece, "thought": True} for piece in thoughts]
    parts += [{"text": piece} for piece in call.pieces]
    parts += _gemini_tools(call)
    for part in parts:
        candidates = [_gemini_candidate([part], i) for i in call.choices()]
        yield _sse(_gemini_body(call, usage=False, candidates=candidates))
    last = [
        _gemini_candidate([{"text": _suffix(i)}], i, _gemini_finish(call)) for i in call.choices()
    ]
    yield _sse(_gemini_body(call, usage=True, candidates=last), _Phase.CLOSE)


def _gemini_error(call: _Call, status: int) -> JSON:
    names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED"}
    names |= {404: "NOT_FOUND", 503: "UNAVAILABLE"}
    message = f"scripted failure {status} of {call.model}"
    return {"error": {"code": status, "message": message, "status": names.get(status, "INTERNAL")}}


def _gemini_stream_error(call: _Call) -> _Frame:
    return _sse(_gemini_error(call, 503), _Phase.CLOSE)


# OpenAI: what is asked for now and then --------------------------------------------------------


def _list(call: _Call) -> JSON:
    return {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def _thread(call: _Call) -> JSON:
    return {"id": "thread_1", "object": "thread", "created_at": CREATED, "metadata": {}}


def _run(call: _Call) -> JSON:
    run = {"id": "run_1", "object": "thread.run", "created_at": CREATED, "status": "completed"}
    return run | {"thread_id": "thread_1", "assistant_id": call.body.get("assistant_id")}


def _batch(call: _Call) -> JSON:
    batch = {"id": "batch_1", "object": "batch", "created_at": CREATED, "status": "cancelling"}
    about = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return batch | about | {"input_file_id": "file_1"}


def _vector_store_page(call: _Call) -> JSON:
    content = [{"type": "text", "text": call.text()}]
    found = {"file_id": "file_1", "filename": "a.txt", "score": 0.875, "content": content}
    query = call.body.get("query")
    return {"object": "vector_store.search_results.page", "search_query": query, "data": [found]}


def _token_count(call: _Call) -> JSON:
    return {"input_tokens": PROMPT_TOKENS}


def _search(call: _Call) -> JSON:
    """Answer as Tavily does."""
    found = {"title": "A", "url": "https://a.example", "content": call.text(), "score": 0.875}
    return {"query": call.body.get("query"), "results": [found]}


# Routes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Route:
    """What answers the paths that end in ``suffix``."""

    suffix: str
    answer: Callable[[_Call], JSON | bytes]
    frames: Callable[[_Call], Iterator[_Frame]] | None = None
    error: Callable[[_Call, int], JSON] = _openai_error
    stream_error: Callable[[_Call], _Frame] = _openai_stream_error
    always_streams: bool = False

    def streams(self, call: _Call) -> bool:
        return self.frames is not None and bool(self.always_streams or call.body.get("stream"))


_GEMINI: Final = (_gemini, _gemini_frames, _gemini_error, _gemini_stream_error)
_ROUTES: Final = (
    _Route("/chat/completions", _chat, _chat_frames),
    _Route("/completions", _text, _text_frames),
    _Route("/responses", _responses, _responses_frames, stream_error=_responses_stream_error),
    _Route("/embeddings", _embeddings),
    _Route("/moderations", _moderations),
    _Route("/images/generations", _images),
    _Route("/images/edits", _images),
    _Route("/audio/speech", _speech),
    _Route("/audio/transcriptions", _transcription),
    _Route("/realtime/calls", _session_description),
    _Route("/rerank", _rerank),
    _Route("/ocr", _ocr),
    _Route("/assistants", _list),
    _Route("/threads", _thread),
    _Route("/runs", _run),
    _Route("/runs/run_1", _run),
    _Route("/batches/batch_1/cancel", _batch),
    _Route("/fine_tuning/jobs", _list),
    _Route("/vector_stores/vs_1/search", _vector_store_page),
    _Route("/search", _search),
    _Route("/messages/count_tokens", _token_count),
    _Route("/messages", _anthropic, _anthropic_frames, _anthropic_error, _anthropic_stream_error),
    _Route(":generateContent", *_GEMINI),
    _Route(":streamGenerateContent", *_GEMINI, always_streams=True),
)


def _find_route(path: str) -> _Route | None:
    return next((route for route in _ROUTES if path.endswith(route.suffix)), None)


# The wire --------------------------------------------------------------------------------------


class _Cut(Exception):  # not an error: the way to say that the connection is to drop
    """The connection is to be dropped now."""


def _wire(call: _Call, route: _Route, pause: Callable[[float], None]) -> Iterator[bytes]:
    """Play a stream, faults and delays included.

    Raises:
        _Cut: The scenario drops the connection.
    """
    assert route.frames is not None
    scenario, sent, ready = call.scenario, 0, True
    pause(scenario.first_chunk_delay)
    for frame in route.frames(call):
        if ready and frame.phase is not _Phase.OPEN:
            ready = False  # until the next delta has been sent
            if sent == scenario.cut_after:
                raise _Cut
            if sent == scenario.stall_after:
                pause(scenario.stall_seconds)
            if sent == scenario.malformed_after:
                yield _MALFORMED
            if sent == scenario.sse_error_after:
                yield route.stream_error(call).data
            if sent in (scenario.sse_error_after, scenario.truncate_after):
                return
        yield frame.data
        if frame.phase is _Phase.DELTA:
            sent, ready = sent + 1, True
            pause(scenario.chunk_delay)


def _refragment(wire: Iterator[bytes], size: int | None) -> Iterator[bytes]:
    """Cut a stream into fragments of one size that ignore where its events begin and end."""
    if size is None:
        yield from wire
        return
    held = b""
    try:
        for data in wire:
            held += data
            while len(held) >= size:
                yield held[:size]
                held = held[size:]
    except _Cut:
        yield held
        raise
    yield held


def _form_fields(body: bytes) -> JSON:
    """Read the short text fields of a multipart form; files are left alone."""
    pattern = rb'name="(\w+)"(?:\r\n(?!\r\n)[^\r]*)*\r\n\r\n([^\r]*)\r\n--'
    return {name.decode(): value.decode() for name, value in re.findall(pattern, body)}


def _parse_body(body: bytes, content_type: str) -> JSON:
    if content_type.startswith("multipart/"):
        return _form_fields(body)
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _model_in_path(path: str) -> str:
    found = re.search(r"(?:models|deployments)/([^/:]+)", path)
    return unquote(found[1]) if found else ""


def _split_lane(path: str) -> tuple[str, str]:
    found = re.match(rf"{_LANES}([^/]+)(/.*)", path)
    return (unquote(found[1]), found[2]) if found else ("", path)


class _Handler(BaseHTTPRequestHandler):
    """One connection; keeps it open for further requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _provider(self) -> Provider:
        return cast("_Server", self.server).provider

    def do_POST(self) -> None:  # the name http.server looks for
        try:
            self._respond()
        except _Cut:
            self.close_connection = True

    do_GET = do_POST  # noqa: N815  # the name http.server looks for

    def _respond(self) -> None:
        call = self._provider._accept(self._receive())
        route = _find_route(call.received.path)
        if route is None:
            self._send_json(call, 404, _openai_error(call, 404))
        elif call.scenario.status is not None:
            self._fail(call, route, call.scenario.status)
        elif route.streams(call):
            self._stream(call, route)
        else:
            self._answer(call, route)

    def _receive(self) -> Received:
        parts = urlsplit(self.path)
        lane, path = _split_lane(parts.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._read_body(headers)
        parsed = _parse_body(body, headers.get("content-type", ""))
        return Received(
            serial=self._provider._next_serial(),
            path=path,
            query=dict(parse_qsl(parts.query)),
            headers=headers,
            body=body,
            json=parsed,
            model=str(parsed.get("model") or _model_in_path(path)),
            lane=lane,
        )

    def _read_body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self._read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self._read_line().split(b";")[0], 16):
            body += self._read(size)
            self._read_line()
        self._read_line()
        return body

    def _read(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionAbortedError("the client went away in the middle of its request")
        return data

    def _read_line(self) -> bytes:
        line = self.rfile.readline()
        if not line:
            raise ConnectionAbortedError("the client went away in the middle of its request")
        return line

    def _fail(self, call: _Call, route: _Route, status: int) -> None:
        body, retry_after = call.scenario.error_body, call.scenario.retry_after
        self._pause(call.scenario.first_chunk_delay)
        extra = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
        if isinstance(body, str):
            self._send(call, status, body.encode(), "text/plain", extra)
        else:
            self._send_json(
                call, status, route.error(call, status) if body is None else body, extra
            )

    def _answer(self, call: _Call, route: _Route) -> None:
        scenario, answer = call.scenario, route.answer(call)
        self._pause(scenario.first_chunk_delay)
        if scenario.stall_after is not None:
            self._pause(scenario.stall_seconds)
        if isinstance(answer, bytes):
            self._send(call, 200, answer, "audio/mpeg")
        else:
            self._send_json(call, 200, answer)

    def _send_json(
        self, call: _Call, status: int, body: Mapping[str, Any], extra: Mapping[str, str] = {}
    ) -> None:
        self._send(call, status, json.dumps(body).encode(), "application/json", extra)

    def _send(
        self, call: _Call, status: int, body: bytes, kind: str, extra: Mapping[str, str] = {}
    ) -> None:
        half = len(body) // 2
        if call.scenario.malformed_after is not None:
            body = body[:half]
        self._head(call, status, kind, {"content-length": str(len(body)), **extra})
        if call.scenario.cut_after is not None:
            self.wfile.write(body[:half])
            raise _Cut
        self.wfile.write(body)

    def _stream(self, call: _Call, route: _Route) -> None:
        self._head(call, 200, "text/event-stream", {"transfer-encoding": "chunked"})
        for data in _refragment(_wire(call, route, self._pause), call.scenario.split_bytes):
            if data:  # an empty chunk would end the body
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            if call.scenario.split_bytes:
                self._pause(_FRAGMENT_PAUSE)
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, call: _Call, status: int, kind: str, extra: Mapping[str, str]) -> None:
        headers = {
            "content-type": kind,
            "x-request-id": call.received.request_id,
            "request-id": call.received.request_id,
            "x-ratelimit-remaining-requests": RATE_LIMIT_REMAINING,
        }
        self.send_response(status)
        for name, value in (headers | dict(extra) | dict(call.scenario.headers)).items():
            self.send_header(name, value)
        self.end_headers()

    def _pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the provider."""
        if seconds and self._provider._stopping.wait(seconds):
            raise _Cut

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing: what was requested is recorded."""


class _Server(ThreadingHTTPServer):
    """A threading server that knows its connections, so that it can end them."""

    daemon_threads = True
    request_queue_size = 128  # of 5, some of many callers at once are turned away

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._live: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="provider", daemon=True
        )
        with self._lock:
            self._live[thread] = request
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._live.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what is our own fault; a client that goes away is nobody's."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            self.provider.errors.append(error)

    def end_connections(self) -> None:
        """Wake every thread that waits for its client, and wait for it to end."""
        with self._lock:
            live = dict(self._live)
        for connection in live.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in live:
            thread.join(_JOIN_TIMEOUT)
        if any(thread.is_alive() for thread in live):
            raise RuntimeError(f"connections still busy {_JOIN_TIMEOUT} s after the provider ended")


class _Endpoint:
    """What LiteLLM is to be given as ``api_base``."""

    @property
    def url(self) -> str:
        """Root, without a trailing slash; ``api_base`` of ``anthropic/`` models."""
        raise NotImplementedError

    @property
    def openai_base(self) -> str:
        """``api_base`` of ``openai/`` models."""
        return f"{self.url}/v1"

    def gemini_base(self, model: str) -> str:
        """Give the ``api_base`` of a ``gemini/`` model.

        Newer LiteLLM versions add the model to it, older ones (1.65) do not; having it twice does
        no harm.

        Args:
            model: Without LiteLLM's prefix.
        """
        return f"{self.url}/v1beta/models/{model}"


class Lane(_Endpoint):
    """A way to the provider with a script of its own, whatever the model.

    For tests that need a model LiteLLM knows: to others it gives no cost, and newer versions do
    not really stream their responses. Made by ``Provider.lane``.
    """

    def __init__(self, provider: Provider, name: str) -> None:
        self._provider = provider
        self._name = name

    @property
    def url(self) -> str:
        """Root, without a trailing slash; ``api_base`` of ``anthropic/`` models."""
        return f"{self._provider.url}{_LANES}{quote(self._name, safe='')}"

    @property
    def requests(self) -> list[Received]:
        """The requests that came on it so far, oldest first."""
        return [request for request in self._provider.requests if request.lane == self._name]

    def script(self, *scenarios: Scenario) -> None:
        """Say how requests that come on it are answered from now on.

        Args:
            *scenarios: One after the other, one per request; the last one stays.
        """
        self._provider.script(_LANES + self._name, *scenarios)


class Provider(_Endpoint):
    """The provider; a context manager that listens from construction until it is left.

    Thread-safe.

    Attributes:
        errors: Exceptions inside the provider itself; leaving it raises the first.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._requests: list[Received] = []
        self._scripts: dict[str, list[Scenario]] = {}
        self._serials = itertools.count(1)
        self._stopping = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="provider-accept", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Root, without a trailing slash; ``api_base`` of ``anthropic/`` models."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Received]:
        """All requests so far, oldest first."""
        with self._lock:
            return list(self._requests)

    def requests_for(self, model: str) -> list[Received]:
        """Give the requests for one model so far, oldest first.

        Args:
            model: As the provider sees it, without LiteLLM's prefix.
        """
        return [request for request in self.requests if request.model == model]

    def script(self, model: str, *scenarios: Scenario) -> None:
        """Say how requests for a model are answered from now on.

        Args:
            model: As the provider sees it, without LiteLLM's prefix.
            *scenarios: One after the other, one per request; the last one stays.
        """
        script = [step for scenario in scenarios for step in scenario.expanded()]
        with self._lock:
            self._scripts[model] = script or [Scenario()]

    def lane(self, name: str) -> Lane:
        """Give a way to the provider with a script of its own.

        Args:
            name: What tells it from the lanes of other tests.
        """
        return Lane(self, name)

    def close(self) -> None:
        """Stop listening, drop all connections and wait for their threads."""
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if self.errors and error is None:
            raise self.errors[0]

    def _next_serial(self) -> int:
        return next(self._serials)

    def _accept(self, received: Received) -> _Call:
        with self._lock:
            self._requests.append(received)
            key = _LANES + received.lane if received.lane else received.model
            script = self._scripts.get(key, [Scenario()])
            return _Call(received, script.pop(0) if len(script) > 1 else script[0])
