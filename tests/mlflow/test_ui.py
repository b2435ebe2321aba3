"""MLflow's own pages, read in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import Browser
from support.mlflow_server import MlflowServer
from support.provider import Provider, Scenario, ToolCall, Usage

EXPERIMENT = "LiteLLM"
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
FAILURE = "the provider is on strike"
STORY = "Once upon a time there was a stream that nobody read to its end."
TASK = "Where shall I go?"
REPLY = "That looks like Paris."
THOUGHT = "France, so far as I know, is governed from Paris."
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mO44OBAU8Qw"
    "asGoBaMWjFowasGoBaMWjFowasGoBaMWDBULACnIQEz04peUAAAAAElFTkSuQmCC"
)
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}
LARGE_PICTURE = f"data:image/png;base64,{'iVBORw0KGgoA' * 400}"


class Pages:
    """MLflow's pages about one experiment, and the traces of real calls in it."""

    def __init__(self, browser: Browser, server: MlflowServer, provider_base: str) -> None:
        self._browser = browser
        self.provider_base = provider_base
        self._server = server
        self.traces: dict[str, str] = {}
        self._experiment = ""

    def find_traces(self) -> None:
        """Ask the server for the traces, by the model that was called."""
        from mlflow import MlflowClient

        client = MlflowClient(self._server.url)
        found = client.get_experiment_by_name(EXPERIMENT)
        assert found is not None
        self._experiment = found.experiment_id
        for trace in client.search_traces(locations=[found.experiment_id]):
            asked = trace.data.spans[0].inputs
            model = asked["model"].removeprefix("openai/") if isinstance(asked, dict) else "agent"
            self.traces[model] = trace.info.trace_id

    def open_list(self) -> Browser:
        """Open the list of traces."""
        self._browser.open(f"{self._server.url}/#/experiments/{self._experiment}/traces")
        return self._browser

    def open_session(self, session: str) -> Browser:
        """Open the page of a conversation."""
        self._browser.open(
            f"{self._server.url}/#/experiments/{self._experiment}/chat-sessions/{session}"
        )
        return self._browser

    def open_trace(self, model: str) -> Browser:
        """Open the trace of the call to a model."""
        self._browser.open(
            f"{self._server.url}/#/experiments/{self._experiment}/traces"
            f"?selectedEvaluationId={self.traces[model]}"
        )
        return self._browser


def _image(url: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url}}


def _make_calls(server: MlflowServer, provider: Provider) -> None:
    """Make real calls: answered in text, with a tool call, failing, cut short, of an agent."""
    import litellm

    import trace_litellm
    from trace_core import SpanKind, attributes
    from trace_mlflow_sink import MlflowSink

    litellm.suppress_debug_info = True
    usage = Usage(prompt=20, completion=10)
    provider.script("capital", Scenario(text=ANSWER, usage=usage))
    provider.script("weather", Scenario(tool_calls=(ToolCall("get_weather"),), usage=usage))
    provider.script("thinking", Scenario(text=REPLY, reasoning=THOUGHT))
    provider.script("picture", Scenario(text=REPLY))
    provider.script("story", Scenario(text=STORY, usage=usage))
    provider.script("strike", Scenario(status=400, error_body={"error": {"message": FAILURE}}))
    instrumentation = trace_litellm.autolog(MlflowSink(server.url, EXPERIMENT))
    assert instrumentation is not None

    def call(model: str, question: object = QUESTION, **options: object) -> Any:
        messages = [{"role": "user", "content": question}]
        base = provider.openai_base
        return litellm.completion(
            f"openai/{model}", messages, api_base=base, api_key="none", **options
        )

    try:
        call("capital", temperature=0.2, metadata={"session_id": "session-1"})
        call("weather", tools=[WEATHER])
        call("thinking", question=[{"type": "text", "text": QUESTION}, _image(PICTURE)])
        call("picture", question=[{"type": "text", "text": QUESTION}, _image(LARGE_PICTURE)])
        with pytest.raises(litellm.BadRequestError):
            call("strike")
        for chunk in call("story", stream=True):
            if chunk.choices[0].delta.content:
                break
        with (
            attributes(session_id="session-1"),
            instrumentation.tracer.span("travel agent", kind=SpanKind.AGENT, inputs=TASK) as agent,
        ):
            call("weather", tools=[WEATHER])
            with instrumentation.tracer.span("get_weather", kind=SpanKind.TOOL, inputs="Paris"):
                pass
            call("capital")
            agent.set(outputs="Go to Paris.")
        assert instrumentation.tracer.flush(60)
    finally:
        trace_litellm.autolog(disable=True)


@pytest.fixture(scope="module")
def pages(provider: Provider, request: pytest.FixtureRequest) -> Iterator[Pages]:
    """Pages about calls that were just made; skipped before the server starts if need be."""
    with Browser() as browser:
        server: MlflowServer = request.getfixturevalue("server")
        _make_calls(server, provider)
        made = Pages(browser, server, provider.openai_base)
        made.find_traces()
        yield made


def test_the_list_shows_what_was_said_tokens_and_latency(pages: Pages):
    """One row a call: question, answer, session, duration, state and tokens."""
    browser = pages.open_list()
    browser.read(QUESTION, ANSWER)
    browser.click("Got it", wait=1.0)
    browser.press("[data-component-id='mlflow.assistant.chat_panel.close']")
    lines = browser.read(ANSWER, "Tokens").splitlines()
    row = lines[lines.index(ANSWER) :][:5]
    answer, session, duration, state, tokens = row
    assert (answer, session, state, tokens) == (ANSWER, "session-1", "OK", "30")
    assert duration.endswith("s")
    assert 'get_weather({"city": "Paris"})' in lines, "a tool call reads as one"
    assert "Error" in lines
    browser.keep("mlflow-list")


def test_a_chat_trace_shows_the_conversation(pages: Pages):
    """Prompt and answer as chat messages, parameters, tokens, cost and model."""
    browser = pages.open_trace("capital")
    browser.read(QUESTION, ANSWER, "Success", "30 tokens", "User", "Assistant", "temperature")
    browser.keep("mlflow-chat")
    assert browser.click("Attributes")
    browser.read("url.full", pages.provider_base, "gen_ai.request.model")


def test_a_tool_call_trace_shows_tool_and_arguments(pages: Pages):
    """The tool that was offered, and the call the model answered with."""
    browser = pages.open_trace("weather")
    browser.read("get_weather", "Paris", "Tools")
    browser.keep("mlflow-tool-call")


def test_a_picture_that_was_asked_about_is_shown(pages: Pages):
    """As a picture, beside the question."""
    browser = pages.open_trace("thinking")
    browser.read(QUESTION, REPLY)
    assert browser.finds(f"img[src='{PICTURE}']")


def test_a_large_picture_leaves_the_conversation_readable(pages: Pages):
    """Its data is cut out; what it was stands in its place."""
    browser = pages.open_trace("picture")
    browser.read("User", QUESTION, f"<image/png: {len(LARGE_PICTURE)} characters", "Assistant")


def test_what_a_model_thought_is_shown(pages: Pages):
    """Under a heading of its own, folded until it is asked for."""
    browser = pages.open_trace("thinking")
    browser.read(QUESTION, REPLY, "Reasoning")
    browser.keep("mlflow-thinking")


def test_a_failed_trace_shows_the_exception(pages: Pages):
    """State, type, message and stack."""
    browser = pages.open_trace("strike")
    browser.read("Error", QUESTION)
    assert browser.click("Events", wait=10.0)
    browser.read("exception.message", "BadRequestError", FAILURE, "Traceback")
    browser.keep("mlflow-failed")


def test_a_cut_stream_shows_what_came_and_that_it_was_left(pages: Pages):
    """The part of the answer that was read, time to the first chunk, and how it ended."""
    browser = pages.open_trace("story")
    browser.read(QUESTION, "Once")
    browser.keep("mlflow-cut-stream")
    assert browser.click("Attributes", wait=10.0)
    browser.read("trace.stream.ending", "abandoned")


def test_an_agent_shows_its_calls_and_tools_as_a_tree(pages: Pages):
    """Model calls and tools under it, and the tokens of all of them."""
    browser = pages.open_trace("agent")
    browser.read("travel agent", "chat", "get_weather", TASK, "60 tokens")
    browser.keep("mlflow-agent")


def test_a_session_is_one_group(pages: Pages):
    """All traces of a conversation stand together."""
    browser = pages.open_session("session-1")
    browser.read("session-1", QUESTION, ANSWER)
    browser.keep("mlflow-session")
