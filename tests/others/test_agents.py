"""Agents and tools that LiteLLM calls for a program: A2A agents and MCP servers, real ones.

LiteLLM's modules for them are imported after tracing was turned on, as most programs would.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import trace_litellm
from support import mcp_server
from trace_core import MemorySink, Span, StatusCode, Tracer

MODULES = ("litellm.a2a_protocol", "litellm.experimental_mcp_client")


@pytest.fixture
def sink(litellm: Any) -> Iterator[MemorySink]:
    """Trace into memory, before LiteLLM's modules for agents are there."""
    for name in [name for name in sys.modules if name.startswith(MODULES)]:
        del sys.modules[name]
    sink = MemorySink()
    with trace_litellm.instrument(Tracer(sink)) as on:
        yield sink
        assert not on.tracer.open_spans


# -- A2A ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def agent() -> Iterator[str]:
    """Run an agent made with the protocol's own SDK, which repeats what it is told."""
    pytest.importorskip("a2a", reason="a2a-sdk is not installed: nox -s others installs it")
    import uvicorn
    from starlette.applications import Starlette

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = Starlette(routes=routes(url))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield url
        server.should_exit = True
        thread.join()


def routes(url: str) -> list[Any]:
    from a2a.helpers import new_text_message
    from a2a.server.agent_execution import AgentExecutor
    from a2a.server.request_handlers import DefaultRequestHandler
    from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
    from a2a.server.tasks import InMemoryTaskStore
    from a2a.types import AgentCapabilities, AgentCard, AgentInterface

    class Echo(AgentExecutor):
        async def execute(self, context: Any, event_queue: Any) -> None:
            said = context.get_user_input()
            if said == "fail":
                raise ValueError("the agent's own failure")
            await event_queue.enqueue_event(new_text_message(f"you said {said}"))

        async def cancel(self, context: Any, event_queue: Any) -> None:
            raise NotImplementedError

    card = AgentCard(
        name="echo",
        description="Repeats what it is told",
        version="1",
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text"],
        default_output_modes=["text"],
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")
        ],
    )
    handler = DefaultRequestHandler(Echo(), InMemoryTaskStore(), card)
    return [
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
    ]


def request(kind: str, text: str) -> Any:
    from a2a.compat.v0_3 import types

    message = {"role": "user", "messageId": "m1", "parts": [{"kind": "text", "text": text}]}
    return getattr(types, kind)(id="r1", params={"message": message})


def test_an_agent_is_sent_a_message(agent: str, sink: MemorySink) -> None:
    """One span of kind AGENT, with what was said and what came back."""
    from litellm.a2a_protocol import A2AClient

    answer = asyncio.run(A2AClient(agent).send_message(request("SendMessageRequest", "hi")))
    assert "you said hi" in str(answer.model_dump())
    span = only(sink)
    assert (span.name, span.kind.value) == ("a2a.send_message", "AGENT")
    assert span.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert "'hi'" in str(span.inputs)
    assert "you said hi" in str(span.outputs)


def test_an_agent_streams(agent: str, sink: MemorySink) -> None:
    """The async generator function is followed from its first step to its end."""
    from litellm.a2a_protocol import A2AClient

    async def main() -> list[Any]:
        asked = request("SendStreamingMessageRequest", "hi")
        return [event async for event in A2AClient(agent).send_message_streaming(asked)]

    events = asyncio.run(main())
    assert "you said hi" in str(events)
    span = only(sink)
    assert (span.name, span.kind.value) == ("a2a.send_message_streaming", "AGENT")
    assert span.attributes["trace.stream.ending"] == "completed"
    assert span.attributes["trace.stream.chunks"] == len(events)
    assert "you said hi" in str(span.outputs)


def test_an_agent_fails(agent: str, sink: MemorySink) -> None:
    """The failure is the caller's and the span's."""
    from litellm.a2a_protocol import A2AClient

    caught: Exception | None = None
    try:
        asyncio.run(A2AClient(agent).send_message(request("SendMessageRequest", "fail")))
    except Exception as error:  # of a class that depends on LiteLLM's release
        caught = error
    assert caught is not None
    span = only(sink)
    assert span.status.code is StatusCode.ERROR
    [event] = [event for event in span.events if event.name == "exception"]
    assert str(event.attributes["exception.type"]).endswith(type(caught).__name__)
    assert span.status.description == str(caught)


# -- MCP ----------------------------------------------------------------------------------------


@asynccontextmanager
async def tools() -> AsyncIterator[Any]:
    """Run an MCP server as a child process and give a session with it."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    child = StdioServerParameters(
        command=sys.executable, args=[mcp_server.PROGRAM], env=dict(os.environ)
    )
    async with stdio_client(child) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


def test_a_tool_of_an_mcp_server(sink: MemorySink) -> None:
    """The list of tools and the call of one are spans; the call has what went in and came out."""
    pytest.importorskip("mcp")
    from litellm.experimental_mcp_client import call_openai_tool, load_mcp_tools

    async def main() -> Any:
        async with tools() as session:
            listed = await load_mcp_tools(session, format="openai")
            return listed, await call_openai_tool(session, weather_in("Paris"))

    listed, result = asyncio.run(main())
    assert [tool["function"]["name"] for tool in listed] == ["weather"]
    assert result.content[0].text == "it rains in Paris"
    listing, call = sink.spans
    assert (listing.name, listing.kind.value) == ("mcp.list_tools", "INTERNAL")
    assert "weather" in str(listing.outputs)
    assert (call.name, call.kind.value) == ("mcp.call_tool", "TOOL")
    assert "Paris" in str(call.inputs)
    assert "it rains in Paris" in str(call.outputs)


def weather_in(city: str) -> Any:
    """What a model asks for that wants to know the weather."""
    asked = {"name": "weather", "arguments": json.dumps({"city": city})}
    return {"id": "call_1", "type": "function", "function": asked}


def test_a_tool_that_fails(sink: MemorySink) -> None:
    """Nothing is raised: the server's answer says so, and the span."""
    pytest.importorskip("mcp")
    from litellm.experimental_mcp_client import call_openai_tool

    async def main() -> None:
        async with tools() as session:
            await call_openai_tool(session, weather_in("Atlantis"))

    asyncio.run(main())
    span = only(sink)
    assert span.status.code is StatusCode.ERROR
    assert "weather" in str(span.status.description)
    assert span.attributes["error.type"] == "tool_error"
    assert span.attributes["trace.error.category"] == "tool"


def only(sink: MemorySink) -> Span:
    [span] = sink.spans
    return span
