"""A stream costs what the same answer costs whole, and both what LiteLLM's own books say."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import pytest

from support.provider import Lane, Provider, Scenario, Usage
from support.scenarios import INCLUDE, KEY, LITELLM, MESSAGES, NEWEST
from trace_core import MemorySink, Span, TokenUsage, Tracer
from trace_litellm import instrument
from trace_litellm._reading.pricing import Priced, cost_of

FREE = {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0}
OWN = {"input_cost_per_token": 1e-3, "output_cost_per_token": 2e-3}
CACHED = {**OWN, "cache_read_input_token_cost": 1e-4}
PER_SECOND = {"input_cost_per_second": 1_000.0, "output_cost_per_second": 0.0}
SHAPES: tuple[dict[str, Any], ...] = (
    {"prompt_tokens": 100, "completion_tokens": 20},
    {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 80}},
    {"prompt_tokens": 100, "completion_tokens": 20,
     "completion_tokens_details": {"reasoning_tokens": 15}},
    {"prompt_tokens": 250_000, "completion_tokens": 20},
    {"prompt_tokens": 100, "completion_tokens": 20,
     "prompt_tokens_details": {"audio_tokens": 30}, "completion_tokens_details": {"audio_tokens": 5}},
)  # fmt: skip


def answer_of(litellm: Any, usage: dict[str, Any], model: str) -> Any:
    """Make an answer."""
    message = {"role": "assistant", "content": "Hi"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return litellm.ModelResponse(model=model, choices=choices, usage=litellm.Usage(**usage))


def priced_models(litellm: Any) -> list[str]:
    """Draw priced chat models of each provider from LiteLLM's map, always the same."""
    by_provider: dict[str, list[str]] = {}
    for name, entry in sorted(litellm.model_cost.items()):
        if entry.get("mode") == "chat" and entry.get("input_cost_per_token"):
            by_provider.setdefault(entry["litellm_provider"], []).append(name)
    draw = random.Random(12).choice
    return [draw(names) for names in by_provider.values()]


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_usage_costs_what_litellm_computes(litellm: Any, shape: int) -> None:
    """For a model of each provider: our price of the usage is that of LiteLLM's calculator."""
    from litellm.cost_calculator import completion_cost

    usage = SHAPES[shape]
    total = usage["prompt_tokens"] + usage["completion_tokens"]
    compared = 0
    for name in priced_models(litellm):
        provider = litellm.model_cost[name]["litellm_provider"]
        answer = answer_of(litellm, {**usage, "total_tokens": total}, name)
        try:
            expected = completion_cost(answer, model=name, custom_llm_provider=provider)
        except Exception:  # the map has names that LiteLLM cannot price
            continue
        counts = TokenUsage(usage["prompt_tokens"], usage["completion_tokens"], total)
        words = {**usage, "total_tokens": total}
        found = cost_of(counts, Priced((name,), provider, None, False, {}, words))
        assert found is not None, name
        assert found.total == pytest.approx(expected), name
        compared += 1
    assert compared > 20


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A lane that reports 80 of 100 tokens of the prompt as cached."""
    found = provider.lane(request.node.name)
    found.script(Scenario(usage=Usage(prompt=100, completion=20, cached=80)))
    return found


def ask_of(litellm: Any, lane: Lane, where: str, prices: dict[str, float]) -> Callable[..., Any]:
    """Return a call whose prices are given in one of the places where LiteLLM takes them."""
    base = {"api_base": lane.openai_base, "api_key": KEY, "max_retries": 0}
    if where == "call":
        return lambda **more: litellm.completion(
            f"openai/mine-{len(prices)}-{sum(prices.values())}", MESSAGES, **prices, **base, **more
        )
    model = f"openai/mine-{where}-{sum(prices.values())}"  # some releases list it for good
    params = {"model": model, **base, **(prices if where == "litellm_params" else {})}
    info = {"model_info": prices} if where == "model_info" else {}
    router = litellm.Router(
        model_list=[{"model_name": "group", "litellm_params": params, **info}], num_retries=0
    )
    return lambda **more: router.completion("group", MESSAGES, **more)


def spans_of(call: Callable[[], Any]) -> Span:
    """Make a call, read its stream to the end; return the span of the request to the provider."""
    sink = MemorySink()
    with instrument(Tracer(sink)):
        result = call()
        if hasattr(result, "__next__"):
            list(result)
    [span] = [span for span in sink.spans if span.usage is not None]
    return span


PLACES = pytest.mark.parametrize("where", ["call", "litellm_params", "model_info"])


@PLACES
@pytest.mark.parametrize(
    ("prices", "expected"),
    [(FREE, 0.0), (OWN, 100 * 1e-3 + 20 * 2e-3), (CACHED, 20 * 1e-3 + 80 * 1e-4 + 20 * 2e-3)],
)
def test_own_prices_hold_streamed_as_whole(
    litellm: Any, lane: Lane, where: str, prices: dict[str, float], expected: float
) -> None:
    """Prices of the call and of a deployment; 0 is a price."""
    if prices is not CACHED:
        lane.script(Scenario(usage=Usage(prompt=100, completion=20)))
    ask = ask_of(litellm, lane, where, prices)
    whole, streamed = spans_of(ask), spans_of(lambda: ask(**INCLUDE))
    assert streamed.cost is not None
    assert whole.cost is not None
    assert streamed.cost.total == pytest.approx(whole.cost.total)
    if NEWEST:
        assert streamed.cost.total == pytest.approx(expected)


FURTHER: dict[str, tuple[dict[str, float], Usage, dict[str, str], float]] = {
    "tier": (
        {"input_cost_per_token_above_200k_tokens": 5e-3},
        Usage(prompt=250_000, completion=20),
        {},
        250_000 * 5e-3 + 20 * 2e-3,
    ),
    "priority": (
        {"input_cost_per_token_priority": 4e-3, "output_cost_per_token_priority": 8e-3},
        Usage(prompt=100, completion=20),
        {"service_tier": "priority"},
        100 * 4e-3 + 20 * 8e-3,
    ),
    "reasoning": (
        {"output_cost_per_reasoning_token": 9e-3},
        Usage(prompt=100, completion=20, reasoning=15),
        {},
        100 * 1e-3 + 15 * 9e-3 + 5 * 2e-3,
    ),
    "audio": (
        {"input_cost_per_audio_token": 5e-3, "output_cost_per_audio_token": 6e-3},
        Usage(prompt=100, completion=20, audio=(30, 5)),
        {},
        70 * 1e-3 + 30 * 5e-3 + 15 * 2e-3 + 5 * 6e-3,
    ),
    "image": (
        {"input_cost_per_image": 0.5},
        Usage(prompt=100, completion=20),
        {},
        100 * 1e-3 + 20 * 2e-3,
    ),
}
"""Prices of the user's own besides those of `OWN`, a usage, more arguments, and what it costs."""


@pytest.mark.skipif(not NEWEST, reason="older releases know fewer prices")
@PLACES
@pytest.mark.parametrize("name", FURTHER)
def test_further_prices_hold_streamed_as_whole(
    litellm: Any, provider: Provider, where: str, name: str
) -> None:
    """By the length of the prompt, by service tier, for reasoning, audio and images."""
    prices, usage, more, expected = FURTHER[name]
    lane = provider.lane(f"{name} {where}")
    lane.script(Scenario(usage=usage))
    ask = ask_of(litellm, lane, where, {**OWN, **prices})
    for options in ({}, INCLUDE):
        span = spans_of(lambda options=options: ask(**options, **more))  # type: ignore[misc]
        assert span.cost is not None
        assert span.cost.total == pytest.approx(expected)


@pytest.mark.skipif(not NEWEST, reason="older releases take no prices per second for streams")
@PLACES
def test_prices_per_second(litellm: Any, lane: Lane, where: str) -> None:
    """A stream costs by its duration, not what its tokens are listed at."""
    ask = ask_of(litellm, lane, where, PER_SECOND)
    span = spans_of(lambda: ask(**INCLUDE))
    assert span.cost is not None
    assert span.cost.total == pytest.approx((span.end_ns - span.start_ns) / 1e9 * 1_000, rel=0.01)


@pytest.mark.skipif(not NEWEST, reason="older releases lose it on the way")
@pytest.mark.parametrize("cost", [0.0, 0.25])
@pytest.mark.parametrize("stream", [False, True])
def test_a_cost_that_the_provider_reports(
    litellm: Any, lane: Lane, cost: float, stream: bool
) -> None:
    """OpenRouter reports one with each answer: 0 with a key of one's own."""
    lane.script(Scenario(usage=Usage(cost=cost)))
    base = {"api_base": lane.openai_base, "api_key": KEY}
    more = INCLUDE if stream else {}
    span = spans_of(lambda: litellm.completion("openrouter/some/model", MESSAGES, **base, **more))
    assert span.cost is not None
    assert span.cost.total == cost


@pytest.mark.skipif(LITELLM < (1, 106), reason="serves messages in another way")
@PLACES
@pytest.mark.parametrize(
    ("prices", "expected"),
    [(OWN, 100 * 1e-3 + 20 * 2e-3), (CACHED, 20 * 1e-3 + 80 * 1e-4 + 20 * 2e-3)],
)
@pytest.mark.parametrize("model", ["openai/mine", "anthropic/claude-mine"])
def test_own_prices_of_anthropics_messages(
    litellm: Any, lane: Lane, where: str, prices: dict[str, float], expected: float, model: str
) -> None:
    """Their usage leaves cached tokens out of the prompt's; whoever answers, they count once."""
    base = {
        "api_base": lane.openai_base if model.startswith("openai") else lane.url,
        "api_key": KEY,
    }
    params = {"model": f"{model}-{where}-{len(prices)}", **base}
    priced = {**params, **(prices if where != "model_info" else {})}
    info = {"model_info": dict(prices)} if where == "model_info" else {}
    deployment = {"model_name": "group", "litellm_params": priced, **info}
    router = litellm.Router(model_list=[deployment], num_retries=0)
    asked = {"messages": MESSAGES, "max_tokens": 9}
    for stream in (False, True):

        async def call(stream: bool = stream) -> None:
            if where == "call":
                result = await litellm.anthropic.messages.acreate(**priced, **asked, stream=stream)
            else:
                result = await router.aanthropic_messages(model="group", **asked, stream=stream)
            if stream:
                async for _ in result:
                    pass

        span = spans_of(lambda call=call: asyncio.run(call()))
        assert span.cost is not None
        assert span.cost.total == pytest.approx(expected)


def test_a_zero_of_a_model_without_prices_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM computes 0 for a name that it knows without prices."""
    import litellm

    monkeypatch.setitem(litellm.model_cost, "bare", {"litellm_provider": "openai", "mode": "chat"})
    usage = TokenUsage(10, 20, 30)
    assert cost_of(usage, Priced(("bare",), "openai", None, False, {})) is None
    assert cost_of(usage, Priced(("bare",), "openai", 0.0, False, {})) is None


def test_no_server_is_asked_for_prices(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM 1.65 asks Ollama's, listed or not: the list and the user's prices are enough."""

    def asked(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("trace_litellm._reading.pricing._cost_as", asked)
    monkeypatch.setitem(litellm.model_cost, "ollama_chat/listed", OWN)
    usage, chat = TokenUsage(100, 20, 120), "ollama_chat"
    assert cost_of(usage, Priced(("unlisted",), chat, None, False, {})) is None
    listed = cost_of(usage, Priced(("listed",), chat, None, False, {}))
    own = cost_of(usage, Priced(("unlisted",), chat, None, False, OWN, pricing={"model": "x"}))
    assert listed is not None
    assert own is not None
    assert (listed.total, own.total) == (pytest.approx(0.14), pytest.approx(0.14))


def test_what_cannot_be_priced_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the model and what LiteLLM says of it."""
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            priced = Priced(("unheard-of-model",), "openai", None, False, {})
            assert cost_of(TokenUsage(1, 2, 3), priced) is None
    [record] = [one for one in caplog.records if "unheard-of-model" in one.getMessage()]
    assert "LiteLLM has no price for unheard-of-model" in record.getMessage()


def test_a_deployment_without_price_is_called_by_its_model(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not by the ids that a Router gives its deployments, which nobody knows, and once for all."""
    for deployment in ("a" * 64, "b" * 64):
        names = ("unheard-of-deployment",)
        priced = Priced((deployment, *names), "openai", None, False, {}, known_as=names)
        assert cost_of(TokenUsage(1, 2, 3), priced) is None
    [told] = [one.getMessage() for one in caplog.records if names[0] in one.getMessage()]
    assert "a" * 64 not in told


@pytest.mark.parametrize("model", ["litellm_proxy/alias", "openai/alias"])
@pytest.mark.parametrize("usage", [Usage(), Usage(cost=0.5)])
def test_a_client_of_a_proxy_pays_for_the_model_that_answers(
    litellm: Any, lane: Lane, model: str, usage: Usage
) -> None:
    """Its own name of the model is in no list; the proxy's answer names the one behind it."""
    lane.script(Scenario(usage=usage, model="gpt-4o-mini"))
    base = {"api_base": lane.openai_base, "api_key": KEY}
    whole = spans_of(lambda: litellm.completion(model, MESSAGES, **base))
    streamed = spans_of(lambda: litellm.completion(model, MESSAGES, **base, **INCLUDE))
    assert str(whole.attributes["gen_ai.response.model"]).endswith("gpt-4o-mini")
    if NEWEST:
        assert whole.cost is not None
        assert streamed.cost is not None
        assert streamed.cost.total == pytest.approx(whole.cost.total)
        assert streamed.attributes["gen_ai.response.model"] == "gpt-4o-mini"
