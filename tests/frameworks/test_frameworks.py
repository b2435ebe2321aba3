"""Frameworks that call LiteLLM are traced even where tracing comes late.

Each is imported and used before tracing is turned on: instructor, llama-index, pydantic-ai-litellm
and google-adk have taken LiteLLM's functions for themselves by then, and crewai has put its own
callbacks in place of whatever was there.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable

import pytest

import trace_litellm
from support.provider import COMPLETION_TOKENS, PROMPT_TOKENS, TEXT, Lane, Provider, Scenario
from trace_core import MemorySink, StatusCode, Tracer, UsageSource, encode

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing LiteLLM asks the network otherwise

KEY = "sk-PLANTED0123456789abcdefghijklmnop"
MODEL = "openai/gpt-4o-mini"
PERSON = '{"name": "Ann"}'


def use_instructor(lane: Lane) -> Callable[[], str]:
    instructor = pytest.importorskip("instructor")
    from litellm import completion
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str

    lane.script(Scenario(text=PERSON))
    client = instructor.from_litellm(completion, mode=instructor.Mode.JSON)

    def call() -> str:
        person = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "hi"}],
            response_model=Person,
            api_base=lane.openai_base,
            api_key=KEY,
        )
        return json.dumps(person.model_dump())

    return call


def use_instructor_async(lane: Lane) -> Callable[[], str]:
    instructor = pytest.importorskip("instructor")
    from litellm import acompletion
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str

    lane.script(Scenario(text=PERSON))
    client = instructor.from_litellm(acompletion, mode=instructor.Mode.JSON)

    def call() -> str:
        answer = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "hi"}],
            response_model=Person,
            api_base=lane.openai_base,
            api_key=KEY,
        )
        return json.dumps(asyncio.run(answer).model_dump())

    return call


def use_smolagents(lane: Lane) -> Callable[[], str]:
    smolagents = pytest.importorskip("smolagents")
    model = smolagents.LiteLLMModel(MODEL, api_base=lane.openai_base, api_key=KEY)
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    return lambda: str(model.generate(messages).content)


def use_openai_agents(lane: Lane) -> Callable[[], str]:
    agents = pytest.importorskip("agents")
    from agents.extensions.models.litellm_model import LitellmModel

    model = LitellmModel(MODEL, base_url=lane.openai_base, api_key=KEY)
    agent = agents.Agent(name="agent", model=model)
    return lambda: str(agents.Runner.run_sync(agent, "hi").final_output)


def use_dspy(lane: Lane) -> Callable[[], str]:
    dspy = pytest.importorskip("dspy")
    # Left to itself it takes an engine of its own, which is not LiteLLM.
    options = {"engine": "litellm", "cache": False, "num_retries": 0}
    model = dspy.LM(MODEL, api_base=lane.openai_base, api_key=KEY, **options)
    return lambda: str(model("hi")[0])


def use_langchain(lane: Lane) -> Callable[[], str]:
    langchain_litellm = pytest.importorskip("langchain_litellm")
    model = langchain_litellm.ChatLiteLLM(model=MODEL, api_base=lane.openai_base, api_key=KEY)
    return lambda: str(model.invoke("hi").content)


def use_langchain_stream(lane: Lane) -> Callable[[], str]:
    langchain_litellm = pytest.importorskip("langchain_litellm")
    model = langchain_litellm.ChatLiteLLM(
        model=MODEL,
        api_base=lane.openai_base,
        api_key=KEY,
        model_kwargs={"stream_options": {"include_usage": True}},
    )
    return lambda: "".join(str(chunk.content) for chunk in model.stream("hi"))


def use_llama_index(lane: Lane) -> Callable[[], str]:
    module = pytest.importorskip("llama_index.llms.litellm")
    model = module.LiteLLM(model=MODEL, api_base=lane.openai_base, api_key=KEY)
    return lambda: str(model.complete("hi").text)


def use_pydantic_ai(lane: Lane) -> Callable[[], str]:
    module = pytest.importorskip("pydantic_ai_litellm")
    from pydantic_ai import Agent

    model = module.LiteLLMModel(MODEL, api_base=lane.openai_base, api_key=KEY)
    return lambda: str(Agent(model).run_sync("hi").output)


def use_google_adk(lane: Lane) -> Callable[[], str]:
    module = pytest.importorskip("google.adk.models.lite_llm")
    from google.adk.models.llm_request import LlmRequest
    from google.genai import types

    model = module.LiteLlm(model=MODEL, api_base=lane.openai_base, api_key=KEY)
    content = types.Content(role="user", parts=[types.Part(text="hi")])

    async def answer() -> str:
        request = LlmRequest(model=MODEL, contents=[content])
        answers = [answer async for answer in model.generate_content_async(request)]
        return "".join(part.text for a in answers for part in a.content.parts)

    return lambda: asyncio.run(answer())


def use_crewai(lane: Lane) -> Callable[[], str]:
    crewai = pytest.importorskip("crewai")

    def call() -> str:
        # Made anew for each call: it is in the making that it resets LiteLLM's callbacks.
        model = crewai.LLM(
            model=MODEL, is_litellm=True, base_url=lane.openai_base, api_key=KEY, callbacks=[]
        )
        return str(model.call("hi"))

    return call


def pass_instructor(lane: Lane) -> Callable[[], str]:
    instructor = pytest.importorskip("instructor")
    from openai import OpenAI
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str

    lane.script(Scenario(text=PERSON))
    own = OpenAI(base_url=lane.openai_base, api_key=KEY)
    client = instructor.from_openai(own, mode=instructor.Mode.JSON)
    messages = [{"role": "user", "content": "hi"}]
    return lambda: client.create(
        model="gpt-4o-mini", messages=messages, response_model=Person
    ).model_dump_json()


def pass_smolagents(lane: Lane) -> Callable[[], str]:
    smolagents = pytest.importorskip("smolagents")
    model = smolagents.OpenAIModel("gpt-4o-mini", api_base=lane.openai_base, api_key=KEY)
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    return lambda: str(model.generate(messages).content)


def pass_openai_agents(lane: Lane) -> Callable[[], str]:
    agents = pytest.importorskip("agents")
    from openai import AsyncOpenAI

    own = AsyncOpenAI(base_url=lane.openai_base, api_key=KEY)
    model = agents.OpenAIChatCompletionsModel("gpt-4o-mini", own)
    agent = agents.Agent(name="agent", model=model)
    return lambda: str(agents.Runner.run_sync(agent, "hi").final_output)


def pass_crewai(lane: Lane) -> Callable[[], str]:
    crewai = pytest.importorskip("crewai")
    model = crewai.LLM(model=MODEL, base_url=lane.openai_base, api_key=KEY)
    return lambda: str(model.call("hi"))


def pass_dspy(lane: Lane) -> Callable[[], str]:
    dspy = pytest.importorskip("dspy")
    options = {"engine": "lm15", "cache": False, "num_retries": 0}
    model = dspy.LM(MODEL, api_base=lane.openai_base, api_key=KEY, **options)
    return lambda: str(model("hi")[0])


def pass_pydantic_ai(lane: Lane) -> Callable[[], str]:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.litellm import LiteLLMProvider

    proxy = LiteLLMProvider(api_base=lane.openai_base, api_key=KEY)
    model = OpenAIChatModel("gpt-4o-mini", provider=proxy)
    return lambda: str(pydantic_ai.Agent(model).run_sync("hi").output)


@pytest.mark.parametrize(
    "use",
    [
        use_instructor,
        use_instructor_async,
        use_smolagents,
        use_openai_agents,
        use_dspy,
        use_langchain,
        use_langchain_stream,
        use_llama_index,
        use_pydantic_ai,
        use_google_adk,
        use_crewai,
    ],
)
def test_a_framework_in_use_is_traced(
    use: Callable[[Lane], Callable[[], str]], provider: Provider
) -> None:
    """A call gives exactly one span with what was said; before and after, there are none."""
    lane = provider.lane(use.__name__)
    call = use(lane)
    before = call()

    sink, troubles = MemorySink(), list[BaseException]()
    tracer = Tracer(sink, on_error=lambda _, error: troubles.append(error))
    with trace_litellm.instrument(tracer) as instrumentation:
        assert instrumentation.active
        during = call()
        [span] = sink.spans
    after = call()

    assert before == during == after
    assert during in (TEXT, PERSON)
    assert len(lane.requests) == 3
    assert (troubles, tracer.open_spans) == ([], ())
    assert list(sink.spans) == [span]
    assert span.status.code is not StatusCode.ERROR
    assert (span.kind.value, span.parent_id) == ("LLM", None)
    assert span.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert span.usage is not None
    assert (span.usage.input, span.usage.output) == (PROMPT_TOKENS, COMPLETION_TOKENS)
    assert span.usage.source is UsageSource.PROVIDER
    said = encode(span).decode()
    assert '"hi"' in said
    assert json.dumps(during)[1:-1] in said
    assert KEY not in said


@pytest.mark.parametrize(
    "use",
    [
        pass_instructor,
        pass_smolagents,
        pass_openai_agents,
        pass_crewai,
        pass_dspy,
        pass_pydantic_ai,
    ],
)
def test_what_passes_litellm_by_is_not_traced(
    use: Callable[[Lane], Callable[[], str]], provider: Provider
) -> None:
    """The provider is called, and no span made: what the docs say that we do not see."""
    lane = provider.lane(use.__name__)
    call = use(lane)
    sink = MemorySink()
    with trace_litellm.instrument(Tracer(sink)):
        assert call() in (TEXT, PERSON, PERSON.replace(": ", ":"))
    assert len(lane.requests) == 1
    assert sink.spans == ()
