"""The real LiteLLM proxy under ``trace-litellm run``, called with the OpenAI SDK over HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import litellm_proxy
from support.provider import TEXT, Provider, Scenario

pytestmark = litellm_proxy.NEEDS_PROXY

PROVIDER_KEY = "sk-PLANTED0123456789abcdefghijklmnop"
MASTER_KEY = "sk-MASTER0123456789abcdefghijklmnop"
TEAM_KEY = "sk-TEAMRED0123456789abcdefghijklmnop"
SECRETS = (PROVIDER_KEY, MASTER_KEY, TEAM_KEY, "hush", "Bearer")
MESSAGES: Any = [{"role": "user", "content": "hi"}]
CALLER_SPAN = "b7ad6b7169203331"

AUTH = f"""\
from litellm.proxy._types import UserAPIKeyAuth

async def check(request, api_key):
    if api_key != {TEAM_KEY!r}:
        raise Exception("the proxy's own keys are next")
    return UserAPIKeyAuth(
        api_key=api_key, key_alias="reds-key", team_id="t1", team_alias="red", user_id="ann"
    )
"""


def trace_id(label: str) -> str:
    """The trace that a caller is in who asks on behalf of a user."""
    return hashlib.md5(label.encode()).hexdigest()


def calling(label: str, **headers: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id(label)}-{CALLER_SPAN}-01", "x-private": "hush", **headers}


def chat(client: Any, model: str, label: str, **more: Any) -> Any:
    options: dict[str, Any] = {"extra_headers": calling(label), **more}
    return client.chat.completions.create(model=model, messages=MESSAGES, user=label, **options)


def stream(client: Any, model: str, label: str) -> Any:
    return chat(client, model, label, stream=True, stream_options={"include_usage": True})


# What clients do: each under the label that its spans are found by -------------------------------


def plain(client: Any) -> str:
    return chat(client, "good", "plain", extra_headers={}).choices[0].message.content


def bad_header(client: Any) -> str:
    header = {"traceparent": "00-not-a-trace-01"}
    return chat(client, "good", "bad_header", extra_headers=header).choices[0].message.content


def told(client: Any) -> str:
    headers = calling("told", **{"x-litellm-tags": "a,b", "x-litellm-end-user-id": "eve"})
    body = {"metadata": {"campaign": "spring", "session_id": "s1"}}
    answer = chat(client, "good", "told", extra_headers=headers, extra_body=body)
    return answer.choices[0].message.content


def streamed(client: Any) -> str:
    chunks = stream(client, "good", "streamed")
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def embedded(client: Any) -> int:
    answer = client.embeddings.create(
        model="embed", input="a", user="embedded", extra_headers=calling("embedded")
    )
    return len(answer.data[0].embedding)


def responded(client: Any) -> str:
    return client.responses.create(
        model="good", input="hi", user="responded", extra_headers=calling("responded")
    ).output_text


def failed(client: Any) -> int:
    import openai

    try:
        chat(client, "bad", "failed")
    except openai.APIStatusError as error:
        return error.status_code
    raise AssertionError("nothing was raised")


def fell_back(client: Any) -> str:
    return chat(client, "shaky", "fell_back").choices[0].message.content


def disconnected(client: Any) -> str:
    chunks = stream(client, "slow", "disconnected")
    first = next(text for chunk in chunks if (text := chunk.choices[0].delta.content))
    chunks.close()
    return first


def as_team(client: Any) -> str:
    return chat(client, "good", "as_team").choices[0].message.content


CALLS: dict[Callable[[Any], Any], Any] = {
    plain: TEXT,
    bad_header: TEXT,
    told: TEXT,
    streamed: TEXT,
    embedded: 4,
    responded: TEXT,
    failed: 500,
    fell_back: TEXT,
    disconnected: "Hello",
    as_team: TEXT,
}
"""What a client sees of each."""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        running.script("bad", Scenario(status=500))
        running.script("slow", Scenario(chunk_delay=0.5))
        yield running


def configuration(provider: Provider) -> dict[str, Any]:
    models = {
        "good": "openai/gpt-4o-mini",
        "bad": "openai/bad",
        "shaky": "openai/bad",
        "slow": "openai/slow",
        "embed": "openai/text-embedding-3-small",
    }
    reached = {"api_base": provider.openai_base, "api_key": PROVIDER_KEY, "max_retries": 0}
    return {
        "model_list": [
            {"model_name": name, "litellm_params": {"model": model, **reached}}
            for name, model in models.items()
        ],
        "router_settings": {"num_retries": 0, "fallbacks": [{"shaky": ["good"]}]},
        "general_settings": {
            "master_key": MASTER_KEY,
            "custom_auth": "my_auth.check",
            "custom_auth_settings": {"mode": "auto"},
        },
    }


@pytest.fixture(scope="module")
def spans(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Make every call, end the proxy, and read what is left behind."""
    import openai

    folder = tmp_path_factory.mktemp("proxy")
    (folder / "my_auth.py").write_text(AUTH)
    with litellm_proxy.running(folder, configuration(provider)) as url:
        for call, seen in CALLS.items():
            key = TEAM_KEY if call is as_team else MASTER_KEY
            with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
                assert call(client) == seen
    return litellm_proxy.spans_in(folder)


def of(spans: list[dict[str, Any]], call: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """The spans of one client's call, from the top."""
    return [span for span in spans if span["attributes"].get("user.id") == call.__name__]


NAMES = {
    plain: ["router good", "chat openai/gpt-4o-mini"],
    bad_header: ["router good", "chat openai/gpt-4o-mini"],
    told: ["router good", "chat openai/gpt-4o-mini"],
    streamed: ["router good", "chat openai/gpt-4o-mini"],
    embedded: ["router embed", "embeddings openai/text-embedding-3-small"],
    responded: ["router good", "responses openai/gpt-4o-mini"],
    failed: ["router bad", "chat openai/bad"],
    fell_back: ["router shaky", "chat openai/bad", "chat openai/gpt-4o-mini"],
    disconnected: ["router slow", "chat openai/slow"],
    as_team: ["router good", "chat openai/gpt-4o-mini"],
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_each_request_is_one_trace(call: Callable[[Any], Any], spans: list[dict[str, Any]]) -> None:
    """A request gives a span of the Router's and one below it for each call to a provider."""
    top, *below = of(spans, call)
    assert [top["name"], *(span["name"] for span in below)] == NAMES[call]
    assert {span["trace_id"] for span in below} == {top["trace_id"]}
    assert {span["parent_id"] for span in below} == {top["span_id"]}


def test_nothing_else_is_traced(spans: list[dict[str, Any]]) -> None:
    """The proxy's health checks and start-up give no spans, nor does its end."""
    assert len(spans) == sum(map(len, NAMES.values()))
    assert {span["resource"]["service.name"] for span in spans} == {"gate"}


@pytest.mark.parametrize("call", [c for c in CALLS if c not in (plain, bad_header)])
def test_the_callers_trace_goes_on(call: Callable[[Any], Any], spans: list[dict[str, Any]]) -> None:
    """A ``traceparent`` header makes the caller's span the parent of the request's."""
    top = of(spans, call)[0]
    assert (top["trace_id"], top["parent_id"]) == (trace_id(call.__name__), CALLER_SPAN)


@pytest.mark.parametrize("call", [plain, bad_header])
def test_without_a_valid_header_a_trace_begins(
    call: Callable[[Any], Any], spans: list[dict[str, Any]]
) -> None:
    """No header, or one that cannot be read, gives a trace of its own."""
    assert of(spans, call)[0].get("parent_id") is None


def test_says_who_asked(spans: list[dict[str, Any]]) -> None:
    """Metadata, tags, session and end user are those that the client's request names."""
    for span in of(spans, told):
        found = span["attributes"]
        assert found["session.id"] == "s1"
        assert found["trace.metadata.campaign"] == "spring"
        assert set(found["trace.tags"]) == {"a", "b"}
        assert found["litellm.proxy.end_user_id"] == "eve"


def test_says_whose_key_it_was(spans: list[dict[str, Any]]) -> None:
    """Key alias, team and user of the proxy are on every span of a request."""
    for span in of(spans, as_team):
        found = span["attributes"]
        assert found["litellm.proxy.key_alias"] == "reds-key"
        assert found["litellm.proxy.team_id"] == "t1"
        assert found["litellm.proxy.team_alias"] == "red"
        assert found["litellm.proxy.user_id"] == "ann"


def test_leaves_the_proxys_bookkeeping_out(spans: list[dict[str, Any]]) -> None:
    """Of metadata there is what the client gave, and nothing that the proxy notes for itself."""
    names = {name for span in of(spans, told) for name in span["attributes"]}
    metadata = {name for name in names if name.startswith("trace.metadata.")}
    assert metadata <= {"trace.metadata.campaign", "trace.metadata.trace_id"}


def test_has_usage_and_cost(spans: list[dict[str, Any]]) -> None:
    """Tokens and cost are those of the provider's answer, streamed or not."""
    for call in (plain, streamed, responded):
        _, span = of(spans, call)
        assert (span["usage"]["input"], span["usage"]["output"]) == (11, 7)
        assert span["usage"]["source"] == "provider"
        assert span["cost"]["total"] == pytest.approx(11 * 0.15e-6 + 7 * 0.6e-6)
        assert TEXT in json.dumps(span["outputs"])


def test_a_failure_is_told_on_both_spans(spans: list[dict[str, Any]]) -> None:
    """The client's 500 is an error of the provider, on the Router's span and on the call's."""
    for span in of(spans, failed):
        assert span["status"]["code"] == "ERROR"
        assert span["attributes"]["trace.error.category"] == "provider"
        assert span["attributes"]["http.response.status_code"] == 500


def test_a_fallback_is_an_attempt_of_its_own(spans: list[dict[str, Any]]) -> None:
    """The request succeeds; the first attempt below it failed."""
    top, first, second = of(spans, fell_back)
    codes = [span["status"]["code"] for span in (top, first, second)]
    assert codes == ["OK", "ERROR", "OK"]
    assert [s["attributes"]["trace.attempt"] for s in (first, second)] == [1, 2]


def test_a_client_that_leaves_cancels_its_stream(spans: list[dict[str, Any]]) -> None:
    """What arrived until then is kept, and nothing stays open."""
    for span in of(spans, disconnected):
        assert span["attributes"]["trace.stream.ending"] == "cancelled"
        assert "Hello" in json.dumps(span["outputs"])
        assert TEXT not in json.dumps(span["outputs"])


def test_no_secret_is_recorded(spans: list[dict[str, Any]]) -> None:
    """Neither a provider's key nor one of the proxy's, nor a header of the client's, in any form."""
    text = json.dumps(spans)
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in (MASTER_KEY, TEAM_KEY)]
    assert [secret for secret in (*SECRETS, *hashes) if secret in text] == []
