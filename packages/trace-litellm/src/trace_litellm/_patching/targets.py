"""The table of LiteLLM's functions that are traced. Adding one is one line in `TARGETS`."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import attrs

from trace_core import SpanKind


class Shape(enum.Enum):
    """What a target's functions look like, checked before they are touched."""

    CLIENT = "made by @client, or dispatching to one that is"
    PLAIN = "an ordinary function"
    EITHER = "one or the other, depending on the release"
    STREAM = "an async generator function"


@attrs.frozen
class Target:
    """One of LiteLLM's entry points.

    Args:
        name: What its spans are called; the model follows.
        places: Where it is defined, as ``module:attribute``. Which exist depends on the release;
            the public one of 1.104 and later dispatches to the older one, and both are patched.
        family: Which reader understands it; see `trace_litellm._reading.endpoints`.
        kind: The kind of its spans.
        operation: ``gen_ai.operation.name`` of its spans.
        twin: The sync function whose signature names its positional arguments; itself by default.
        shape: What its functions must look like.
        parent: Whether its spans hold others and have no content and no cost of their own.
        core: Whether every release has it, with at least one function made by ``@client``.
        takes_id: Whether it takes a call's id, as it takes any keyword; found out when looked up.
        request: The parameter that holds the caller's parameters in a mapping, if one does.
        needs: Positional parameters without which it is not the function we know.
    """

    name: str
    places: tuple[str, ...]
    family: str
    kind: SpanKind
    operation: str
    twin: str | None = None
    shape: Shape = Shape.CLIENT
    parent: bool = False
    core: bool = False
    takes_id: bool = True
    request: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def call_types(self) -> frozenset[str]:
        """What LiteLLM calls it, in what it tells callbacks."""
        return frozenset(place.rpartition(":")[2] for place in self.places)


def _both(
    name: str, modules: Sequence[str], family: str, kind: SpanKind, operation: str, **more: Any
) -> tuple[Target, Target]:
    """Name a function and its async twin, ``a`` in front."""
    twin = f"{modules[-1]}:{name}"
    sync = Target(
        more.pop("title", name), _in(modules, name), family, kind, operation, **more, twin=twin
    )
    return sync, attrs.evolve(sync, places=_in(modules, f"a{name}"))


def _in(modules: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(f"{module}:{name}" for module in modules)


def _rest(module: str, *names: str) -> tuple[Target, ...]:
    """Name management calls, traced by what goes in and comes out alone."""
    place = module.removeprefix("litellm.").removesuffix(".main").removesuffix(".endpoint_factory")
    return tuple(
        target
        for name in names
        for target in _both(
            name,
            (module,),
            "any",
            SpanKind.INTERNAL,
            name,
            title=f"{place}.{name}",
            shape=Shape.EITHER,
        )
    )


def _router(place: str, *names: str, request: str | None = None) -> tuple[Target, ...]:
    """Name methods of the Router; their calls to providers are spans below theirs."""
    return tuple(
        Target(
            "router",
            (f"{place}.{name}",),
            "router",
            SpanKind.CHAIN,
            "router",
            shape=Shape.PLAIN,
            parent=True,
            request=request,
        )
        for name in names
    )


def _plain(place: str, family: str, kind: SpanKind, operation: str, **more: Any) -> Target:
    name = more.pop("title", place.rpartition(":")[2])
    return Target(name, (place,), family, kind, operation, shape=Shape.PLAIN, **more)


def _lone(name: str, *places: str, kind: SpanKind, operation: str, **more: Any) -> Target:
    """Name a function that has no twin."""
    return Target(name, places, more.pop("family", "any"), kind, operation, **more)


def _within(packages: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(f"{package}.{name}" for package in packages)


_LLM, _TOOL, _AGENT = SpanKind.LLM, SpanKind.TOOL, SpanKind.AGENT
_MAIN = "litellm.main"
_MESSAGES = (
    "litellm.messages.dispatch",
    "litellm.llms.anthropic.messages.native.handler",
    "litellm.llms.anthropic.experimental_pass_through.messages.handler",
    "litellm.llms.anthropic.pass_through.messages.handler",
)
RENAMED: Final = {_MESSAGES[3]: _MESSAGES[1]}
"""New names of modules by the old ones, which warn in releases that have both."""
_IMAGES = (_MAIN, "litellm.images.main")
_ROUTER_CORE = "litellm.router_rust.core"
_ROUTER_ENDPOINTS = "litellm.router_rust.invoke.endpoints"
_REALTIME = "litellm.realtime_api.main"
_ASSISTANTS = "litellm.assistants.main"
_SANDBOX = "litellm.sandbox.main"
_A2A = "litellm.a2a_protocol.main"
_MCP_CLIENTS = ("litellm.mcp_client", "litellm.experimental_mcp_client")
_MCP, _MCP_TOOLS = (_within(_MCP_CLIENTS, name) for name in ("client", "tools"))
_GATEWAY = (
    "litellm.proxy.mcp_server.operations",
    "litellm.proxy._experimental.mcp_server.operations",
    "litellm.proxy._experimental.mcp_server.server",
)

TARGETS: Final[tuple[Target, ...]] = (
    # what people call models with
    *_both(
        "completion", ("litellm.chat_completions.dispatch", "litellm", _MAIN), "chat", _LLM, "chat",
        title="chat", core=True, needs=("model", "messages"),
    ),
    *_both("text_completion", (_MAIN,), "text", _LLM, "text_completion"),
    *_both(
        "embedding", ("litellm.embeddings.dispatch", "litellm", _MAIN), "embedding",
        SpanKind.EMBEDDING, "embeddings", title="embeddings", core=True, needs=("model", "input"),
    ),
    *_both(
        "responses", ("litellm.responses.dispatch", "litellm.responses.main"), "responses", _LLM,
        "chat",
    ),
    *_both("compact_responses", ("litellm.responses.main",), "responses", _LLM, "chat"),
    Target("messages", _in(_MESSAGES, "anthropic_messages"), "messages", _LLM, "chat"),
    Target("messages", _in(_MESSAGES[:1], "anthropic_messages_handler"), "messages", _LLM, "chat",
        shape=Shape.EITHER),  # a plain function elsewhere, called by the one above
    *_both("generate_content", ("litellm.google_genai.main",), "google", _LLM, "generate_content"),
    *_both(
        "generate_content_stream", ("litellm.google_genai.main",), "google", _LLM,
        "generate_content", title="generate_content",
    ),
    *_both("create", ("litellm.interactions.main",), "responses", _LLM, "chat",
        title="interactions"),
    *_both("image_generation", _IMAGES, "any", SpanKind.IMAGE, "image_generation"),
    *_both("image_edit", _IMAGES, "any", SpanKind.IMAGE, "image_edit"),
    *_both("image_variation", _IMAGES, "any", SpanKind.IMAGE, "image_variation"),
    *_both("transcription", (_MAIN,), "any", SpanKind.AUDIO, "transcription"),
    *_both("speech", (_MAIN,), "speech", SpanKind.AUDIO, "speech"),
    _plain(f"{_MAIN}:moderation", "any", SpanKind.MODERATION, "moderation"),
    Target(
        "moderation", (f"{_MAIN}:amoderation",), "any", SpanKind.MODERATION, "moderation",
        twin=f"{_MAIN}:moderation",
    ),
    *_both("rerank", ("litellm.rerank_api.main",), "any", SpanKind.RERANKER, "rerank"),
    *_both("ocr", ("litellm.ocr.dispatch", "litellm.ocr.main"), "any", _TOOL, "ocr",
        shape=Shape.EITHER),
    *_both("search", ("litellm.search.main",), "any", SpanKind.RETRIEVER, "retrieval",
        title="search"),
    *_both("search", ("litellm.vector_stores.main",), "any", SpanKind.RETRIEVER, "retrieval",
        title="vector_store_search"),
    *_both("query", ("litellm.rag.main",), "any", SpanKind.CHAIN, "retrieval", title="rag.query",
        parent=True),
    *_both("ingest", ("litellm.rag.main",), "any", SpanKind.CHAIN, "ingest", title="rag.ingest",
        parent=True),
    *_both("decisions", ("litellm.decisions.main",), "any", _LLM, "decisions"),
    *_both("extraction", ("litellm.extraction.main",), "any", _LLM, "extraction"),
    *_both("systemone", ("litellm.systemone.main",), "any", _LLM, "systemone"),
    Target("passthrough", ("litellm.passthrough.main:llm_passthrough_route",), "any", _LLM,
        "passthrough"),
    Target("passthrough", ("litellm.passthrough.main:allm_passthrough_route",), "any", _LLM,
        "passthrough"),
    *(
        _lone(name.removeprefix("a"), f"{_SANDBOX}:{name}", kind=_TOOL, operation="execute_tool")
        for name in ("acreate_sandbox", "arun_code", "adelete_sandbox", "acode_interpreter_tool")
    ),
    # sessions of the proxy's, each one span from its opening to its end
    _lone("realtime", f"{_REALTIME}:_arealtime", kind=_LLM, operation="chat", family="session"),
    _lone("realtime.calls", f"{_REALTIME}:arealtime_calls", kind=_LLM, operation="chat"),
    _lone("realtime.calls", f"{_REALTIME}:arealtime_translation_calls", kind=_LLM,
        operation="chat"),
    _lone("responses.websocket", "litellm.responses.main:_aresponses_websocket", kind=_LLM,
        operation="chat", family="session"),
    # agents and tools elsewhere
    _lone("a2a.send_message", f"{_A2A}:asend_message", kind=_AGENT, operation="invoke_agent",
        parent=True),
    _lone("a2a.send_message", f"{_A2A}:send_message", kind=_AGENT, operation="invoke_agent",
        parent=True, twin=f"{_A2A}:asend_message"),
    _lone("a2a.send_message_streaming", f"{_A2A}:asend_message_streaming", kind=_AGENT,
        operation="invoke_agent", parent=True, shape=Shape.STREAM),
    _lone("mcp.gateway", *_in(_GATEWAY, "call_mcp_tool"), kind=_TOOL, operation="execute_tool",
        family="tool", parent=True),
    *(
        _lone("mcp.call_tool", *places, kind=_TOOL, operation="execute_tool", family="tool",
            shape=Shape.PLAIN)
        for places in (_in(_MCP, "MCPClient.call_tool"), _in(_MCP_TOOLS, "call_openai_tool"))
    ),
    _lone("mcp.list_tools", *_in(_MCP_TOOLS, "load_mcp_tools"), kind=SpanKind.INTERNAL,
        operation="list_tools", shape=Shape.PLAIN),
    # what calls those several times
    *(
        _plain(f"litellm.batch_completion.main:{name}", "batch", SpanKind.CHAIN, name, parent=True)
        for name in (
            "batch_completion", "batch_completion_models", "batch_completion_models_all_responses",
        )
    ),
    _plain("litellm.tool_loop:run_tool_loop", "any", _AGENT, "invoke_agent", parent=True),
    _plain("litellm.tool_loop:arun_tool_loop", "any", _AGENT, "invoke_agent", parent=True),
    *_router(
        "litellm.router:Router",
        "completion", "acompletion", "text_completion", "atext_completion", "embedding",
        "aembedding", "image_generation", "aimage_generation", "atranscription", "aspeech",
        "arerank", "abatch_completion", "abatch_completion_one_model_multiple_requests",
        "abatch_completion_fastest_response", "schedule_acompletion", "aadapter_completion",
        "_ageneric_api_call_with_fallbacks", "_generic_api_call_with_fallbacks",
        "_aresponses_with_streaming_fallbacks", "_pass_through_moderation_endpoint_factory",
        "_asearch_with_fallbacks", "_init_vector_store_api_endpoints",
        "async_function_with_fallbacks", "function_with_fallbacks",
    ),
    # the Router of 1.108 and later, most of whose methods are made when they are asked for
    *_router(f"{_ROUTER_CORE}:RustCore", "_drive", "_call_sync", request="request"),
    *_router(
        f"{_ROUTER_ENDPOINTS}:RustEndpoints",
        "abatch_completion", "abatch_completion_one_model_multiple_requests",
        "abatch_completion_fastest_response", "schedule_acompletion", "aadapter_completion",
    ),
    # management: rare, told by what goes in and comes out
    *_rest("litellm.responses.main", "get_responses", "delete_responses", "cancel_responses",
        "list_input_items"),
    *_rest("litellm.videos.main", "video_generation", "video_content", "video_remix", "video_list",
        "video_status", "video_create_character", "video_get_character", "video_edit",
        "video_extension"),
    *_rest("litellm.files.main", "create_file", "file_retrieve", "file_delete", "file_list",
        "file_content"),
    *_rest("litellm.batches.main", "create_batch", "retrieve_batch", "list_batches",
        "cancel_batch"),
    *_rest("litellm.fine_tuning.main", "create_fine_tuning_job", "cancel_fine_tuning_job",
        "retrieve_fine_tuning_job", "list_fine_tuning_jobs"),
    *_rest("litellm.vector_stores.main", "create", "retrieve", "list", "update", "delete"),
    *_rest("litellm.vector_store_files.main", "create", "list", "retrieve", "retrieve_content",
        "update", "delete"),
    *_rest("litellm.interactions.main", "get", "delete", "cancel"),
    *_rest("litellm.interactions.agents.main", "create", "list", "get", "delete", "list_versions"),
    *_rest("litellm.containers.main", "create_container", "list_containers", "retrieve_container",
        "delete_container", "list_container_files", "upload_container_file"),
    *_rest("litellm.containers.endpoint_factory", "list_container_files", "upload_container_file",
        "retrieve_container_file", "delete_container_file", "retrieve_container_file_content"),
    *_rest(_ASSISTANTS, "get_assistants", "create_assistants", "delete_assistant", "create_thread",
        "get_thread", "get_messages", "run_thread"),
    *(
        _plain(f"{_ASSISTANTS}:{name}", "any", SpanKind.INTERNAL, "add_message",
            title="assistants.add_message", twin=f"{_ASSISTANTS}:add_message")
        for name in ("add_message", "a_add_message")
    ),
    _plain(f"{_MAIN}:acount_tokens", "any", SpanKind.INTERNAL, "count_tokens",
        title="count_tokens"),
    *_rest("litellm.skills.main", "create_skill", "list_skills", "get_skill", "delete_skill"),
    *_rest("litellm.evals.main", "create_eval", "list_evals", "get_eval", "update_eval",
        "delete_eval", "cancel_eval", "create_run", "list_runs", "get_run", "cancel_run",
        "delete_run"),
)  # fmt: skip

_counted: Final = Counter(name for target in TARGETS for name in target.call_types)
UNAMBIGUOUS: Final = frozenset(name for name, times in _counted.items() if times == 1)
"""Names that are those of one target alone; others, such as ``create``, are in several modules."""

_WEBSOCKETS: Final = "starlette.websockets"
LATE: Final = frozenset(
    {_A2A, *_MCP, *_MCP_TOOLS, *_GATEWAY, _ROUTER_CORE, _ROUTER_ENDPOINTS, _WEBSOCKETS}
)
"""Modules that few programs need and that take long to import, or want other packages.

What is in them is patched where the program has imported them, or when it does.
"""
CLOSE_SESSION: Final = f"{_WEBSOCKETS}:WebSocket.close"
"""How the proxy's sessions tell their client that they have failed; they raise nothing."""
PRE_CALL: Final = "litellm.litellm_core_utils.litellm_logging:Logging.pre_call"
"""Called before every request to a provider, with the endpoint and the headers."""
RUN_ASYNC: Final = "litellm.litellm_core_utils.asyncify:run_async_function"
"""Runs a coroutine function for a sync one, on another thread where a loop is running."""
RETRIES: Final = tuple(
    f"{_MAIN}:{name}_with_retries"
    for name in ("completion", "acompletion", "responses", "aresponses")
)
"""Call a function again until it succeeds. Called while the first failure is being handled."""
ESTIMATES: Final = ("litellm.responses.streaming_iterator:_estimate_usage_safely",)
"""Estimate the usage of a Responses stream whose provider reported none; releases from 1.106 on."""
PARTLY_KEPT: Final = tuple(
    f"litellm.caching.caching_handler:LLMCachingHandler.{name}_cached_embedding_response_with_api_result"
    for name in ("combine", "_combine")
)
"""Put embeddings from the cache and those of the provider into one answer."""
SDK_RETRIES: Final = tuple(
    f"openai._base_client:{client}._sleep_for_retry"
    for client in ("SyncAPIClient", "AsyncAPIClient")
)
"""Where the OpenAI SDK waits before it sends a request again; LiteLLM is told nothing of it."""
COOLDOWNS: Final = (
    "litellm.router_utils.cooldown_handlers:set_cooldown_deployments",
    "litellm.router_utils.cooldown_handlers:_set_cooldown_deployments",
)
"""Take a failing deployment of a Router out of use for a while, and say whether they did."""
