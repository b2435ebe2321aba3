"""What ``mlflow.litellm.autolog()`` loses or gets wrong, one test each: here it is right.

All calls are made once, by real LiteLLM over real HTTP, into a real MLflow server; each test reads
what MLflow stored of them. Names say the gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.mlflow_server import MlflowServer
from support.provider import Provider, Scenario, ToolCall, Usage

EXPERIMENT = "gaps"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}
AGENTS, CALLS = 5, 6
CACHED = Usage(prompt=20, completion=10, cached=7)


class Gaps:
    """Makes the calls, then holds their traces.

    Args:
        litellm: LiteLLM, traced.
        mlflow: MLflow, with the experiment set.
        provider: Answers the calls.
    """

    def __init__(self, litellm: Any, mlflow: Any, provider: Provider) -> None:
        self.litellm, self.mlflow, self.provider = litellm, mlflow, provider
        self.where = {"api_base": provider.openai_base, "api_key": "sk-gap-secret"}
        self.notes: dict[str, Any] = {}
        self.traces: list[Any] = []

    def chat(self, model: str, **options: Any) -> Any:
        options = {"messages": QUESTION, **self.where, **options}
        return self.litellm.completion(model=f"openai/{model}", **options)

    def achat(self, model: str, **options: Any) -> Any:
        options = {"messages": QUESTION, **self.where, **options}
        return self.litellm.acompletion(model=f"openai/{model}", **options)

    def of(self, model: str) -> list[Any]:
        """Return the traces in which a model was asked for, oldest first."""
        return [t for t in self.traces if any(_asked(s) == model for s in t.data.spans)]

    def trace(self, model: str) -> Any:
        (found,) = self.of(model)
        return found

    def span(self, model: str) -> Any:
        (found,) = [s for t in self.of(model) for s in t.data.spans if _asked(s) == model]
        return found


def _asked(span: Any) -> str | None:
    inputs = span.inputs if isinstance(span.inputs, dict) else {}
    model = inputs.get("model")
    return model.removeprefix("openai/") if isinstance(model, str) else None


def _agents(gaps: Gaps) -> None:
    """Traced functions at once, each with calls at once."""

    @gaps.mlflow.trace
    async def agent(number: int) -> None:
        await asyncio.gather(*(gaps.achat(f"agent-{number}") for _ in range(CALLS)))

    async def main() -> None:
        await asyncio.gather(*(agent(number) for number in range(AGENTS)))

    asyncio.run(main())


def _cut(gaps: Gaps) -> None:
    """Streams that nobody reads to their end, and a cancelled task."""
    for chunk in gaps.chat("break", stream=True):
        if chunk.choices[0].delta.content:
            break
    del chunk

    async def leave() -> None:
        stream = await gaps.achat("async-break", stream=True)
        async for piece in stream:
            if piece.choices[0].delta.content:
                break
        await stream.aclose()

    async def cancel() -> None:
        task = asyncio.create_task(gaps.achat("cancelled"))
        await asyncio.sleep(0.3)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    asyncio.run(cancel())


def _streams(gaps: Gaps) -> None:
    """Streams read to their end, good and bad."""
    list(gaps.chat("no-usage", stream=True))
    list(gaps.chat("chunks", stream=True, stream_options={"include_usage": True}))
    for model in ("stream-error", "stream-cut"):
        try:
            list(gaps.chat(model, stream=True))
        except gaps.litellm.exceptions.APIError:
            gaps.notes[model] = "raised"
        except gaps.litellm.exceptions.ServiceUnavailableError:
            gaps.notes[model] = "raised"


def _cache(gaps: Gaps) -> None:
    """Cached prompt tokens, and LiteLLM's own cache."""
    answer = gaps.chat("gpt-4o-mini")
    gaps.notes["cost"] = answer._hidden_params["response_cost"]
    gaps.litellm.cache = gaps.litellm.Cache(type="local")
    try:
        for _ in range(2):
            gaps.chat("gpt-4o", caching=True)
    finally:
        gaps.litellm.cache = None


def _kinds(gaps: Gaps) -> None:
    """Other functions than chat."""
    litellm, where = gaps.litellm, gaps.where
    litellm.embedding(model="openai/embed", input=["abc", "def"], **where)
    asyncio.run(litellm.aembedding(model="openai/aembed", input=["abc", "def"], **where))
    litellm.text_completion(model="openai/gpt-3.5-turbo-instruct", prompt="Once upon", **where)
    litellm.responses(model="openai/respond", input="Hi", instructions="Be brief.", **where)
    list(litellm.responses(model="openai/respond-stream", input="Hi", stream=True, **where))


def _failures(gaps: Gaps) -> None:
    """Failures, retries and fallbacks."""
    with contextlib.suppress(gaps.litellm.BadRequestError):
        gaps.chat("failing")
    began = time.monotonic()
    gaps.chat("retried", num_retries=2)
    gaps.notes["waited_ms"] = 1000 * (time.monotonic() - began)
    deployments = [
        {"model_name": group, "litellm_params": {"model": f"openai/{model}", **gaps.where}}
        for group, model in (("first", "fallback-bad"), ("second", "fallback-good"))
    ]
    router = gaps.litellm.Router(deployments, fallbacks=[{"first": ["second"]}], num_retries=0)
    router.completion(model="first", messages=QUESTION)


def _parameters(gaps: Gaps) -> None:
    """What a caller gives beside messages."""
    given = {"temperature": 0.2, "max_tokens": 50, "top_p": 0.9, "seed": 7}
    gaps.chat("parameters", response_format={"type": "text"}, **given)
    gaps.chat("tools", tools=[TOOL])
    told = {"session_id": "gap-session", "user_id": "gap-user", "trace_name": "gap-name"}
    gaps.chat("told", metadata={**told, "order": "A-17"})
    seen: list[dict[str, Any]] = []

    def note(kwargs: dict[str, Any], *_: Any) -> None:
        if kwargs["model"] == "callback":
            seen.append(kwargs["optional_params"])

    gaps.litellm.success_callback.append(note)
    try:
        gaps.chat("callback", tools=[TOOL], user="u")
        deadline = time.monotonic() + 30
        while not seen and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        gaps.litellm.success_callback.pop()
    gaps.notes["optional_params"] = seen[0]


def _runs(gaps: Gaps) -> None:
    """Two threads, each in a run of its own at the same time."""
    both = threading.Barrier(2, timeout=60)

    def one(name: str) -> None:
        with gaps.mlflow.start_run(run_name=name) as run:
            both.wait()
            gaps.chat(name)
            both.wait()
            gaps.notes[name] = run.info.run_id

    threads = [threading.Thread(target=one, args=(f"run-{n}",)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _script(provider: Provider) -> None:
    provider.script("gpt-4o-mini", Scenario(text="Paris.", usage=CACHED))
    provider.script("gpt-4o", Scenario(text="Paris.", usage=CACHED))
    provider.script("break", Scenario(chunks=("One ", "two ", "three"), chunk_delay=0.02))
    provider.script("async-break", Scenario(chunks=("One ", "two ", "three"), chunk_delay=0.02))
    provider.script("cancelled", Scenario(first_chunk_delay=3.0))
    provider.script("no-usage", Scenario(chunks=("a", "b"), usage=None))
    provider.script("chunks", Scenario(chunks=("One ", "two ", "three"), first_chunk_delay=0.05))
    provider.script("stream-error", Scenario(chunks=tuple("abcdef"), sse_error_after=3))
    provider.script("stream-cut", Scenario(chunks=tuple("abcdef"), cut_after=3))
    provider.script(
        "failing", Scenario(status=400, error_body={"error": {"message": "no such thing"}})
    )
    provider.script("retried", Scenario(status=500, fail_times=2))
    provider.script(
        "fallback-bad", Scenario(status=400, error_body={"error": {"message": "not this one"}})
    )
    provider.script("tools", Scenario(tool_calls=(ToolCall("get_weather"),)))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """One of its own: models that other tests call answer otherwise here."""
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def gaps(server: MlflowServer, provider: Provider) -> Iterator[Gaps]:
    """All calls, made and stored."""
    import litellm
    import mlflow

    import trace_litellm

    litellm.suppress_debug_info = True
    _script(provider)
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment(EXPERIMENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACE_STREAM_EVENTS", "2")
        instrumentation = trace_litellm.autolog("mlflow")
    assert instrumentation is not None
    made = Gaps(litellm, mlflow, provider)
    try:
        for step in (_agents, _cut, _streams, _cache, _kinds, _failures, _parameters, _runs):
            step(made)
        asyncio.run(made.achat("no-loop-time"))
        assert instrumentation.flush(120)
        mlflow.flush_trace_async_logging()
    finally:
        trace_litellm.autolog(disable=True)
    search = {"return_type": "list", "max_results": 500, "order_by": ["timestamp_ms ASC"]}
    made.traces = mlflow.search_traces(**search)
    yield made
    mlflow.tracking.fluent._active_experiment_id = None
    mlflow.set_tracking_uri(None)


def test_01_calls_under_a_traced_async_function_are_all_in_it(gaps: Gaps) -> None:
    """Autolog loses up to 39 in 100 spans there, and most totals."""
    for number in range(AGENTS):
        trace = gaps.trace(f"agent-{number}")
        (root,) = [s for s in trace.data.spans if s.parent_id is None]
        assert root.name == "agent"
        below = [s for s in trace.data.spans if s.parent_id == root.span_id]
        assert len(below) == CALLS
        assert trace.info.token_usage["total_tokens"] == 18 * CALLS


def test_02_every_trace_can_be_seen_at_once(gaps: Gaps) -> None:
    """Autolog shows some at the next export only, or when the process ends."""
    states = [gaps.trace(f"agent-{number}").info.state for number in range(AGENTS)]
    assert states == ["OK"] * AGENTS


def test_03_an_async_call_at_the_end_of_its_loop_is_there(gaps: Gaps) -> None:
    """``asyncio.run(acompletion())`` leaves no time for callbacks."""
    assert gaps.trace("no-loop-time").info.state == "OK"


@pytest.mark.parametrize("model", ["break", "async-break"])
def test_04_a_stream_the_caller_leaves_is_there_with_what_it_said(gaps: Gaps, model: str) -> None:
    """Partial answer, and how it ended."""
    span = gaps.span(model)
    assert span.outputs["choices"][0]["message"]["content"].startswith("One ")
    assert span.attributes["trace.stream.ending"] in {"abandoned", "closed"}


def test_05_a_cancelled_task_is_there(gaps: Gaps) -> None:
    """As a failed call that says so."""
    trace = gaps.trace("cancelled")
    assert trace.info.state == "ERROR"
    assert "Cancelled" in str(gaps.span("cancelled").events[0].attributes["exception.type"])


def test_06_unknown_tokens_are_not_written_as_zero(gaps: Gaps) -> None:
    """Estimated and marked, or absent; never 0/0/0."""
    span = gaps.span("no-usage")
    usage = span.attributes.get("mlflow.chat.tokenUsage")
    assert usage is None or (
        usage["total_tokens"] > 0 and span.attributes["trace.usage.source"] == "estimated"
    )


def test_07_a_streams_chunks_are_told(gaps: Gaps) -> None:
    """How many, when the first came, and how evenly; single ones if asked for, with a cap."""
    span = gaps.span("chunks")
    assert span.attributes["trace.stream.chunks"] >= 3
    assert "trace.stream.gap.max" in span.attributes
    (first,) = [event for event in span.events if event.name == "trace.stream.first_chunk"]
    assert span.start_time_ns < first.timestamp < span.end_time_ns
    kept = {e.name: e.attributes for e in span.events if e.name.startswith("mlflow.chunk.item.")}
    assert sorted(kept) == ["mlflow.chunk.item.0", "mlflow.chunk.item.1"]
    chunk = json.loads(kept["mlflow.chunk.item.1"]["mlflow.chunk.value"])
    assert chunk["choices"][0]["delta"]["content"] == "One "


@pytest.mark.parametrize("model", ["stream-error", "stream-cut"])
def test_08_a_broken_stream_keeps_what_it_said(gaps: Gaps, model: str) -> None:
    """Failed, with the exception and the partial answer, and no invented tokens."""
    trace, span = gaps.trace(model), gaps.span(model)
    assert trace.info.state == "ERROR"
    assert span.outputs["choices"][0]["message"]["content"] == "abc"
    assert [e.name for e in span.events if e.name == "exception"]
    assert (span.attributes.get("mlflow.chat.tokenUsage") or {}).get("total_tokens") != 0


def test_09_cost_knows_cached_prompt_tokens(gaps: Gaps) -> None:
    """The same as LiteLLM's own number."""
    cost = gaps.trace("gpt-4o-mini").info.cost["total_cost"]
    assert cost == pytest.approx(gaps.notes["cost"]) == pytest.approx(8.475e-06)


def test_10_cached_prompt_tokens_are_told(gaps: Gaps) -> None:
    """On span and trace."""
    usage = gaps.span("gpt-4o-mini").attributes["mlflow.chat.tokenUsage"]
    assert usage["cache_read_input_tokens"] == 7
    assert gaps.trace("gpt-4o-mini").info.token_usage["cache_read_input_tokens"] == 7


def test_11_a_cache_hit_costs_nothing_and_says_what_it_saved(gaps: Gaps) -> None:
    """MLflow would compute the full price again; the model stays the one asked for."""
    first, hit = gaps.of("gpt-4o")
    assert first.info.cost["total_cost"] > 0
    assert hit.info.cost["total_cost"] == 0.0
    attributes = hit.data.spans[0].attributes
    assert attributes["trace.cost.saved"] == pytest.approx(first.info.cost["total_cost"])
    assert attributes["mlflow.llm.model"] == first.data.spans[0].attributes["mlflow.llm.model"]


def test_12_the_provider_is_told(gaps: Gaps) -> None:
    """MLflow's dashboards group by it."""
    assert gaps.span("parameters").attributes["mlflow.llm.provider"] == "openai"


def test_13_message_format_and_span_type_are_told(gaps: Gaps) -> None:
    """What makes MLflow render a chat as one."""
    span = gaps.span("parameters")
    assert span.span_type == "CHAT_MODEL"
    assert span.attributes["mlflow.message.format"] == "openai"


def test_14_tools_are_told(gaps: Gaps) -> None:
    """Under the name MLflow's UI reads."""
    (tool,) = gaps.span("tools").attributes["mlflow.chat.tools"]
    assert tool["function"]["name"] == "get_weather"


def test_15_all_parameters_are_recorded(gaps: Gaps) -> None:
    """Not messages and tools alone."""
    inputs = gaps.span("parameters").inputs
    assert inputs["model"] == "openai/parameters"
    assert (inputs["temperature"], inputs["max_tokens"], inputs["top_p"]) == (0.2, 50, 0.9)
    assert (inputs["seed"], inputs["response_format"]) == (7, {"type": "text"})


def test_16_session_and_user_of_metadata_are_the_traces(gaps: Gaps) -> None:
    """Where MLflow's session view and search look; other metadata is the trace's too."""
    metadata = gaps.trace("told").info.trace_metadata
    assert metadata["mlflow.trace.session"] == "gap-session"
    assert metadata["mlflow.trace.user"] == "gap-user"
    assert metadata["order"] == "A-17"
    assert gaps.trace("callback").info.trace_metadata["mlflow.trace.user"] == "u"


def test_17_the_trace_has_the_name_it_was_given(gaps: Gaps) -> None:
    """Else that of the call and its model."""
    assert gaps.trace("told").info.tags["mlflow.traceName"] == "gap-name"
    assert gaps.trace("tools").info.tags["mlflow.traceName"] == "chat openai/tools"


@pytest.mark.parametrize("model", ["embed", "aembed"])
def test_18_an_embedding_is_one(gaps: Gaps, model: str) -> None:
    """Its type, and its inputs as they were, not as messages of a user."""
    span = gaps.span(model)
    assert span.span_type == "EMBEDDING"
    assert span.inputs["input"] == ["abc", "def"]
    assert "messages" not in span.inputs


def test_19_a_streamed_response_is_one_trace(gaps: Gaps) -> None:
    """Autolog writes two."""
    trace = gaps.trace("respond-stream")
    assert len(trace.data.spans) == 1
    assert trace.data.spans[0].inputs["stream"] is True


def test_20_a_response_keeps_its_shape(gaps: Gaps) -> None:
    """The Responses API's own parameters and output."""
    span = gaps.span("respond")
    assert (span.inputs["input"], span.inputs["instructions"]) == ("Hi", "Be brief.")
    assert span.outputs["output"]
    assert "messages" not in span.inputs


def test_21_a_failure_says_why(gaps: Gaps) -> None:
    """On the status, with the model, and without zeros for tokens."""
    span = gaps.span("failing")
    assert "no such thing" in span.status.description
    assert span.attributes["mlflow.llm.model"] == "failing"
    assert "mlflow.chat.tokenUsage" not in span.attributes


def test_22_retries_and_the_time_they_took_are_there(gaps: Gaps) -> None:
    """Each try, and the latency the caller waited."""
    trace = gaps.trace("retried")
    (root,) = [s for s in trace.data.spans if s.parent_id is None]
    told = len(trace.data.spans) - 1 or root.attributes.get("trace.attempts", 0) or len(root.events)
    assert told >= 2, "each retry has left something"
    assert trace.info.execution_duration >= 0.8 * gaps.notes["waited_ms"] - 200


def test_23_a_fallback_is_one_trace(gaps: Gaps) -> None:
    """Both tries under one root, which names the group."""
    trace = gaps.trace("fallback-bad")
    assert trace.info.trace_id == gaps.trace("fallback-good").info.trace_id
    (root,) = [s for s in trace.data.spans if s.parent_id is None]
    assert root.inputs["model"] == "first"
    assert trace.info.state == "OK"
    bad, good = gaps.span("fallback-bad"), gaps.span("fallback-good")
    assert (bad.status.status_code.value, good.status.status_code.value) == ("ERROR", "OK")


def test_24_the_answer_is_stored_once(gaps: Gaps) -> None:
    """No second copy in an attribute."""
    span = gaps.span("parameters")
    answer = span.outputs["choices"][0]["message"]["content"]
    assert json.dumps(span.to_dict(), default=str).count(answer) == 1


def test_25_a_tool_call_reads_well_in_the_list(gaps: Gaps) -> None:
    """Not as raw JSON of the response."""
    assert gaps.trace("tools").info.response_preview == 'get_weather({"city": "Paris"})'


def test_26_nothing_is_taken_out_of_what_callbacks_see(gaps: Gaps) -> None:
    """Autolog pops tools and user out of LiteLLM's own dictionary."""
    assert gaps.notes["optional_params"]["tools"] == [TOOL]
    assert gaps.notes["optional_params"]["user"] == "u"


def test_27_a_text_completion_keeps_its_prompt(gaps: Gaps) -> None:
    """As a prompt, not as a message of a user."""
    (trace,) = [t for t in gaps.traces if "instruct" in t.data.spans[0].name]
    span = trace.data.spans[0]
    assert span.inputs["prompt"] == "Once upon"
    assert span.span_type == "LLM"


@pytest.mark.parametrize("name", ["run-1", "run-2"])
def test_28_a_trace_belongs_to_the_run_of_its_own_thread(gaps: Gaps, name: str) -> None:
    """Autolog takes the latest run of any thread."""
    trace, run_id = gaps.trace(name).info, gaps.notes[name]
    assert trace.trace_metadata["mlflow.sourceRun"] == run_id
    found = gaps.mlflow.search_traces(run_id=run_id, return_type="list")
    assert [t.info.trace_id for t in found] == [trace.trace_id]


def test_29_time_to_first_chunk_endpoint_and_finish_reason_are_told(gaps: Gaps) -> None:
    """And no key, anywhere."""
    attributes = gaps.span("chunks").attributes
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0.04
    assert attributes["url.full"].startswith("http://127.0.0.1")
    assert list(attributes["gen_ai.response.finish_reasons"]) == ["stop"]
    stored = json.dumps([trace.to_dict() for trace in gaps.traces], default=str)
    assert "sk-gap-secret" not in stored


# What users do with traces goes on working ------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "model"),
    [
        ("attributes.name = 'gap-name'", "told"),
        ("metadata.`mlflow.trace.session` = 'gap-session'", "told"),
        ("metadata.`mlflow.trace.user` = 'gap-user'", "told"),
        ("metadata.order = 'A-17'", "told"),
        ("status = 'ERROR' AND span.content LIKE '%no such thing%'", "failing"),
        ("span.type = 'EMBEDDING' AND span.name = 'embeddings openai/aembed'", "aembed"),
        ("span.attributes.mlflow.llm.model LIKE '%tools%'", "tools"),
    ],
)
def test_mlflows_search_finds_our_traces(gaps: Gaps, wanted: str, model: str) -> None:
    """By what users filter by."""
    found = gaps.mlflow.search_traces(filter_string=wanted, return_type="list")
    assert [t.info.trace_id for t in found] == [gaps.trace(model).info.trace_id]


def test_mlflows_evaluation_scores_our_traces(gaps: Gaps) -> None:
    """``mlflow.genai.evaluate`` with a scorer in code reads inputs, outputs and spans of ours."""
    mlflow = gaps.mlflow

    @mlflow.genai.scorer
    def names_paris(outputs: Any) -> bool:
        return "Paris" in json.dumps(outputs)

    @mlflow.genai.scorer
    def tokens(trace: Any) -> int:
        return int(trace.info.token_usage["total_tokens"])

    chosen = {gaps.trace(model).info.trace_id for model in ("gpt-4o-mini", "parameters")}
    frame = mlflow.search_traces()
    frame = frame[frame["trace_id"].isin(chosen)]
    result = mlflow.genai.evaluate(data=frame, scorers=[names_paris, tokens])
    assert result.metrics["names_paris/mean"] == 0.5
    assert result.metrics["tokens/mean"] == 24.0
