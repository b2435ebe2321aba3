"""A real Phoenix: what is sent in OpenInference's words is read back by its own interfaces.

Run by ``nox -s phoenix``, which installs Phoenix into an environment of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trace_litellm
from support.browser import Browser
from support.provider import TEXT, Provider, Scenario, ToolCall, Usage
from support.scenarios import EMBED, GPT, KEY, PRICE, TOOLS
from trace_core import SpanKind, Tracer, durable
from trace_otlp_sink import OtlpSink

PROGRAM = os.environ.get("TRACE_PHOENIX")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Phoenix: run `nox -s phoenix`")
PROJECT = "trips"
SECONDS = 600.0
"""Its first start, on a busy machine, takes minutes: it compiles itself."""
QUERY = """{ projects { edges { node { name spans(first: 100) { edges { node {
  name spanId parentId spanKind statusCode tokenCountTotal tokenCountPrompt tokenCountCompletion
  costSummary { total { cost } } } } } } } } }"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Phoenix with an empty store."""
    folder, port = tmp_path_factory.mktemp("phoenix"), free_port()
    told = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    url, log = f"http://127.0.0.1:{port}", folder / "log"
    with (
        log.open("w") as out,
        subprocess.Popen([str(PROGRAM), "serve"], env={**os.environ, **told}, stdout=out, stderr=out) as running,
    ):  # fmt: skip
        try:
            wait_for(url, running, log)
            yield url
        finally:
            running.terminate()


def wait_for(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            get(f"{url}/v1/projects")
        except OSError:
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        else:
            return


def get(url: str, body: object = None) -> Any:
    """Make a request; return the JSON in its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def spans_by_rest(url: str, wanted: int) -> dict[str, Any]:
    """Return the spans of the project by id, as soon as there are so many."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = get(f"{url}/v1/projects/{PROJECT}/spans?limit=100")["data"]
        if len(found) >= wanted:
            return {span["context"]["span_id"]: span for span in found}
        assert time.monotonic() < deadline, f"{len(found)} spans"
        time.sleep(0.2)


def spans_by_graphql(url: str) -> dict[str, Any]:
    """Return what Phoenix counts for each span, by id."""
    edges = get(f"{url}/graphql", {"query": QUERY})["data"]["projects"]["edges"]
    (project,) = [edge["node"] for edge in edges if edge["node"]["name"] == PROJECT]
    nodes = [edge["node"] for edge in project["spans"]["edges"]]
    return {node["spanId"]: node for node in nodes}


@pytest.fixture(scope="module")
def sent(phoenix: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Phoenix has of an agent's run and of a call that failed."""
    import litellm

    litellm.suppress_debug_info = True
    resource = {"openinference.project.name": PROJECT, "service.name": "trips"}
    sink = OtlpSink(phoenix, dialect="openinference", resource=resource, timeout=60)
    tracer = Tracer(durable(sink, spool_dir=str(tmp_path_factory.mktemp("spool"))))
    with Provider() as provider, trace_litellm.instrument(tracer):
        lane = provider.lane("phoenix")
        given = {"api_base": lane.openai_base, "api_key": KEY, "max_retries": 0}
        asked = [{"role": "user", "content": "How is the weather in Paris?"}]
        with tracer.span("planner", kind=SpanKind.AGENT, inputs="Plan a trip to Paris") as agent:
            lane.script(Scenario(tool_calls=(ToolCall("weather"),)))
            about = {"session_id": "session-1", "tags": ["beta"], "team": "red"}
            litellm.completion(GPT, asked, tools=TOOLS, metadata=about, **given)
            with tracer.span("weather", kind=SpanKind.TOOL, inputs={"city": "Paris"}) as tool:
                tool.set(outputs="sunny")
            lane.script(Scenario(usage=Usage()))
            told = {"include_usage": True}
            list(litellm.completion(GPT, asked, stream=True, stream_options=told, **given))
            litellm.embedding(EMBED, ["Paris", "Rome"], **given)
            agent.set(outputs="Go to Paris")
        lane.script(Scenario(status=401))
        with pytest.raises(litellm.exceptions.AuthenticationError):
            litellm.completion(GPT, asked, **given)
        assert tracer.flush(SECONDS)
        tracer.close()
    spans = spans_by_rest(phoenix, 6)
    for number, node in spans_by_graphql(phoenix).items():
        spans[number]["counted"] = node
    return {f"{span['name']} {span['status_code']}": span for span in by_start(spans)} | {
        "all": by_start(spans)
    }


def by_start(spans: dict[str, Any]) -> list[Any]:
    return sorted(spans.values(), key=lambda span: span["start_time"])


def test_spans_are_nested_and_of_their_kinds(sent):
    """The agent holds three calls and a tool; the failed call is alone."""
    agent, chat, tool, stream, embedding, failed = sent["all"]
    kinds = [span["span_kind"] for span in sent["all"]]
    assert kinds == ["AGENT", "LLM", "TOOL", "LLM", "EMBEDDING", "LLM"]
    number = agent["context"]["span_id"]
    assert {span["parent_id"] for span in (chat, tool, stream, embedding)} == {number}
    assert agent["parent_id"] is failed["parent_id"] is None
    assert [span["status_code"] for span in (agent, failed)] == ["OK", "ERROR"]


def test_messages_and_tools_are_read(sent):
    """Questions, answers, calls of tools, the tool itself."""
    _, chat, tool, stream, embedding, _ = (span["attributes"] for span in sent["all"])
    start = "llm.output_messages.0.message"
    called = f"{start}.tool_calls.0.tool_call"
    assert chat["llm.input_messages.0.message.content"] == "How is the weather in Paris?"
    assert chat[f"{called}.function.name"] == "weather"
    assert json.loads(chat[f"{called}.function.arguments"]) == {"city": "Paris"}
    assert json.loads(chat["llm.tools.0.tool.json_schema"])["function"]["name"] == "weather"
    assert stream[f"{start}.content"] == TEXT
    assert (tool["tool.name"], tool["output.value"]) == ("weather", "sunny")
    assert embedding["embedding.embeddings.1.embedding.text"] == "Rome"
    assert (chat["session.id"], chat["tag.tags"]) == ("session-1", ["beta"])


def test_tokens_and_cost_are_counted(sent):
    """Phoenix's own numbers are the provider's tokens and LiteLLM's prices."""
    for span in (sent["all"][1], sent["all"][3]):
        counted = span["counted"]
        assert counted["tokenCountTotal"] == Usage().total
        assert counted["tokenCountPrompt"] == Usage().prompt
        assert counted["costSummary"]["total"]["cost"] == pytest.approx(PRICE)


def test_an_error_is_an_exception(sent):
    """With type, message and stack."""
    failed = sent["all"][-1]
    (event,) = failed["events"]
    assert event["name"] == "exception"
    assert "AuthenticationError" in event["attributes"]["exception.type"]
    assert event["attributes"]["exception.stacktrace"]
    assert "AuthenticationError" in failed["status_message"]


def test_people_see_it(phoenix, sent):
    """Phoenix's page shows the tree, the messages and the call of the tool."""
    with Browser() as browser:
        _, chat, *_ = sent["all"]
        projects = get(f"{phoenix}/v1/projects")["data"]
        (number,) = [one["id"] for one in projects if one["name"] == PROJECT]
        trace = chat["context"]["trace_id"]
        browser.open(f"{phoenix}/projects/{number}/traces/{trace}?selectedSpanNodeId={chat['id']}")
        browser.read("planner", "weather", "embeddings openai/", "How is the weather in Paris?")
        browser.keep("phoenix-tool-call")
