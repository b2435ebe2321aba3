"""OpenTelemetry's GenAI conventions: a span's name and attributes, messages by their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trace_core import Span, SpanKind, Value, semconv
from trace_core.otlp import json_text
from trace_otlp_sink._dialects import conversation
from trace_otlp_sink._dialects.common import MODEL_CALLS
from trace_otlp_sink._dialects.parts import as_object, as_objects, known

_OPERATIONS: Final = {
    SpanKind.LLM: "chat",
    SpanKind.EMBEDDING: "embeddings",
    SpanKind.RETRIEVER: "retrieval",
    SpanKind.TOOL: "execute_tool",
    SpanKind.AGENT: "invoke_agent",
}
"""The operations of spans that name none: those of programs, not of LiteLLM."""
_OPENAI: Final = ("openai", "azure.ai.openai")


def span_name(span: Span) -> str:
    """Return the name that the conventions give a span: ``chat gpt-4o-mini``.

    Args:
        span: A finished span. If it does not say what it does, it keeps its name.
    """
    operation = span.attributes.get(semconv.OPERATION_NAME)
    about = span.attributes.get(_SUBJECTS.get(span.kind, ""))
    if span.kind in MODEL_CALLS:
        about = span.attributes.get(semconv.REQUEST_MODEL)
    return f"{operation} {about}" if operation and about else span.name


_SUBJECTS: Final = {
    SpanKind.RETRIEVER: semconv.DATA_SOURCE_ID,
    SpanKind.TOOL: semconv.TOOL_NAME,
    SpanKind.AGENT: semconv.AGENT_NAME,
}


def attributes(span: Span, talk: conversation.Conversation) -> dict[str, Value]:
    """Return the attributes that the conventions have for a span.

    Args:
        span: A finished span.
        talk: What was said in it.
    """
    found = _told(span)
    found.update(_messages(talk))
    inputs, outputs = talk.other_inputs, talk.other_outputs
    operation = span.attributes.get(semconv.OPERATION_NAME, found.get(semconv.OPERATION_NAME))
    if operation == "execute_tool":
        found.update(_tool(span))
        inputs = outputs = None
    elif operation == "retrieval":
        found.update(_retrieval(span))
        outputs = without_documents(outputs)
    found[semconv.INPUTS] = _as_json(inputs)
    found[semconv.OUTPUTS] = _as_json(outputs)
    return found


def _as_json(value: Value) -> str | None:
    return None if value is None else json_text(value)


def _messages(talk: conversation.Conversation) -> dict[str, Value]:
    said: dict[str, Value] = {
        semconv.SYSTEM_INSTRUCTIONS: talk.system,
        semconv.INPUT_MESSAGES: talk.inputs,
        semconv.OUTPUT_MESSAGES: talk.outputs,
        semconv.TOOL_DEFINITIONS: talk.tools,
    }
    return {name: json_text(value) for name, value in said.items() if value}


def _told(span: Span) -> dict[str, Value]:
    """Return what a request and its answer say about themselves, where the span does not yet."""
    request, answer = as_object(span.inputs), as_object(span.outputs)
    found: dict[str, Value] = {
        semconv.OPERATION_NAME: _OPERATIONS.get(span.kind),
        semconv.REQUEST_MAX_TOKENS: request.get("max_output_tokens"),
        semconv.REQUEST_STOP_SEQUENCES: request.get("stop_sequences"),
        semconv.OUTPUT_TYPE: _output_type(span.kind, request),
        semconv.RESPONSE_ID: answer.get("responseId"),
        semconv.RESPONSE_MODEL: answer.get("modelVersion"),
        semconv.RESPONSE_FINISH_REASONS: _finish_reasons(answer) or None,
    }
    if span.attributes.get(semconv.PROVIDER_NAME) in _OPENAI:
        found[semconv.OPENAI_REQUEST_SERVICE_TIER] = request.get("service_tier")
        found[semconv.OPENAI_RESPONSE_SERVICE_TIER] = answer.get("service_tier")
        found[semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT] = answer.get("system_fingerprint")
    return {name: v for name, v in known(found).items() if name not in span.attributes}


def _output_type(kind: SpanKind, request: Mapping[str, Value]) -> str | None:
    if kind is SpanKind.IMAGE:
        return "image"
    if kind is SpanKind.AUDIO:
        return "speech" if "voice" in request else "text"
    wanted = as_object(request.get("response_format"))
    wanted = wanted or as_object(as_object(request.get("text")).get("format"))
    form = str(wanted.get("type") or "")
    return "json" if form.startswith("json") else "text" if form == "text" else None


def _finish_reasons(answer: Mapping[str, Value]) -> tuple[Value, ...]:
    candidates = as_objects(answer.get("candidates"))
    reasons = [candidate.get("finishReason") for candidate in candidates]
    return tuple(reason for reason in (*reasons, answer.get("stop_reason")) if reason)


def _tool(span: Span) -> dict[str, Value]:
    name = span.attributes.get(semconv.TOOL_NAME) or span.name.removeprefix("execute_tool ")
    return {
        semconv.TOOL_NAME: name,
        semconv.TOOL_CALL_ARGUMENTS: _as_json(span.inputs),
        semconv.TOOL_CALL_RESULT: _as_json(span.outputs),
    }


def _retrieval(span: Span) -> dict[str, Value]:
    request = as_object(span.inputs)
    query = span.inputs if isinstance(span.inputs, str) else request.get("query")
    store = span.attributes.get(semconv.DATA_SOURCE_ID) or request.get("vector_store_id")
    found = documents(span.outputs)
    return {
        semconv.DATA_SOURCE_ID: store,
        semconv.RETRIEVAL_QUERY_TEXT: query,
        semconv.RETRIEVAL_DOCUMENTS: json_text(found) if found else None,
    }


def documents(outputs: Value) -> tuple[dict[str, Value], ...]:
    """Return the documents that a search found: id, score, content and all else.

    Args:
        outputs: What came out of it: documents, or a mapping that has them.
    """
    answer = as_object(outputs)
    listed = next((answer[key] for key in _DOCUMENTS if answer.get(key)), outputs)
    return tuple(map(_document, as_objects(listed)))


_DOCUMENTS: Final = ("results", "data", "documents")


def without_documents(outputs: Value) -> Value:
    """Return what came out of a search beside the documents."""
    if isinstance(outputs, Mapping):
        return {key: value for key, value in outputs.items() if key not in _DOCUMENTS} or None
    return None if documents(outputs) else outputs


def _document(found: Mapping[str, Value]) -> dict[str, Value]:
    texts = [part.get("text") for part in as_objects(found.get("content"))]
    content = "\n".join(map(str, texts)) if texts else found.get("content")
    inner = found.get("document")
    content = content or as_object(inner).get("text") or inner
    number = next((found[key] for key in _ID_KEYS if found.get(key) is not None), None)
    score = found.get("score", found.get("relevance_score"))
    content = content or found.get("snippet") or found.get("text") or found.get("page_content")
    told = known({"id": number, "score": score, "content": content})
    return {**told, **{k: v for k, v in found.items() if k not in _READ and v is not None}}


_ID_KEYS: Final = ("id", "file_id", "url", "index")
_READ: Final = frozenset(
    {"id", "score", "relevance_score", "content", "document", "snippet", "text", "page_content"}
)
