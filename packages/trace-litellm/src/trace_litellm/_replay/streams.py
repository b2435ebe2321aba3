"""The streams that callers get: LiteLLM's own classes, with recorded chunks in them."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from trace_core import semconv
from trace_litellm._reading.tokens import mutable
from trace_litellm._replay.answers import hidden_params
from trace_litellm._replay.chunks import chat_chunks
from trace_litellm._replay.errors import NotRecorded
from trace_litellm._replay.events import message_events, response_events
from trace_litellm._replay.failures import broken_off, error_of
from trace_litellm._replay.recordings import Recording

_STOPPED_READING: Final = {
    "abandoned": "nobody read the stream further",
    "closed": "the stream was closed",
    "interrupted": "the program ended",
}


def stream(recording: Recording, parameters: Mapping[str, Any]) -> Any:
    """Make the stream that a recorded call got.

    It brings what was recorded, then ends as it ended: with the same exception, or with
    `NotRecorded` where whoever read it stopped.

    Args:
        recording: The call.
        parameters: The parameters of the call that is answered.

    Raises:
        NotRecorded: Streams of this function cannot be replayed.
    """
    make = _MAKERS.get(recording.family)
    if make is None:
        raise NotRecorded(f"streams of {recording.span.name} cannot be replayed")
    return make(recording, parameters)


def _ended(recording: Recording, text: str) -> Iterator[Any]:
    """Yield nothing, and raise what a stream ended with."""
    error = error_of(recording, text)
    if error is None and recording.ending in _STOPPED_READING:
        error = broken_off(recording, _STOPPED_READING[str(recording.ending)])
    if error is not None:
        raise error
    yield from ()


class _Steps:
    """The steps through a stream, for loops of both kinds."""

    _steps: Iterator[Any]

    def __iter__(self) -> Any:
        return self

    def __aiter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self._steps)

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        for item in self._steps:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Bring nothing more."""
        self._steps = iter(())

    def __del__(self) -> None:
        """Do nothing: there is no connection to close, as LiteLLM's own streams have."""


# Chat and text completions


def _chat(recording: Recording, parameters: Mapping[str, Any]) -> Any:
    options = parameters.get("stream_options")
    usage = isinstance(options, Mapping) and bool(options.get("include_usage"))
    chunks = chat_chunks(recording, usage=usage)
    return _chat_stream_class()(recording, parameters, chunks)


def _text(recording: Recording, parameters: Mapping[str, Any]) -> Any:
    from litellm.utils import TextCompletionStreamWrapper

    options = mutable(parameters.get("stream_options"))
    return TextCompletionStreamWrapper(_chat(recording, parameters), _model(recording), options)


def _model(recording: Recording) -> str:
    return str(recording.span.attributes.get(semconv.REQUEST_MODEL) or "")


@lru_cache(maxsize=1)
def _chat_stream_class() -> Any:
    """Make a subclass of LiteLLM's stream, which is there only with LiteLLM."""
    from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper

    class ReplayedStream(_Steps, CustomStreamWrapper):
        """A chat stream with recorded chunks."""

        def __init__(
            self, recording: Recording, parameters: Mapping[str, Any], chunks: list[dict[str, Any]]
        ) -> None:
            hidden = hidden_params(recording)
            self._steps = self._read(recording, chunks, hidden)
            CustomStreamWrapper.__init__(
                self,
                self._steps,
                _model(recording),
                _logging_of(recording, parameters, hidden),
                hidden["custom_llm_provider"],
                mutable(parameters.get("stream_options")),
            )
            self._hidden_params.update(hidden)

        def _read(
            self, recording: Recording, chunks: list[dict[str, Any]], hidden: dict[str, Any]
        ) -> Iterator[Any]:
            for chunk in chunks:
                made = _chunk(chunk, hidden)
                self.chunks.append(made)
                self.response_uptil_now += _text_of(chunk)
                yield made
            yield from _ended(recording, self.response_uptil_now)

    return ReplayedStream


def _chunk(chunk: Mapping[str, Any], hidden: Mapping[str, Any]) -> Any:
    from litellm.types.utils import ModelResponse, ModelResponseStream, Usage

    fields = {name: value for name, value in chunk.items() if name != "usage"}
    made: Any
    try:
        made = ModelResponseStream(**fields)
    except ValueError:  # in 1.53 it wants more, and is not what chunks are
        made = ModelResponse(stream=True, **fields)
    if chunk.get("usage"):
        made.usage = Usage(**chunk["usage"])
    made._hidden_params = {**hidden}  # noqa: SLF001  # LiteLLM's name for what it tells besides
    return made


def _text_of(chunk: Mapping[str, Any]) -> str:
    return "".join(one["delta"].get("content") or "" for one in chunk["choices"])


def _logging_of(
    recording: Recording, parameters: Mapping[str, Any], hidden: Mapping[str, Any]
) -> Any:
    """Make LiteLLM's object for a call, which its streams cannot do without."""
    from litellm.litellm_core_utils.litellm_logging import Logging

    made = Logging(
        model=_model(recording),
        messages=mutable(parameters.get("messages") or []),
        stream=True,
        call_type="completion",
        start_time=datetime.datetime.now(),  # noqa: DTZ005  # as LiteLLM makes it
        litellm_call_id=str(hidden["litellm_call_id"]),
        function_id="",
    )
    made.model_call_details["litellm_params"] = {}
    made.model_call_details["custom_llm_provider"] = hidden["custom_llm_provider"]
    return made


# Responses


def _responses(recording: Recording, parameters: Mapping[str, Any]) -> Any:
    return _responses_stream_class()(recording, parameters)


@lru_cache(maxsize=1)
def _responses_stream_class() -> Any:
    from litellm.responses.streaming_iterator import BaseResponsesAPIStreamingIterator

    class ReplayedResponsesStream(_Steps, BaseResponsesAPIStreamingIterator):
        """A stream of the Responses API with recorded events."""

        def __init__(self, recording: Recording, parameters: Mapping[str, Any]) -> None:
            self.model = _model(recording)
            self.response: Any = None
            self.finished = False
            self.completed_response = None
            self._hidden_params = hidden_params(recording)
            self.logging_obj = _logging_of(recording, parameters, self._hidden_params)
            self._steps = self._read(recording)

        def _read(self, recording: Recording) -> Iterator[Any]:
            for event in _response_events(recording):
                if event["type"] in ("response.completed", "response.incomplete"):
                    self.finished = True
                made = _event(event)
                if self.finished:
                    self.completed_response = made
                yield made
            yield from _ended(recording, "")

    return ReplayedResponsesStream


def _response_events(recording: Recording) -> list[dict[str, Any]]:
    outputs = mutable(recording.outputs)
    told = recording.span.attributes.get(semconv.STREAM_CHUNKS)
    chunks = told if isinstance(told, int) else None
    completed = recording.ending in (None, "completed")
    return response_events(outputs or {}, chunks, completed=completed)


def _event(event: Mapping[str, Any]) -> Any:
    cls = _event_class(event["type"])
    try:
        return cls(**event)
    except Exception:  # of a release that is stricter
        return cls.model_construct(**event)


def _event_class(kind: str) -> Any:
    from litellm.llms.openai.responses.transformation import OpenAIResponsesAPIConfig
    from litellm.types.llms.openai import (  # type: ignore[attr-defined]  # imported there in all
        BaseLiteLLMOpenAIResponseObject,
    )

    try:
        return OpenAIResponsesAPIConfig.get_event_model_class(kind)
    except Exception:  # a kind that this release does not know
        return BaseLiteLLMOpenAIResponseObject


# Messages and Google's


class EventStream(_Steps):
    """A stream of server-sent events, as bytes."""

    def __init__(self, recording: Recording, events: list[bytes]) -> None:
        self._hidden_params = hidden_params(recording)
        self._steps = self._read(recording, events)

    def _read(self, recording: Recording, events: list[bytes]) -> Iterator[bytes]:
        yield from events
        yield from _ended(recording, "")


def _messages(recording: Recording, _: Mapping[str, Any]) -> Any:
    message = mutable(recording.outputs) or {}
    completed = recording.ending in (None, "completed")
    return EventStream(recording, message_events(message, completed=completed))


def _google(recording: Recording, _: Mapping[str, Any]) -> Any:
    data = json.dumps(mutable(recording.outputs))
    return EventStream(recording, [f"data: {data}\n\n".encode()])


_MAKERS: Final[Mapping[str, Callable[[Recording, Mapping[str, Any]], Any]]] = {
    "chat": _chat,
    "google": _google,
    "messages": _messages,
    "responses": _responses,
    "text": _text,
}
