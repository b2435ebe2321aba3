"""Sessions of the real LiteLLM proxy: realtime, websockets of the Responses API, tools over MCP.

The provider behind the websockets speaks TLS, because LiteLLM cannot open one of the Responses
API without; the tools are those of a real MCP server, which the proxy starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import socket
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support import litellm_proxy, mcp_server
from support.provider import Provider

MODULES = ("mcp", "trustme", "websockets")
MISSING = [name for name in MODULES if find_spec(name) is None]
pytestmark = [
    *litellm_proxy.NEEDS_PROXY,
    pytest.mark.skipif(bool(MISSING), reason=f"nox -s proxy installs {', '.join(MISSING)}"),
]

PROVIDER_KEY = "sk-PLANTED0123456789abcdefghijklmnop"
MASTER_KEY = "sk-MASTER0123456789abcdefghijklmnop"
SECRETS = (PROVIDER_KEY, MASTER_KEY, "hush", "Bearer")
HEADERS = {"Authorization": f"Bearer {MASTER_KEY}", "x-private": "hush"}


# The provider --------------------------------------------------------------------------------


def serve(connection: Any) -> None:
    """Answer as OpenAI does, for a model whose name says what is to happen."""
    asked = urlsplit(connection.request.path)
    model = parse_qs(asked.query)["model"][0]
    realtime = asked.path.endswith("/realtime")
    if realtime:
        connection.send(json.dumps({"type": "session.created", "session": {"id": "sess_1"}}))
    for frame in connection:
        if json.loads(frame)["type"] == "response.create":
            if model == "cut":
                connection.socket.shutdown(socket.SHUT_RDWR)
                return
            connection.send(json.dumps(done(realtime=realtime, failed=model == "failing")))


def done(*, realtime: bool, failed: bool) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    response = {"id": "resp_1", "object": "response", "output": [], "usage": usage}
    if failed:
        error = {"code": "server_error", "message": "the model is out of order"}
        failure = {**response, "status": "failed", "error": error}
        return {"type": "response.failed", "response": failure}
    kind = "response.done" if realtime else "response.completed"
    return {"type": kind, "response": {**response, "status": "completed"}}


def refuse(connection: Any, request: Any) -> Any:
    if "model=refused" in request.path:
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not you\n")
    return None


@contextmanager
def sockets(folder: Path) -> Iterator[str]:
    """Run the provider of websockets, and leave its authority's certificate in ``ca.pem``."""
    import trustme
    from websockets.sync.server import serve as listen

    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it cuts connections on purpose
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with listen(serve, "127.0.0.1", 0, ssl=context, process_request=refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.socket.getsockname()[1]}/v1"


# Its clients ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """What a client asks for, and what it sees.

    Attributes:
        api: realtime or responses.
        model: The proxy's name of the model.
        seen: The events it sees, the last few of more.
        closed: The code that the proxy closes the socket with, where it is not the client that
            leaves.
        error: Category of the failure, on the session's span and on the Router's.
        said: What the failure says.
    """

    api: str
    model: str
    seen: tuple[str, ...] = ()
    closed: int | None = None
    error: str | None = None
    said: str = ""

    def __str__(self) -> str:
        return f"{self.api}-{self.model}"


SESSIONS = [
    Session("realtime", "good", ("session.created", "response.done")),
    Session("realtime", "refused", ("error",), 1008, "permission", "HTTP 403"),
    Session("realtime", "cut", ("session.created", "error"), 1011, "connection"),
    Session("responses", "good", ("response.completed",)),
    Session("responses", "refused", ("error",), 1008, "permission", "HTTP 403"),
    Session("responses", "failing", ("response.failed",), None, "provider", "out of order"),
    Session("responses", "claude", ("response.completed",)),
]


def hold(url: str, session: Session) -> None:
    """Open a session, ask for an answer, and leave when it is there."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    where = f"ws{url.removeprefix('http')}/v1/{session.api}?model={session.model}"
    seen: list[str] = []
    closed = None
    with connect(where, additional_headers=HEADERS, close_timeout=1) as client:
        with contextlib.suppress(ConnectionClosed):  # refused already: what it said can be read
            client.send(json.dumps(asking(session)))
        try:
            while session.closed is not None or seen[-1:] != [session.seen[-1]]:
                seen.append(json.loads(client.recv(60))["type"])
        except ConnectionClosed as error:
            closed = error.rcvd.code if error.rcvd is not None else None
    assert (tuple(seen[-len(session.seen) :]), closed) == (session.seen, session.closed)


def asking(session: Session) -> dict[str, Any]:
    asked = {"type": "response.create"}
    return asked if session.api == "realtime" else {**asked, "model": session.model, "input": "hi"}


async def use_tools(url: str) -> list[Any]:
    """Call tools by MCP, as an agent would: one that answers, one that fails, one there is not."""
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    calls = [("sky-weather", "Paris"), ("sky-weather", "Atlantis"), ("sky-missing", "Rome")]
    http_client = create_mcp_http_client(headers=HEADERS)
    async with (
        http_client,
        Client(streamable_http_client(f"{url}/mcp/", http_client=http_client)) as client,
    ):
        return [await client.call_tool(name, {"city": city}) for name, city in calls]


def use_tool_by_rest(url: str) -> Any:
    """Call a tool by the proxy's own HTTP interface."""
    listed = urllib.request.Request(f"{url}/mcp-rest/tools/list", headers=HEADERS)
    with urllib.request.urlopen(listed, timeout=60) as answer:
        tool = json.load(answer)["tools"][0]
    body = {
        "server_id": tool["mcp_info"]["server_id"],
        "name": tool["name"],
        "arguments": {"city": "Oslo"},
    }
    called = urllib.request.Request(
        f"{url}/mcp-rest/tools/call",
        data=json.dumps(body).encode(),
        headers={**HEADERS, "content-type": "application/json"},
    )
    with urllib.request.urlopen(called, timeout=60) as answer:
        return json.load(answer)


def configuration(folder: Path, sockets_url: str, provider: Provider) -> dict[str, Any]:
    reached = {"api_base": sockets_url, "api_key": PROVIDER_KEY}
    models = {
        name: {"model": f"openai/{name}", **reached}
        for name in ("good", "refused", "cut", "failing")
    }
    models["claude"] = {
        "model": "anthropic/claude-haiku-4-5",
        "api_base": provider.url,
        "api_key": PROVIDER_KEY,
    }
    return {
        "model_list": [{"model_name": n, "litellm_params": p} for n, p in models.items()],
        "router_settings": {"num_retries": 0},
        "general_settings": {"master_key": MASTER_KEY},
        "mcp_servers": {
            "sky": {
                "transport": "stdio",
                "command": sys.executable,
                "args": [mcp_server.PROGRAM],
            }
        },
    }


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Hold every session, end the proxy, and read what is left behind."""
    folder = tmp_path_factory.mktemp("sessions")
    with sockets(folder) as sockets_url, Provider() as provider:
        told = configuration(folder, sockets_url, provider)
        variables = {"LITELLM_ENABLE_MCP_STDIO": "true", "SSL_CERT_FILE": str(folder / "ca.pem")}
        with litellm_proxy.running(folder, told, **variables) as url:
            for session in SESSIONS:
                hold(url, session)
            answers = asyncio.run(use_tools(url))
            assert [answer.is_error for answer in answers] == [False, True, True]
            assert "it rains in Oslo" in str(use_tool_by_rest(url))
    return litellm_proxy.spans_in(folder)


# What is traced ------------------------------------------------------------------------------


@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_a_session_is_one_span(session: Session, spans: list[dict[str, Any]]) -> None:
    """From its opening to its end, below the Router's, whoever ends it and however."""
    name = "realtime" if session.api == "realtime" else "responses.websocket"
    router, held, *below = of(spans, name, session.model)
    assert (router["name"], router["kind"]) == (f"router {session.model}", "CHAIN")
    assert (held["kind"], held["parent_id"]) == ("LLM", router["span_id"])
    assert held["attributes"]["server.address"] == "127.0.0.1"
    assert held["attributes"]["trace.attempt"] == 1
    assert len(below) == (session.model == "claude")
    for span in (router, held):
        check_outcome(span, session.error, session.said)


def of(spans: list[dict[str, Any]], name: str, model: str) -> list[dict[str, Any]]:
    """The spans of one session's trace, from the top."""
    held = [span for span in spans if span["name"].startswith(f"{name} ")]
    [mine] = [s for s in held if s["attributes"]["litellm.router.model_group"] == model]
    return [span for span in spans if span["trace_id"] == mine["trace_id"]]


def check_outcome(span: dict[str, Any], error: str | None, said: str = "") -> None:
    assert span["status"]["code"] == ("OK" if error is None else "ERROR")
    assert span["attributes"].get("trace.error.category") == error
    assert ("error.type" in span["attributes"]) == (error is not None)
    assert said in (span["status"]["description"] or "")


def test_an_answer_that_litellm_fetches_by_http_is_below_its_session(
    spans: list[dict[str, Any]],
) -> None:
    """For providers without websockets the proxy makes a call for each request on the socket."""
    *_, answer = of(spans, "responses.websocket", "claude")
    assert answer["name"] == "responses claude-haiku-4-5"
    assert answer["usage"]["source"] == "provider"
    assert answer["attributes"]["trace.stream.ending"] == "completed"


def tools(spans: list[dict[str, Any]], city: str) -> list[dict[str, Any]]:
    return [span for span in spans if span["kind"] == "TOOL" and city in str(span["inputs"])]


def test_a_tool_is_called_through_the_gateway(spans: list[dict[str, Any]]) -> None:
    """The proxy's part is one span, the call of the MCP server's tool another one below it."""
    gateway, call = tools(spans, "Paris")
    assert [gateway["name"], call["name"]] == ["mcp.gateway", "mcp.call_tool"]
    assert call["parent_id"] == gateway["span_id"]
    assert (gateway["inputs"]["name"], gateway["inputs"]["arguments"]) == (
        "sky-weather",
        {"city": "Paris"},
    )
    for span in (gateway, call):
        assert span["attributes"]["gen_ai.operation.name"] == "execute_tool"
        assert "it rains in Paris" in json.dumps(span["outputs"])
        check_outcome(span, None)


def test_a_tool_that_fails(spans: list[dict[str, Any]]) -> None:
    """Its failure comes as an answer, and is a failure on both spans."""
    for span in tools(spans, "Atlantis"):
        check_outcome(span, "tool", "weather")
    assert len(tools(spans, "Atlantis")) == 2


def test_a_tool_that_there_is_not(spans: list[dict[str, Any]]) -> None:
    """The gateway refuses by itself: no server is asked."""
    [gateway] = tools(spans, "Rome")
    check_outcome(gateway, "not_found", "missing")


def test_a_tool_is_called_by_rest(spans: list[dict[str, Any]]) -> None:
    """This way does not go through the gateway's function; the tool's call is a span all the same."""
    [call] = tools(spans, "Oslo")
    assert call["name"] == "mcp.call_tool"
    assert "it rains in Oslo" in json.dumps(call["outputs"])
    check_outcome(call, None)


def test_nothing_else_is_traced(spans: list[dict[str, Any]]) -> None:
    """No span is left over, and none was lost when the proxy ended."""
    listed = [span for span in spans if span["name"] == "mcp.list_tools"]
    assert len(spans) - len(listed) == 2 * len(SESSIONS) + 1 + 2 + 2 + 1 + 1


def test_no_secret_is_recorded(spans: list[dict[str, Any]]) -> None:
    """Neither a provider's key nor the proxy's, nor a header of the client's."""
    text = json.dumps(spans)
    assert [secret for secret in SECRETS if secret in text] == []
