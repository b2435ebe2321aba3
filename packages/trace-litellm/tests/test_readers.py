"""Requests and responses are read right, and no credential is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.scenarios import LITELLM
from trace_core import TokenUsage, UsageSource, snapshot
from trace_core._processors import secrets as _secrets
from trace_litellm._reading import requests as _requests
from trace_litellm._reading import responses as _responses
from trace_litellm._reading.credentials import (
    REDACTED,
    is_secret,
    remember_settings,
    withhold_credentials,
)
from trace_litellm._reading.endpoints import FAMILIES
from trace_litellm._reading.errors import Failure, category
from trace_litellm._reading.pricing import Priced, cost_of
from trace_litellm._reading.usage import usage_of
from trace_litellm._streams.events import merge_anthropic, merge_google, sse_data

SECRET = "sk-PLANTED0123456789"


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "api-key", "aws_secret_access_key", "aws_session_token", "azure_ad_token",
        "vertex_credentials", "client_secret", "password", "Authorization", "token",
        "hf_token", "sas_token", "oci_key", "auth", "sig", "db_password", "X-Auth-Token", "cookie",
    ],
)  # fmt: skip
def test_credentials_are_known_by_name(name: str) -> None:
    """Every parameter LiteLLM takes a credential in is one."""
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens", "prompt_cache_key", "logprobs", "tools", "stop", "user", "seed", "key",
        "idempotency_key", "eos_token", "next_page_token", "tokens", "keywords", "monkey", "author",
        "max_completion_tokens", "keys", "design", "public_key", "response_keys",
    ],
)  # fmt: skip
def test_other_parameters_are_not(name: str) -> None:
    """Parameters that only look a little like it are recorded."""
    assert not is_secret(name)


def test_inputs_have_no_credentials_and_no_internals() -> None:
    """Keys, headers, clients and LiteLLM's bookkeeping are left out, at any depth."""
    given: dict[str, Any] = {
        "temperature": 0.1,
        "api_key": SECRET,
        "extra_headers": {
            "Authorization": f"Bearer {SECRET}",
            "User-Agent": "me",
            "X-Mine": SECRET,
        },
        "fallbacks": [{"model": "b", "api_key": SECRET}],
        "client": object(),
        "litellm_logging_obj": object(),
        "metadata": {"a": 1},
        "stream": None,
    }
    found = _requests.inputs(
        ("model", "messages"), ("m", [{"role": "user", "content": "x"}]), given
    )
    assert SECRET not in json.dumps(found)
    assert found["model"] == "m"
    assert found["extra_headers"] == {
        "Authorization": REDACTED, "User-Agent": "me", "X-Mine": REDACTED,
    }  # fmt: skip
    assert found["fallbacks"] == ({"model": "b", "api_key": REDACTED},)
    assert set(found) == {"model", "messages", "temperature", "extra_headers", "fallbacks"}


def test_tools_on_other_servers_are_recorded_without_their_headers() -> None:
    """A function's schema stays as it is, whatever its parameters are called."""
    schema = {"type": "object", "properties": {"api_key": {"type": "string"}}}
    function = {"type": "function", "function": {"name": "login", "parameters": schema}}
    remote = {
        "type": "mcp",
        "server_url": "https://mcp.example.com",
        "headers": {"X-Tenant-Id": "tenant", "X-Figma-Token": KEY},
        "authorization": KEY,
    }
    found = _requests.inputs(("model",), ("m",), {"tools": [function, remote]})
    tools: Any = found["tools"]
    assert tools[0] == function
    assert KEY not in str(tools[1])
    assert tools[1]["headers"] == {"X-Tenant-Id": REDACTED, "X-Figma-Token": REDACTED}
    assert tools[1]["server_url"] == "https://mcp.example.com"


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[str, ...]]:
    """What the process remembers from now on."""
    monkeypatch.setattr(_secrets, "_remembered", _secrets._Values())
    return _secrets.remembered_secrets


KEY = "Unprefixed0123456789key"


@pytest.mark.parametrize(
    "given_",
    [
        {"hf_token": KEY}, {"sas_token": KEY}, {"oci_key": KEY}, {"my_password": KEY},
        {"extra_body": {"auth": KEY}}, {"extra_query": {"sig": KEY}}, {"extra_query": {"key": KEY}},
        {"api_base": f"https://host/v1?key={KEY}"}, {"client": SimpleNamespace(api_key=KEY)},
        {"base_url": f"https://user:{KEY}@host/v1"}, {"api_key": [KEY]},
        {"extra_headers": {"Authorization": f"Bearer {KEY}"}}, {"headers": {"x-api-key": KEY}},
        {"extra_headers": {"X-Figma": KEY}},
    ],
    ids=str,
)  # fmt: skip
def test_credentials_of_a_call_are_remembered(
    given_: dict[str, Any], remembered: Callable[[], tuple[str, ...]]
) -> None:
    """Wherever a call's key is given, it is removed from all that repeats it."""
    found = _requests.inputs((), (), given_)
    assert KEY in remembered()
    assert "api_base" in given_ or "base_url" in given_ or KEY not in json.dumps(found)


@pytest.mark.parametrize(
    "given_",
    [
        {"extra_headers": {"X-Title": "Weather assistant", "x-env": "production"}},
        {"extra_headers": {"x-trace": "123e4567-e89b-12d3-a456-426614174000"}},
        {"api_key": "ollama"}, {"api_key": "anything-goes"}, {"api_key": "not-needed"},
        {"api_base": "http://localhost:11434/v1?version=2024-02-01"}, {"api_key": "placeholder"},
    ],
    ids=str,
)  # fmt: skip
def test_words_are_not_remembered(
    given_: dict[str, Any], remembered: Callable[[], tuple[str, ...]]
) -> None:
    """A header's words, and keys that are none, are withheld where they stand and kept elsewhere."""
    found = _requests.inputs((), (), given_)
    assert remembered() == ()
    assert set(found.get("extra_headers", {REDACTED: REDACTED}).values()) == {REDACTED}  # type: ignore[union-attr]


def test_numbers_and_schemas_are_recorded() -> None:
    """A name that sounds like a credential's hides neither a number nor the schema of a tool."""
    given_: dict[str, Any] = {
        "extra_body": {"max_token": 5, "use_token": True, "cache_key": "a"},
        "tools": [{"function": {"parameters": {"properties": {"password": {"type": "string"}}}}}],
    }
    assert _requests.inputs((), (), given_) == snapshot(given_)


def test_settings_are_remembered_when_a_call_fails(
    monkeypatch: pytest.MonkeyPatch, remembered: Callable[[], tuple[str, ...]]
) -> None:
    """LiteLLM's keys and the environment's are known though they are unset right after a call."""
    credential = SimpleNamespace(credential_values={"api_key": KEY + "2", "api_base": "https://h1"})
    settings = SimpleNamespace(
        openai_key=KEY, credential_list=[credential], token=None, model_key=5
    )
    monkeypatch.setitem(sys.modules, "litellm", settings)
    monkeypatch.setenv("UNSET_SOON_API_KEY", KEY + "3")
    remember_settings()
    monkeypatch.delenv("UNSET_SOON_API_KEY")
    assert set(remembered()) == {KEY, KEY + "2"}
    assert KEY + "3" in _secrets.environment_secrets()


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_removing_secrets_is_total(value: Any) -> None:
    """Any plain data goes in and plain data comes out."""
    json.dumps(withhold_credentials(snapshot(value)), default=str)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, TokenUsage(3, 2, 5)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        (
            {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 4,
             "cache_creation_input_tokens": 1},
            TokenUsage(8, 2, 10, cache_read=4, cache_creation=1),
        ),
        (
            {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9,
             "input_tokens_details": {"cached_tokens": 4},
             "output_tokens_details": {"reasoning_tokens": 1}},
            TokenUsage(7, 2, 9, cache_read=4, reasoning=1),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
             "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 2},
             "completion_tokens_details": {"audio_tokens": 3, "reasoning_tokens": None}},
            TokenUsage(9, 4, 13, cache_read=0, audio_input=2, audio_output=3),
        ),
        ("not a mapping", None),
    ],
)  # fmt: skip
def test_usage_in_every_dialect(usage: Any, expected: TokenUsage | None) -> None:
    """OpenAI's, Anthropic's and the Responses API's words mean the same counts."""
    assert usage_of({"usage": usage}) == expected


def test_usage_of_google() -> None:
    """Google counts thoughts apart from the answer."""
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 2,
             "totalTokenCount": 10, "cachedContentTokenCount": 1}  # fmt: skip
    found = usage_of({"usageMetadata": usage})
    assert found == TokenUsage(5, 5, 10, cache_read=1, reasoning=2, source=UsageSource.PROVIDER)


@pytest.mark.parametrize(
    ("url", "shown", "port"),
    [
        ("https://api.openai.com/v1/?key=SECRET#x", "https://api.openai.com/v1", 443),
        ("http://user:pass@host:8080/v1", "http://host:8080/v1", 8080),
        ("http://[::1]:9/x", "http://[::1]:9/x", 9),
        ("not a url", None, None),
        ("http://host:notaport/", None, None),
    ],
)
def test_endpoint(url: str, shown: str | None, port: int | None) -> None:
    """The endpoint is told without query, fragment and credentials."""
    found = _responses.endpoint_attributes(url)
    assert found.get("url.full") == shown
    assert found.get("server.port") == port


def test_sse_cut_anywhere_adds_up() -> None:
    """Anthropic's events add up to the message, whatever is missing at the end."""
    events = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "He"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "y"}},
        {"type": "content_block_start", "index": 1,
         "content_block": {"type": "tool_use", "name": "t", "input": {}}},
        {"type": "content_block_delta", "index": 1,
         "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
        {"type": "content_block_delta", "index": 1,
         "delta": {"type": "input_json_delta", "partial_json": "1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
         "usage": {"output_tokens": 2}},
    ]  # fmt: skip
    raw = b"".join(b"event: x\ndata: " + json.dumps(e).encode() + b"\n\n" for e in events)
    message = merge_anthropic(list(sse_data(raw)))
    assert message["content"] == (  # type: ignore[index,call-overload]
        {"type": "text", "text": "Hey"},
        {"type": "tool_use", "name": "t", "input": {"a": 1}},
    )
    assert message["usage"] == {"input_tokens": 3, "output_tokens": 2}  # type: ignore[index,call-overload]
    for cut in range(len(raw)):
        merge_anthropic(list(sse_data(raw[:cut])))


def test_citations_of_a_message_add_up() -> None:
    """Each comes in an event of its own."""
    deltas: list[dict[str, Any]] = [
        {"type": "text_delta", "text": "He"},
        {"type": "citations_delta", "citation": {"cited_text": "a"}},
        {"type": "text_delta", "text": "y"},
        {"type": "citations_delta", "citation": {"cited_text": "b"}},
    ]
    events: list[Any] = [
        {"type": "message_start", "message": {"id": "m"}},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
    ]
    message: Any = merge_anthropic(events)
    assert message["content"] == (
        {"text": "Hey", "citations": ({"cited_text": "a"}, {"cited_text": "b"})},
    )


def test_google_chunks_add_up() -> None:
    """Texts of a candidate are joined, function calls kept, the last usage taken."""
    chunks = [
        {"candidates": [{"content": {"parts": [{"text": "He"}]}}], "usageMetadata": {"a": 1}},
        {"candidates": [{"content": {"parts": [{"text": "y"}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]},
                         "finishReason": "STOP"}], "usageMetadata": {"a": 2}},
    ]  # fmt: skip
    merged = merge_google([snapshot(chunk) for chunk in chunks])
    [candidate] = merged["candidates"]  # type: ignore[index,call-overload]
    assert candidate["content"]["parts"] == ({"text": "Hey"}, {"functionCall": {"name": "f"}})
    assert candidate["finishReason"] == "STOP"
    assert merged["usageMetadata"] == {"a": 2}  # type: ignore[index,call-overload]


def test_category_of_the_nearest_ancestor() -> None:
    """An exception of a class of its own is sorted by what it is made from."""

    class RateLimitError(Exception):
        pass

    class Mine(RateLimitError):
        pass

    assert category(Mine()) == "rate_limit"
    assert category(KeyError()) == "other"
    assert category(TimeoutError()) == "timeout"


@pytest.mark.parametrize("name", ["is_error", "isError"])
def test_a_tools_failure_is_in_its_answer(name: str) -> None:
    """MCP's SDK spells it in two ways; the text of the answer says what it is."""
    failure = FAMILIES["tool"].failure
    parts = ({"type": "text", "text": "no such city"}, {"type": "image", "data": "..."})
    assert failure({name: True, "content": parts}) == Failure("no such city", "tool_error", "tool")
    assert failure({name: True}) == Failure("the tool failed", "tool_error", "tool")
    assert failure({name: False, "content": parts}) is None
    assert failure("it rains") is None


@pytest.mark.parametrize("family", ["session", "router"])
def test_an_exception_that_is_returned_is_a_failure(family: str) -> None:
    """LiteLLM returns what ended a websocket, and its Router hands that on."""
    reader = FAMILIES[family]
    returned = reader.outputs(reader.copy(TimeoutError("too late")))
    assert reader.failure(returned) == Failure("too late", "TimeoutError", "timeout")
    assert reader.failure(reader.outputs(reader.copy({"answer": 1}))) is None
    assert reader.failure(None) is None


@pytest.mark.parametrize(
    ("family", "error", "sorted_as"),
    [
        ("messages", {"type": "overloaded_error", "message": "no"}, "unavailable"),
        ("responses", {"code": "server_error", "message": "no"}, "provider"),
    ],
)
def test_an_error_in_an_answer_is_a_failure(family: str, error: Any, sorted_as: str) -> None:
    """A response that failed is returned; a stream of messages that fails ends in an event."""
    failure = FAMILIES[family].failure({"id": "1", "error": error})
    assert failure is not None
    assert (failure.text, failure.category) == ("no", sorted_as)
    assert FAMILIES[family].failure({"id": "1", "error": None}) is None


def _answer() -> Any:
    """Make an answer with all that is nested in one: tool calls, long lists, notes, extras."""
    from litellm.types.utils import ModelResponse

    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "text", "tool_calls": [call]}
    tokens = [{"token": str(n), "logprob": -n / 7, "top_logprobs": []} for n in range(100)]
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    answer = ModelResponse(model="m", choices=[choice])
    answer.choices[0].extra = {"deep": [{1: (b"bytes", {"set"})}], "tokens": tokens}  # type: ignore[union-attr]
    answer.numbers = [n / 3 for n in range(1_000)]
    return answer


@pytest.mark.parametrize("family", ["chat", "embedding"])
def test_a_copied_answer_is_plain_and_its_own(family: str) -> None:
    """Copying answers quickly gives what `snapshot` gives, whatever becomes of them afterwards."""
    answer, reader = _answer(), FAMILIES[family]
    expected = snapshot(answer)
    copied = reader.copy(answer)
    answer.choices[0].extra["deep"].clear()
    answer.choices[0].message.content = "changed"
    answer.numbers[:] = []
    assert reader.outputs(copied) == expected


def test_vectors_are_copied() -> None:
    """What is done to an embedding afterwards does not show."""
    from litellm.types.utils import EmbeddingResponse

    vector = [0.5] * 100
    answer = EmbeddingResponse(model="m", data=[{"embedding": vector, "index": 0}])
    reader = FAMILIES["embedding"]
    expected, copied = snapshot(answer), reader.copy(answer)
    vector.append(1.0)
    answer.data[0]["embedding"].append(2.0)
    assert reader.outputs(copied) == expected


@pytest.mark.skipif(LITELLM < (1, 106, 2), reason="its price list does not know the model")
def test_a_price_depends_on_what_the_provider_alone_tells() -> None:
    """Anthropic's cache for an hour costs more than the one for minutes."""

    def cost(hour: int) -> Any:
        written = {"ephemeral_5m_input_tokens": 90 - hour, "ephemeral_1h_input_tokens": hour}
        words = {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 90,
            "cache_creation": written,
        }
        usage = usage_of({"usage": words})
        found = cost_of(usage, Priced(("claude-haiku-4-5",), "anthropic", None, False, {}, words))
        return found and found.total

    assert cost(90) == pytest.approx(10e-6 + 5 * 5e-6 + 90 * 2e-6)
    assert cost(0) == pytest.approx(10e-6 + 5 * 5e-6 + 90 * 1.25e-6)


def test_a_price_is_split_whatever_a_router_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists each deployment by its id, also those without prices of their own."""
    import litellm

    monkeypatch.setitem(litellm.model_cost, "by-id", {"id": "by-id", "litellm_provider": "openai"})
    usage = TokenUsage(input=10, output=20, total=30, source=UsageSource.PROVIDER)
    found = cost_of(usage, Priced(("by-id", "gpt-4o-mini"), "openai", None, False, {}))
    assert found is not None
    assert (found.input, found.output) == (pytest.approx(1.5e-6), pytest.approx(12e-6))


SAID: list[tuple[Any, Any]] = [
    ("s", "s"), (" s", " s"), (0, 0), (True, True), (["a", ""], ("a",)), (["", None, "a"], ("a",)),
    ({"a": 1, "b": None}, {"a": 1}), ("", None), ("  ", None), (None, None), ([], None),
    ([None], None), ([[""]], None), ({}, None), ({"a": None}, None), (float("nan"), None),
]  # fmt: skip


@pytest.mark.parametrize(("given", "told"), SAID)
@pytest.mark.parametrize(
    "name", ["session_id", "conversation_id", "tags", "trace_name", "trace_user_id", "user_id"]
)
def test_what_says_nothing_is_no_attribute(name: str, given: Any, told: Any) -> None:
    """An empty session would hold all calls that have none; a tag would be called None."""
    assert list(_requests.call_attributes({"metadata": {name: given}}).values()) == (
        [] if told is None else [told]
    )


@pytest.mark.parametrize("nothing", ["", [], [None], float("nan")])
def test_what_says_nothing_does_not_replace_what_does(nothing: Any) -> None:
    """The parameter of the call stays where metadata is empty; and the other way round."""
    metadata = {"session_id": nothing, "user_id": nothing}
    named = {"litellm_session_id": "s", "user": "u"}
    assert set(_requests.call_attributes({**named, "metadata": metadata}).values()) == {"s", "u"}
    assert _requests.call_attributes({"litellm_session_id": nothing, "user": nothing}) == {}
