"""OpenInference, which Phoenix and Arize read: flat attributes, lists by index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from trace_core import Span, SpanKind, Value, semconv
from trace_core.otlp import json_text
from trace_otlp_sink._dialects import conversation
from trace_otlp_sink._dialects import oi_names as names
from trace_otlp_sink._dialects.genai import documents
from trace_otlp_sink._dialects.oi_messages import flat_messages
from trace_otlp_sink._dialects.parts import Object, as_object, as_objects, as_sequence, known

_KINDS: Final = {
    SpanKind.LLM: "LLM",
    SpanKind.IMAGE: "LLM",
    SpanKind.AUDIO: "LLM",
    SpanKind.EMBEDDING: "EMBEDDING",
    SpanKind.RERANKER: "RERANKER",
    SpanKind.MODERATION: "GUARDRAIL",
    SpanKind.RETRIEVER: "RETRIEVER",
    SpanKind.TOOL: "TOOL",
    SpanKind.AGENT: "AGENT",
}
_OTHER_KIND: Final = "CHAIN"
_Found = dict[str, Value]


def attributes(span: Span, talk: conversation.Conversation) -> dict[str, Value]:
    """Return the attributes that OpenInference has for a span.

    Args:
        span: A finished span.
        talk: What was said in it.
    """
    kind = _KINDS.get(span.kind, _OTHER_KIND)
    found: _Found = {names.SPAN_KIND: kind}
    found.update(_content(span.inputs, names.INPUT_VALUE, names.INPUT_MIME_TYPE))
    found.update(_content(span.outputs, names.OUTPUT_VALUE, names.OUTPUT_MIME_TYPE))
    found.update(_of_program(span))
    found.update(_usage(span))
    read = _BY_KIND.get(kind)
    if read is not None:
        found.update(read(span, talk))
    return found


def _content(value: Value, name: str, mime_type: str) -> _Found:
    if value is None:
        return {}
    if isinstance(value, str):
        return {name: value, mime_type: names.TEXT}
    return {name: json_text(value), mime_type: names.JSON}


def _of_program(span: Span) -> _Found:
    """Return what the program says of its spans: metadata, tags, agent."""
    prefix = semconv.METADATA_PREFIX
    metadata = {k[len(prefix) :]: v for k, v in span.attributes.items() if k.startswith(prefix)}
    return {
        names.METADATA: json_text(metadata) if metadata else None,
        names.TAG_TAGS: _tags(span.attributes.get(semconv.TAGS)),
        names.AGENT_NAME: span.attributes.get(semconv.AGENT_NAME),
    }


def _tags(tags: Value) -> tuple[str, ...] | None:
    if isinstance(tags, Mapping):
        return tuple(f"{key}:{value}" for key, value in tags.items())
    return tuple(map(str, as_sequence(tags))) or (None if tags is None else (str(tags),))


def _usage(span: Span) -> _Found:
    usage, cost = span.usage, span.cost
    found: _Found = {}
    if usage is not None:
        found |= {
            names.LLM_TOKEN_COUNT_PROMPT: usage.input,
            names.LLM_TOKEN_COUNT_COMPLETION: usage.output,
            names.LLM_TOKEN_COUNT_TOTAL: usage.total,
            names.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_READ: usage.cache_read,
            names.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_WRITE: usage.cache_creation,
            names.LLM_TOKEN_COUNT_PROMPT_DETAILS_AUDIO: usage.audio_input,
            names.LLM_TOKEN_COUNT_COMPLETION_DETAILS_REASONING: usage.reasoning,
            names.LLM_TOKEN_COUNT_COMPLETION_DETAILS_AUDIO: usage.audio_output,
        }
    if cost is not None:
        found[names.LLM_COST_PROMPT] = cost.input
        found[names.LLM_COST_COMPLETION] = cost.output
        found[names.LLM_COST_TOTAL] = cost.total
    return found


def _model(span: Span) -> Value:
    """Return the model that answered, else the one that was asked for."""
    asked = span.attributes.get(semconv.REQUEST_MODEL) or as_object(span.inputs).get("model")
    return span.attributes.get(semconv.RESPONSE_MODEL) or asked


def _llm(span: Span, talk: conversation.Conversation) -> _Found:
    provider = str(span.attributes.get(semconv.PROVIDER_NAME) or "")
    found: _Found = {
        names.LLM_MODEL_NAME: _model(span),
        names.LLM_REQUEST_MODEL_NAME: span.attributes.get(semconv.REQUEST_MODEL),
        names.LLM_RESPONSE_MODEL_NAME: span.attributes.get(semconv.RESPONSE_MODEL),
        names.LLM_PROVIDER: names.PROVIDERS.get(provider, provider) or None,
        names.LLM_SYSTEM: names.SYSTEMS.get(provider),
        names.LLM_INVOCATION_PARAMETERS: _json(talk.other_inputs),
        names.LLM_FINISH_REASON: next((m["finish_reason"] for m in talk.outputs), None) or None,
    }
    if "prompt" in as_object(span.inputs) and span.kind is SpanKind.LLM:
        found.update(_completion(talk))
    else:
        found.update(flat_messages(names.LLM_INPUT_MESSAGES, _instructed(talk)))
        found.update(flat_messages(names.LLM_OUTPUT_MESSAGES, talk.outputs))
    for number, tool in enumerate(talk.tools):
        found[f"{names.LLM_TOOLS}.{number}.{names.TOOL_JSON_SCHEMA}"] = _json(_as_openai(tool))
    return found


def _instructed(talk: conversation.Conversation) -> Sequence[conversation.Message]:
    """Return the messages that went in, instructions first, as a message of the system."""
    if not talk.system:
        return talk.inputs
    return ({"role": "system", "parts": talk.system}, *talk.inputs)


def _completion(talk: conversation.Conversation) -> _Found:
    """Return prompts and texts, of an interface that knows no messages."""
    lists = (
        (names.LLM_PROMPTS, names.PROMPT_TEXT, talk.inputs),
        (names.LLM_CHOICES, names.COMPLETION_TEXT, talk.outputs),
    )
    return {
        f"{start}.{number}.{end}": _text_of(message)
        for start, end, messages in lists
        for number, message in enumerate(messages)
    }


def _text_of(message: conversation.Message) -> str:
    parts = as_objects(message["parts"])
    return "\n".join(str(part.get("content", part.get("tokens"))) for part in parts)


def _as_openai(tool: Object) -> Object:
    """Return a tool in OpenAI's format, which OpenInference recommends."""
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def _json(value: Value) -> str | None:
    return None if value is None else json_text(value)


def _embedding(span: Span, _: conversation.Conversation) -> _Found:
    request = as_object(span.inputs)
    texts = request.get("input")
    listed = (texts,) if isinstance(texts, str) else as_sequence(texts)
    vectors = [one.get("embedding") for one in as_objects(as_object(span.outputs).get("data"))]
    found: _Found = {
        names.EMBEDDING_MODEL_NAME: _model(span),
        names.EMBEDDING_INVOCATION_PARAMETERS: _json(_but(request, "input")),
    }
    for number, text in enumerate(listed):
        shown = text if isinstance(text, str) else json_text(text)
        found[f"{names.EMBEDDING_EMBEDDINGS}.{number}.{names.EMBEDDING_TEXT}"] = shown
    for number, vector in enumerate(vectors):
        found[f"{names.EMBEDDING_EMBEDDINGS}.{number}.{names.EMBEDDING_VECTOR}"] = vector
    return found


def _but(value: Object, *left_out: str) -> Object:
    return {key: item for key, item in value.items() if key not in left_out}


def _reranker(span: Span, _: conversation.Conversation) -> _Found:
    request = as_object(span.inputs)
    given = [_given(document) for document in as_sequence(request.get("documents"))]
    return {
        names.RERANKER_MODEL_NAME: _model(span),
        names.RERANKER_QUERY: request.get("query"),
        names.RERANKER_TOP_K: request.get("top_n"),
        names.LLM_INVOCATION_PARAMETERS: _json(_but(request, "query", "documents")),
        **_documents(names.RERANKER_INPUT_DOCUMENTS, given),
        **_documents(names.RERANKER_OUTPUT_DOCUMENTS, documents(span.outputs)),
    }


def _given(document: Value) -> Object:
    return document if isinstance(document, Mapping) else {"content": document}


def _retriever(span: Span, _: conversation.Conversation) -> _Found:
    return _documents(names.RETRIEVAL_DOCUMENTS, documents(span.outputs))


def _documents(start: str, found: Iterable[Object]) -> _Found:
    flat: _Found = {}
    for number, document in enumerate(found):
        rest = _but(document, "id", "score", "content", "text")
        for name, value in (
            (names.DOCUMENT_ID, _text(document.get("id"))),
            (names.DOCUMENT_SCORE, document.get("score")),
            (names.DOCUMENT_CONTENT, document.get("content", document.get("text"))),
            (names.DOCUMENT_METADATA, json_text(rest) if rest else None),
        ):
            flat[f"{start}.{number}.{name}"] = value
    return flat


def _text(value: Value) -> str | None:
    return None if value is None else str(value)


def _tool(span: Span, _: conversation.Conversation) -> _Found:
    told = span.attributes
    name = told.get(semconv.TOOL_NAME) or span.name.removeprefix("execute_tool ")
    arguments = as_object(span.inputs)
    return {
        names.TOOL_NAME: name,
        names.TOOL_ID: told.get(semconv.TOOL_CALL_ID),
        names.TOOL_DESCRIPTION: told.get(semconv.TOOL_DESCRIPTION),
        names.TOOL_PARAMETERS: json_text(known(arguments)) if arguments else None,
    }


_BY_KIND: Final[Mapping[str, Callable[[Span, conversation.Conversation], _Found]]] = {
    "LLM": _llm,
    "EMBEDDING": _embedding,
    "RERANKER": _reranker,
    "RETRIEVER": _retriever,
    "TOOL": _tool,
}
