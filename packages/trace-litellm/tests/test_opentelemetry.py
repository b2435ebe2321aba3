"""Our spans and OpenTelemetry's in one program: each has the one around it as its parent."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import trace_litellm
from support.provider import Provider, Scenario
from support.scenarios import LITELLM
from trace_core import MemorySink, OpenTelemetryBridge, Span, Tracer

sdk = pytest.importorskip("opentelemetry.sdk.trace")
pytest.importorskip("opentelemetry.instrumentation.httpx")
pytestmark = pytest.mark.skipif(
    LITELLM < (1, 65) and importlib.util.find_spec("httpx2") is not None,
    reason="it leaves openai its own client, of httpx2, which is not instrumented",
)

MESSAGES = [{"role": "user", "content": "hi"}]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Theirs:
    """A program's OpenTelemetry: a provider, its exporter, httpx's instrumentation."""

    def __init__(self) -> None:
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.exporter = InMemorySpanExporter()
        self.provider = sdk.TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("their program")
        self.httpx = HTTPXClientInstrumentor()
        self.httpx.instrument(tracer_provider=self.provider)

    def named(self, name: str) -> list[Any]:
        """Return the finished spans of a name."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> Any:
        """Return the only finished span of a name."""
        [span] = self.named(name)
        return span


@pytest.fixture(scope="session")
def in_use() -> None:
    """Set a provider, which a process can do once: our spans are current for such a program."""
    from opentelemetry import trace

    trace.set_tracer_provider(sdk.TracerProvider())


@pytest.fixture
def theirs(in_use: None) -> Iterator[Theirs]:
    """A program's OpenTelemetry."""
    made = Theirs()
    yield made
    made.httpx.uninstrument()


@pytest.fixture
def ours(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> MemorySink:
    """Tracing turned on as ``autolog`` does, into memory."""
    # aiohttp, which LiteLLM prefers for asynchronous calls, has an instrumentation of its own
    monkeypatch.setattr(litellm, "disable_aiohttp_transport", True, raising=False)
    litellm.in_memory_llm_clients_cache.flush_cache()
    sink = MemorySink()
    trace_litellm.autolog(sink)
    return sink


def options(provider: Provider, lane: str, **more: Any) -> dict[str, Any]:
    """Return the arguments of a call."""
    return {
        "model": f"openai/{lane}",
        "messages": MESSAGES,
        "api_base": provider.openai_base,
        "api_key": "x",
        **more,
    }


def ids(span: Any) -> tuple[str, str, str | None]:
    """Return trace, span and parent of a span of theirs, as ours have them."""
    if isinstance(span, Span):
        return span.trace_id, span.span_id, span.parent_id
    parent = f"{span.parent.span_id:016x}" if span.parent else None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


def assert_chain(*spans: Any) -> None:
    """Check that all spans are in one trace, and each is the parent of the next."""
    found = [ids(span) for span in spans]
    assert len({trace_id for trace_id, _, _ in found}) == 1
    assert [parent for _, _, parent in found[1:]] == [span_id for _, span_id, _ in found[:-1]]


def header(provider: Provider, lane: str) -> str:
    """Return the ``traceparent`` of the last request of a lane, whether it is sampled alone."""
    headers = provider.requests_for(lane)[-1].headers
    found = {key.lower(): value for key, value in headers.items()}["traceparent"]
    flags = int(found[-2:], 16)
    return f"{found[:-2]}{flags & 1:02}"


def test_request_call_and_http_are_one_trace(
    litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink
) -> None:
    """Their request, our call, httpx's POST; and the provider is told the POST's ids."""
    with theirs.tracer.start_as_current_span("request"):
        litellm.completion(**options(provider, "otel-plain"))
        with theirs.tracer.start_as_current_span("after"):
            pass
    [call] = ours.spans
    post = theirs.one("POST")
    assert_chain(theirs.one("request"), call, post)
    assert_chain(theirs.one("request"), theirs.one("after"))
    assert header(provider, "otel-plain") == f"00-{ids(post)[0]}-{ids(post)[1]}-01"


def test_without_a_span_of_theirs_the_call_is_the_root(
    litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink
) -> None:
    """The POST is the call's child, and nothing of ours is current afterwards."""
    from opentelemetry import trace

    litellm.completion(**options(provider, "otel-root"))
    [call] = ours.spans
    assert call.parent_id is None
    assert_chain(call, theirs.one("POST"))
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_async(litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink) -> None:
    """Calls at the same time do not get into each other."""

    async def request(number: int) -> None:
        with theirs.tracer.start_as_current_span(f"request {number}"):
            await litellm.acompletion(**options(provider, f"otel-async-{number}"))

    async def main() -> None:
        await asyncio.gather(*map(request, range(3)))

    asyncio.run(main())
    posts = {ids(post)[2]: post for post in theirs.named("POST")}
    calls = {call.attributes["gen_ai.request.model"]: call for call in ours.spans}
    for number in range(3):
        call = calls[f"otel-async-{number}"]
        assert_chain(theirs.one(f"request {number}"), call, posts[call.span_id])


def test_streams_are_current_around_the_call_alone(
    litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink
) -> None:
    """What the program does between two chunks is not inside the call."""
    with theirs.tracer.start_as_current_span("request"):
        for number, _ in enumerate(litellm.completion(**options(provider, "s", stream=True))):
            with theirs.tracer.start_as_current_span(f"chunk {number}"):
                pass
    [call] = ours.spans
    assert_chain(theirs.one("request"), call, theirs.one("POST"))
    assert_chain(theirs.one("request"), theirs.one("chunk 0"))
    assert_chain(theirs.one("request"), theirs.one("chunk 1"))


def test_async_streams(litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink) -> None:
    """The same with ``async for``."""

    async def main() -> None:
        with theirs.tracer.start_as_current_span("request"):
            stream = await litellm.acompletion(**options(provider, "as", stream=True))
            number = 0
            async for _ in stream:
                with theirs.tracer.start_as_current_span(f"chunk {number}"):
                    number += 1

    asyncio.run(main())
    [call] = ours.spans
    assert_chain(theirs.one("request"), call, theirs.one("POST"))
    assert_chain(theirs.one("request"), theirs.one("chunk 1"))


@pytest.mark.parametrize("stream", [False, True])
def test_a_router_and_its_attempts(
    litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink, *, stream: bool
) -> None:
    """Each attempt has its own POST below it, the fallback's too."""
    lane = f"otel-router-{stream}"
    provider.script(f"{lane}-bad", Scenario(status=500))
    router = litellm.Router(
        model_list=[
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{lane}-{name}",
                    "api_base": provider.openai_base,
                    "api_key": "x",
                    "max_retries": 0,
                },
            }
            for name in ("bad", "good")
        ],
        fallbacks=[{"bad": ["good"]}],
        num_retries=0,
    )
    with theirs.tracer.start_as_current_span("request"):
        result = router.completion(model="bad", messages=MESSAGES, stream=stream)
        if stream:
            list(result)
    top = next(span for span in ours.spans if span.parent_id == ids(theirs.one("request"))[1])
    posts = {ids(post)[2]: post for post in theirs.named("POST")}
    attempts = [span for span in ours.spans if span.span_id in posts]
    assert len(attempts) == 2
    by_id = {span.span_id: span for span in ours.spans}
    for attempt in attempts:
        assert {post.context.trace_id for post in posts.values()} == {int(top.trace_id, 16)}
        above = attempt
        while above.span_id != top.span_id:
            above = by_id[str(above.parent_id)]


def test_spans_of_tracer_and_of_theirs_in_each_other(
    litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink
) -> None:
    """``tracer.span``, their span, ``@tracer.trace``, a call: a chain of five with the POST."""
    running = trace_litellm.autolog()
    assert running is not None
    tracer = running.tracer

    @tracer.trace(name="step")
    def step() -> None:
        litellm.completion(**options(provider, "otel-nested"))

    with tracer.span("run"), theirs.tracer.start_as_current_span("their step"):
        step()
    named = {span.name.split()[0]: span for span in ours.spans}
    call = next(span for span in ours.spans if span.kind.value == "LLM")
    assert_chain(named["run"], theirs.one("their step"), named["step"], call, theirs.one("POST"))


def test_their_sampling_decides(
    litellm: Any, provider: Provider, ours: MemorySink, theirs: Theirs
) -> None:
    """Below a span that is not sampled nothing of ours is recorded, nor sent as sampled."""
    off = sdk.TracerProvider(sampler=sdk.sampling.ALWAYS_OFF).get_tracer("off")
    with off.start_as_current_span("request"):
        litellm.completion(**options(provider, "otel-unsampled"))
    assert not ours.spans
    assert header(provider, "otel-unsampled").endswith("-00")


def test_their_sampling_may_be_ignored(
    litellm: Any, provider: Provider, theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``TRACE_OTEL_UNSAMPLED``: our span is recorded, theirs stay as they decided."""
    monkeypatch.setenv("TRACE_OTEL_UNSAMPLED", "yes")
    sink = MemorySink()
    trace_litellm.autolog(sink)
    off = sdk.TracerProvider(sampler=sdk.sampling.ALWAYS_OFF).get_tracer("off")
    with off.start_as_current_span("request") as request:
        litellm.completion(**options(provider, "otel-ignored"))
    [call] = sink.spans
    assert call.trace_id == f"{request.get_span_context().trace_id:032x}"
    assert header(provider, "otel-ignored").endswith("-00")
    assert not theirs.named("POST")


def test_it_can_be_turned_off(
    litellm: Any, provider: Provider, theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``TRACE_OTEL_BRIDGE=no``: two traces that know nothing of each other."""
    monkeypatch.setenv("TRACE_OTEL_BRIDGE", "no")
    sink = MemorySink()
    trace_litellm.autolog(sink)
    with theirs.tracer.start_as_current_span("request"):
        litellm.completion(**options(provider, "otel-off"))
    assert sink.spans[0].parent_id is None
    assert_chain(theirs.one("request"), theirs.one("POST"))


def test_a_tracer_made_by_hand(litellm: Any, provider: Provider, theirs: Theirs) -> None:
    """It gets the bridge as an argument."""
    sink = MemorySink()
    tracer = Tracer(sink, bridges=[OpenTelemetryBridge()])
    with trace_litellm.instrument(tracer), theirs.tracer.start_as_current_span("request"):
        litellm.completion(**options(provider, "otel-by-hand"))
    assert_chain(theirs.one("request"), sink.spans[0], theirs.one("POST"))


def test_a_header_that_the_proxy_got_is_the_parent(
    litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink
) -> None:
    """Without a span of theirs; a server's span of theirs, which has that parent, goes before."""
    request = {"headers": {"traceparent": CALLER}}
    litellm.completion(**options(provider, "otel-proxy", proxy_server_request=request))
    [call] = ours.spans
    assert (call.trace_id, call.parent_id) == (CALLER[3:35], CALLER[36:52])
    assert_chain(call, theirs.one("POST"))
    with theirs.tracer.start_as_current_span("server"):
        litellm.completion(**options(provider, "otel-proxy", proxy_server_request=request))
    assert_chain(theirs.one("server"), ours.spans[1])


CALLBACKS = (
    "input_callback",
    "success_callback",
    "failure_callback",
    "_async_input_callback",
    "_async_success_callback",
    "_async_failure_callback",
)


@pytest.mark.skipif(LITELLM < (1, 106), reason="has no logging worker that can be flushed here")
def test_litellms_own_opentelemetry_records_as_before(
    litellm: Any, theirs: Theirs, ours: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its callback makes the same spans and attributes with the bridge as without."""
    from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    callback = OpenTelemetry(
        OpenTelemetryConfig(exporter="in_memory"), tracer_provider=theirs.provider
    )
    for name in CALLBACKS:  # to which LiteLLM adds it as well
        monkeypatch.setattr(litellm, name, list(getattr(litellm, name)))
    monkeypatch.setattr(litellm, "callbacks", [callback])

    async def ask(*, inside: bool) -> None:
        arguments = {"model": "gpt-4o-mini", "messages": MESSAGES, "mock_response": "yes"}
        if inside:
            with theirs.tracer.start_as_current_span("request"):
                await litellm.acompletion(**arguments)
        else:
            await litellm.acompletion(**arguments)
        await asyncio.wait_for(GLOBAL_LOGGING_WORKER.flush(), 60)

    def recorded(*, inside: bool) -> list[tuple[str, list[str]]]:
        theirs.exporter.clear()
        asyncio.run(ask(inside=inside))
        return sorted(
            (span.name, sorted(span.attributes)) for span in theirs.exporter.get_finished_spans()
        )

    with_bridge = recorded(inside=True), recorded(inside=False)
    assert len(ours.spans) == 2
    trace_litellm.autolog(disable=True)
    assert (recorded(inside=True), recorded(inside=False)) == with_bridge
    assert all(with_bridge)


def test_fastapi_httpx_and_our_call_are_one_trace(
    litellm: Any, provider: Provider, theirs: Theirs, ours: MemorySink
) -> None:
    """The incoming header, FastAPI's server span, our call, httpx's POST."""
    fastapi = pytest.importorskip("fastapi")
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.fastapi")
    httpx = pytest.importorskip("httpx")
    app = fastapi.FastAPI()

    @app.get("/ask")
    async def ask() -> str:
        answer = await litellm.acompletion(**options(provider, "otel-fastapi"))
        return str(answer.choices[0].message.content)

    instrumentation.FastAPIInstrumentor.instrument_app(app, tracer_provider=theirs.provider)

    async def visit() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            (await client.get("/ask", headers={"traceparent": CALLER})).raise_for_status()

    asyncio.run(visit())
    server = theirs.one("GET /ask")
    assert (ids(server)[0], ids(server)[2]) == (CALLER[3:35], CALLER[36:52])
    assert_chain(server, ours.spans[0], theirs.one("POST"))


@pytest.mark.slow
def test_nothing_is_imported() -> None:
    """Nothing of ours imports OpenTelemetry; some releases of LiteLLM do, on threads of theirs."""
    program = """
import sys
import litellm, trace_litellm
from trace_core import MemorySink

class Watch:
    importers = set()

    def find_spec(self, name, *_):
        frame = sys._getframe()
        if name.startswith("opentelemetry"):
            while frame.f_globals["__name__"] == __name__ or "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            self.importers.add(frame.f_globals["__name__"].partition(".")[0])

sys.meta_path.insert(0, Watch())
sink = MemorySink()
trace_litellm.autolog(sink)
litellm.completion("gpt-4o-mini", [{"role": "user", "content": "hi"}], mock_response="yes")
trace_litellm.autolog(disable=True)
ours = {name for name in Watch.importers if name.startswith("trace_")}
print(sorted(ours), len(sink.spans))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["[]", "1"]
