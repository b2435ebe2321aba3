"""Nesting with MLflow's own tracing, both ways, and what MLflow says at the moment of a call.

The one place that touches MLflow's private symbols. Each use is guarded: when a version of MLflow
has moved one, nesting or a default is lost, and said once; never a span. Nothing here imports
MLflow before the user's program has, and until then each method costs a dictionary look-up.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Container, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from trace_core import OpenSpan, Span, SpanContext, Value, after_fork, log_once, semconv
from trace_mlflow_sink import _destination as _where
from trace_mlflow_sink._mapping import chat_view as _messages
from trace_mlflow_sink._mapping import convert as _convert
from trace_mlflow_sink._mapping import names as _keys
from trace_mlflow_sink._mapping import safe as _safe
from trace_mlflow_sink._mapping import trace_info as _info

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

_NOTHING: Final[Mapping[str, Value]] = {}
_REGISTERED_SECONDS: Final = 15.0
"""How long MLflow's exporter may still need a trace of ours after its end; it waits 5 s itself."""
_OPEN_SECONDS: Final = 3600.0
"""How long a trace stays whose end we never see."""
_MOST_ADDITIONS: Final = 1_000
_MOST_CALLS: Final = 10_000
_SAMPLED: Final = 1
_LITELLMS_LOGGER: Final = "litellm.integrations.mlflow"
"""Where LiteLLM keeps what ``mlflow.litellm.autolog()`` and the callback ``mlflow`` record with."""


def _guarded(default: D) -> Callable[[Callable[P, R]], Callable[P, R | D]]:
    """Make a function return ``default`` when MLflow is not as expected, and say so once."""

    def decorate(function: Callable[P, R]) -> Callable[P, R | D]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | D:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                log_once(
                    f"bridge:{function.__name__}:{type(error).__name__}",
                    "tracing: MLflow is not as expected, %s is left out: %s: %s",
                    *(function.__name__, type(error).__name__, error),
                    error=error,
                )
                return default

        return guarded

    return decorate


def _nothing() -> None:
    return


class _Mlflow:
    """The parts of a fully imported MLflow that are used here."""

    def __init__(self) -> None:
        import mlflow
        from mlflow.tracing import fluent as tracing_fluent
        from mlflow.tracing import provider
        from mlflow.tracing.trace_manager import InMemoryTraceManager
        from mlflow.tracking import fluent as tracking_fluent
        from mlflow.tracking import is_tracking_uri_set
        from mlflow.utils.autologging_utils import get_autologging_config
        from opentelemetry import trace as otel

        self.mlflow: Any = mlflow
        self.provider: Any = provider
        # of MLflow 3.12 and newer; ``mlflow.tracing.context`` by name is a function
        self.context: Any = sys.modules.get("mlflow.tracing.context")
        self.tracing_fluent: Any = tracing_fluent
        self.tracking_fluent: Any = tracking_fluent
        self.is_tracking_uri_set: Callable[[], bool] = is_tracking_uri_set
        self.autologging_config: Any = get_autologging_config
        self.otel: Any = otel
        self.manager: Any = InMemoryTraceManager.get_instance
        self.nobody: Any = otel.INVALID_SPAN
        self.mirror: Any = _mirror_class(otel)
        self.ours: dict[Value, None] = {}
        """LiteLLM's ids of the last calls that we have recorded, oldest first."""
        self._guards_logger = False

    def current(self) -> Any:
        """Return the OpenTelemetry span that MLflow holds current; never ``None``."""
        return self.provider.get_current_otel_span()

    def record_once(self, call_id: Value) -> None:
        """Have ``mlflow.litellm.autolog()`` leave out a call that is recorded by us.

        Args:
            call_id: LiteLLM's id of the call.
        """
        module = sys.modules.get(_LITELLMS_LOGGER)
        if call_id is None or module is None:
            return
        if not self._guards_logger:
            self._guards_logger = True
            _leave_out_ours(self.ours, module)
        self.ours[call_id] = None
        while len(self.ours) > _MOST_CALLS:
            self.ours.pop(next(iter(self.ours), None), None)

    def tracking_uri(self) -> str | None:
        """Return the tracking URI if someone has set one; asks no file system."""
        return str(self.mlflow.get_tracking_uri()) if self.is_tracking_uri_set() else None

    def live_trace(self, otel_trace_id: int) -> str | None:
        """Return MLflow's id of a trace that is open in this process, if there is one."""
        found: str | None = self.manager().get_mlflow_trace_id_from_otel_id(otel_trace_id)
        return found


@_guarded(None)
def _load() -> _Mlflow:
    return _Mlflow()


@_guarded(None)
def _leave_out_ours(ours: Container[Value], module: Any) -> None:
    """Make MLflow's logger, which is a class of LiteLLM's, skip a call that is ours already.

    No list of callbacks is touched: the logger goes on with every call that is not ours.
    """
    for name in ("_handle_success", "_handle_failure"):
        original = getattr(module.MlflowLogger, name)
        setattr(module.MlflowLogger, name, _skipping(ours, original))


def _skipping(ours: Container[Value], original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def handle(self: object, kwargs: Mapping[str, Any], *rest: object) -> None:
        if kwargs.get("litellm_call_id") not in ours:
            original(self, kwargs, *rest)
            return
        log_once(
            "mlflow.litellm.autolog",
            "tracing: mlflow.litellm.autolog() is on as well; each call is recorded once, by "
            "trace_litellm. Remove mlflow.litellm.autolog(), or call trace_litellm.autolog("
            "disable=True) to have MLflow's record instead",
        )

    return handle


def _mirror_class(otel: Any) -> Any:
    """Make the class of spans that stand for ours in MLflow's context."""

    class Mirror(otel.NonRecordingSpan):  # type: ignore[misc]  # its base is known at run time only
        """Asked for its context when a span of MLflow starts below it: then its trace is needed."""

        def __init__(self, context: Any, needed: Callable[[int], None]) -> None:
            super().__init__(context)
            self._needed: Callable[[int], None] | None = needed

        def get_span_context(self) -> Any:
            context = super().get_span_context()
            needed, self._needed = self._needed, None
            if needed is not None:
                needed(context.trace_id)
            return context

    return Mirror


class MlflowBridge:
    """Connects a `trace_core.Tracer` with MLflow's tracing in the same process.

    Args:
        chooser: Where the sink writes to. With another store than MLflow's own tracing there is
            no nesting: half of each trace would be missing in both.
        experiment_id: Returns the id of the sink's own experiment, if it is known by now.
    """

    def __init__(
        self, chooser: _where.Chooser, experiment_id: Callable[[], str | None] = lambda: None
    ) -> None:
        self._chooser = chooser
        self._experiment_id = experiment_id
        self._found: _Mlflow | None = None
        self._failed = False
        self._same_store: tuple[str | None, bool] | None = None
        self._portable: tuple[str, str] = ("", "")
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._registered: dict[int, float] = {}
        self._additions: dict[str, dict[str, Value]] = {}

    def _mlflow(self) -> _Mlflow | None:
        """Return MLflow if the program has imported it and the import is done."""
        module = sys.modules.get("mlflow")
        if module is None:
            return None
        if self._found is None and not self._failed:
            if getattr(module.__spec__, "_initializing", False):
                return None  # another thread is still importing it
            self._found = _load()
            self._failed = self._found is None
        return self._found

    def _nests(self, found: _Mlflow) -> bool:
        if self._chooser.uri is None:
            return True
        told = found.tracking_uri()
        if self._same_store is None or self._same_store[0] != told:
            theirs = self._chooser.absolute(told or _where.DEFAULT_DATABASE)
            self._same_store = (told, theirs == self._chooser.absolute(self._chooser.uri))
        return self._same_store[1]

    @_guarded(None)
    def parent(self) -> SpanContext | None:
        """Return MLflow's current span, local or remote; ``None`` where that is one of ours."""
        found = self._mlflow()
        if found is None:
            return None
        span = found.current()
        if span is found.nobody or type(span) is found.mirror:
            return None
        context = span.get_span_context()
        if not context.is_valid or not self._nests(found):
            return None
        return SpanContext(f"{context.trace_id:032x}", f"{context.span_id:016x}")

    @_guarded(_NOTHING)
    def attributes(self) -> Mapping[str, Value]:
        """Return what MLflow says right now: where to, which run, who, and whether at all."""
        found = self._mlflow()
        if found is None:
            return _NOTHING
        said: dict[str, Value] = {}
        current = found.current()
        _note_context(found, current, said)
        uri = found.tracking_uri()
        if uri is not None:
            said[_keys.TRACKING_URI] = self._travelling(uri)
        if not self._nests(found):
            return said
        if not _note_live_trace(found, current, said):
            _note_experiment(found, said)
        return said

    def _travelling(self, uri: str) -> str:
        if self._portable[0] != uri:
            self._portable = (uri, _where.portable(uri))
        return self._portable[1]

    @_guarded(_nothing)
    def enter(self, span: OpenSpan) -> Callable[[], None]:
        """Make our span MLflow's current one.

        Args:
            span: Our span.

        Returns:
            A function that undoes it, in the same thread or task.
        """
        found = self._mlflow()
        if found is None or not self._nests(found):
            return _nothing
        found.record_once(span.attributes.get(_keys.LITELLM_CALL_ID))
        otel, context = found.otel, span.context
        ours = otel.SpanContext(
            int(context.trace_id, 16),
            int(context.span_id, 16),
            is_remote=True,
            trace_flags=otel.TraceFlags(_SAMPLED),
        )
        api = found.provider.get_context_api()
        inside = otel.set_span_in_context(
            found.mirror(ours, self._register), found.provider.get_current_context()
        )
        token = api.attach(inside)
        return lambda: _detach(api, token)

    @_guarded(None)
    def _register(self, otel_trace_id: int) -> None:
        """Tell MLflow of a trace of ours, so that it keeps the spans it starts in it."""
        found = self._mlflow()
        if found is None or found.live_trace(otel_trace_id) is not None:
            return
        from mlflow.entities.trace_info import TraceInfo
        from mlflow.entities.trace_location import TraceLocation
        from mlflow.entities.trace_state import TraceState

        said: dict[str, Value] = {}
        _note_experiment(found, said)
        experiment = self._experiment_id() or said.get(_keys.EXPERIMENT_ID)
        info = TraceInfo(
            trace_id=f"tr-{otel_trace_id:032x}",
            # unknown: MLflow's exporter finds it out, in its own thread
            trace_location=TraceLocation.from_experiment_id(experiment) if experiment else None,  # type: ignore[arg-type]
            request_time=time.time_ns() // 1_000_000,
            state=TraceState.IN_PROGRESS,
            tags={_keys.TAG_SPANS_LOCATION: "TRACKING_STORE"},
        )
        self.sweep()
        found.manager().register_trace(otel_trace_id, info, is_remote_trace=True)
        with self._lock:
            self._registered[otel_trace_id] = time.monotonic() + _OPEN_SECONDS

    @_guarded(None)
    def ended(self, span: Span) -> None:
        """Put a finished span into MLflow's live trace, or note the end of a trace of ours.

        Args:
            span: A finished span of ours.
        """
        found = self._mlflow()
        if found is None or not self._nests(found):
            return
        otel_trace_id = int(span.trace_id, 16)
        if otel_trace_id in self._registered:
            self._note_end(found, span, otel_trace_id)
        elif found.live_trace(otel_trace_id) is not None:
            _inject(found, span)
        if span.parent_id is None:
            found.tracing_fluent._set_last_active_trace_id(f"tr-{span.trace_id}")  # noqa: SLF001

    def _note_end(self, found: _Mlflow, span: Span, otel_trace_id: int) -> None:
        """Take over what ``mlflow.update_current_trace`` said while our root was open."""
        if span.parent_id is not None:
            return
        with found.manager().get_trace(f"tr-{span.trace_id}") as trace:
            if trace is not None:
                added: dict[str, Value] = {
                    _keys.TAGS: _users_own(trace.info.tags),
                    _keys.METADATA: dict(trace.info.trace_metadata),
                    _keys.INFO: _changed(trace.info),
                }
                if any(added.values()) and len(self._additions) < _MOST_ADDITIONS:
                    self._additions[span.trace_id] = added
        with self._lock:
            self._registered[otel_trace_id] = time.monotonic() + _REGISTERED_SECONDS

    def additions(self, trace_id: str) -> Mapping[str, Value]:
        """Return what was said of a trace of ours through MLflow, to go with its root.

        Args:
            trace_id: The trace.
        """
        return self._additions.get(trace_id, _NOTHING)

    def forget(self, trace_id: str) -> None:
        """Forget `additions` once they are written.

        Args:
            trace_id: The trace.
        """
        self._additions.pop(trace_id, None)

    @_guarded(None)
    def sweep(self) -> None:
        """Take traces that ended a while ago out of MLflow's memory, which holds 1000."""
        if not self._registered:
            return
        found, now = self._mlflow(), time.monotonic()
        with self._lock:
            over = [trace for trace, until in self._registered.items() if until < now]
        for otel_trace_id in over:
            if found is not None and not found.manager().has_open_spans(otel_trace_id):
                with self._lock:
                    self._registered.pop(otel_trace_id, None)
                found.manager().pop_trace(otel_trace_id)


def _detach(api: Any, token: Any) -> None:
    try:
        api.detach(token)
    except ValueError:
        return  # closed in another context than it was opened in: that one is gone


@_guarded(None)
def _note_context(found: _Mlflow, current: Any, said: dict[str, Value]) -> None:
    """Note ``mlflow.tracing.context(...)``, and whether tracing is switched off."""
    if _is_off(found, current):
        said[_keys.DISABLED] = True
    if found.autologging_config("mlflow", "disable", False):  # positional there
        said[_keys.AUTOLOG_DISABLED] = True
    declared = found.context and found.context._USER_TRACE_CONTEXT.get()  # noqa: SLF001
    if not declared:
        return
    if declared.enabled is False:
        said[_keys.DISABLED] = True
    if declared.metadata:
        said[_keys.METADATA] = dict(declared.metadata)
    if declared.tags:
        said[_keys.TAGS] = dict(declared.tags)


def _is_off(found: _Mlflow, current: Any) -> bool:
    """Tell whether ``mlflow.tracing.disable()`` is in force, or the current trace not sampled."""
    if isinstance(found.provider.provider.get(), found.otel.NoOpTracerProvider):
        return True
    if current is found.nobody or type(current) is found.mirror:
        return False
    context = current.get_span_context()
    return bool(context.is_valid and not context.trace_flags & _SAMPLED)


@_guarded(default=False)
def _note_live_trace(found: _Mlflow, current: Any, said: dict[str, Value]) -> bool:
    """Note that we are in a trace of MLflow's; say whether its experiment is known."""
    if current is found.nobody:
        return False
    if type(current) is not found.mirror:
        said[_keys.LIVE] = True  # though it may be over, or of another process
    trace_id = found.live_trace(current._context.trace_id)  # noqa: SLF001  # a mirror would register
    if trace_id is None:
        return False
    with found.manager().get_trace(trace_id) as trace:
        if trace is None or trace.is_remote_trace:
            return False
        said[_keys.LIVE] = True
        said[_keys.EXPERIMENT_ID] = str(trace.info.experiment_id)
        if getattr(trace, "workspace", None):
            said[_keys.WORKSPACE] = str(trace.workspace)
    return True


@_guarded(None)
def _note_experiment(found: _Mlflow, said: dict[str, Value]) -> None:
    """Note the experiment and run as MLflow chooses them, but asking no server."""
    run = _active_run(found)
    if run is not None:
        said[_keys.RUN_ID] = str(run.info.run_id)
    destination = found.provider._MLFLOW_TRACE_USER_DESTINATION.get()  # noqa: SLF001
    chosen = (
        getattr(destination, "experiment_id", None)
        or (run.info.experiment_id if run is not None else None)
        or found.tracking_fluent._active_experiment_id  # noqa: SLF001
    )
    if chosen is not None:
        said[_keys.EXPERIMENT_ID] = str(chosen)


def _active_run(found: _Mlflow) -> Any:
    """Return this thread's run, else the only one there is.

    MLflow takes the latest of any thread, which links traces to runs of others.
    """
    run = found.mlflow.active_run()
    if run is not None:
        return run
    stacks = found.tracking_fluent._active_run_stack.get_all_thread_values()  # noqa: SLF001
    active = [stack for stack in stacks.values() if stack]
    return active[0][-1] if len(active) == 1 else None


def _users_own(tags: Mapping[str, str]) -> dict[str, Value]:
    kept = _keys.TAG_LINKED_PROMPTS  # by ``mlflow.genai.load_prompt`` in a traced function
    return {k: v for k, v in tags.items() if not k.startswith("mlflow.") or k == kept}


def _changed(info: Any) -> dict[str, Value]:
    """Return what ``mlflow.update_current_trace`` has set on a trace, of what it can set."""
    names = ("request_preview", "response_preview", "client_request_id")
    said: dict[str, Value] = {name: getattr(info, name, None) for name in names}
    state = getattr(info.state, "value", info.state)
    said["state"] = None if state == _info.IN_PROGRESS else state
    return {name: str(value) for name, value in said.items() if value is not None}


def _inject(found: _Mlflow, span: Span) -> None:
    """Put a finished span into a live trace, so that MLflow's totals count it.

    It is sent by the sink as well: what is injected alone would never be stored.
    """
    from mlflow.entities.span import LiveSpan
    from mlflow.entities.span import Span as MlflowSpan
    from opentelemetry.sdk.trace import ReadableSpan

    otel, trace_id = found.otel, f"tr-{span.trace_id}"
    flags = otel.TraceFlags(_SAMPLED)

    def context(span_id: str) -> Any:
        return otel.SpanContext(
            int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags
        )

    readable = ReadableSpan(
        name=_safe.cut(span.name, _convert.LONGEST_NAME),
        context=context(span.span_id),
        parent=context(span.parent_id) if span.parent_id else None,
        start_time=span.start_ns,
        end_time=span.end_ns,
        attributes=_injected_attributes(span, trace_id),
        status=otel.Status(otel.StatusCode[span.status.code.value]),
    )
    live: Any = LiveSpan.__new__(LiveSpan)
    init: Any = MlflowSpan.__init__
    init(live, readable)
    manager = found.manager()
    with manager.get_trace(trace_id) as trace:
        if trace is not None:
            manager.register_span(live)
            _tell_live_trace(trace.info, span)


def _injected_attributes(span: Span, trace_id: str) -> dict[str, str]:
    """Return what MLflow's roll-up reads, without content: that is sent by the sink alone."""
    usage = _convert.token_usage(span) or _messages.told_usage(span.outputs)
    found = {
        _keys.TRACE_REQUEST_ID: trace_id,
        _keys.SPAN_TYPE: _convert.span_type(span),
        _keys.CHAT_TOKEN_USAGE: usage if _convert.is_model_call(span) else None,
        _keys.LLM_COST: _convert.cost(span),
    }
    return {key: _safe.json_text(value) for key, value in found.items() if value is not None}


def _tell_live_trace(info: Any, span: Span) -> None:
    """Give a live trace the session, user and tags of a call in it, where it has none."""
    for name, key in (
        (semconv.SESSION_ID, _keys.METADATA_SESSION),
        (semconv.USER_ID, _keys.METADATA_USER),
    ):
        value = span.attributes.get(name)
        if value is not None:
            info.trace_metadata.setdefault(key, _safe.cut_id(value, _convert.LONGEST_SESSION))
    for key, tag in _convert.own_tags(span).items():
        info.tags.setdefault(key, tag)
