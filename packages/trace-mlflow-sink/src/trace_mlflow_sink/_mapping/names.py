"""MLflow's attribute, tag and metadata names, and our private ones; nobody spells one elsewhere."""

from __future__ import annotations

from typing import Final

# On spans, read by MLflow's UI and its roll-up
SPAN_TYPE: Final = "mlflow.spanType"
SPAN_INPUTS: Final = "mlflow.spanInputs"
SPAN_OUTPUTS: Final = "mlflow.spanOutputs"
CHAT_TOOLS: Final = "mlflow.chat.tools"
CHAT_TOKEN_USAGE: Final = "mlflow.chat.tokenUsage"  # noqa: S105  # tokens to be counted, no secret
MESSAGE_FORMAT: Final = "mlflow.message.format"
LLM_COST: Final = "mlflow.llm.cost"
LLM_MODEL: Final = "mlflow.llm.model"
LLM_PROVIDER: Final = "mlflow.llm.provider"
TRACE_REQUEST_ID: Final = "mlflow.traceRequestId"
TAG_PREFIX: Final = "mlflow.traceTag."
"""On the root span: becomes a tag of the trace."""

# Tags and metadata of a trace
TAG_TRACE_NAME: Final = "mlflow.traceName"
TAG_LINKED_PROMPTS: Final = "mlflow.linkedPrompts"
"""Versions of the prompt registry that were loaded in the trace: JSON, names and versions."""
TAG_SPANS_LOCATION: Final = "mlflow.trace.spansLocation"
METADATA_SESSION: Final = "mlflow.trace.session"
METADATA_USER: Final = "mlflow.trace.user"
METADATA_TOKEN_USAGE: Final = "mlflow.trace.tokenUsage"  # noqa: S105  # the same
METADATA_COST: Final = "mlflow.trace.cost"
METADATA_SOURCE_RUN: Final = "mlflow.sourceRun"
METADATA_MODEL_ID: Final = "mlflow.modelId"
METADATA_FINAL: Final = "mlflow.trace.infoFinalized"
"""From then on, what later spans add to a total that is there already is not counted."""
METADATA_SIZE_STATS: Final = "mlflow.trace.sizeStats"
METADATA_SIZE_BYTES: Final = "mlflow.trace.sizeBytes"
METADATA_INPUTS: Final = "mlflow.traceInputs"
METADATA_OUTPUTS: Final = "mlflow.traceOutputs"
METADATA_PROGRAM: Final = "mlflow.source.name"
METADATA_PROGRAM_TYPE: Final = "mlflow.source.type"
METADATA_PROGRAM_USER: Final = "mlflow.user"
METADATA_SCHEMA: Final = "mlflow.trace_schema.version"

# On events
CHUNK_EVENT: Final = "mlflow.chunk.item.{}"
CHUNK_VALUE: Final = "mlflow.chunk.value"

# Ours, beside the names of trace_core.semconv
COST_SAVED: Final = "trace.cost.saved"
"""What a cache hit would have cost, in USD."""
USAGE_SOURCE: Final = "trace.usage.source"
"""``estimated`` when the provider did not report token counts; also a tag of the trace."""
TAG_ENDING: Final = "trace.ending"
"""A tag: how a call ended that was neither completed nor simply failed."""

AUTOMATIC: Final = "trace_litellm"
"""Begins the scope of spans that ``mlflow.autolog(disable=True)`` is about."""
LITELLM_CALL_ID: Final = "litellm.call_id"
"""From its start on a span that records a call of LiteLLM's."""

# Private: what the bridge saw at the moment of the call. Consumed here, never written to MLflow.
PRIVATE_PREFIX: Final = "trace.mlflow."
TRACKING_URI: Final = "trace.mlflow.tracking_uri"
EXPERIMENT_ID: Final = "trace.mlflow.experiment_id"
EXPERIMENT: Final = "trace.mlflow.experiment"
"""The experiment's name, where its id is not known."""
RUN_ID: Final = "trace.mlflow.run_id"
MODEL_ID: Final = "trace.mlflow.model_id"
"""The model of ``mlflow.set_active_model``."""
SPAN_PROCESSORS: Final = "trace.mlflow.span_processors"
"""Names the functions of ``mlflow.tracing.configure(span_processors=...)``."""
WORKSPACE: Final = "trace.mlflow.workspace"
METADATA: Final = "trace.mlflow.metadata"
TAGS: Final = "trace.mlflow.tags"
INFO: Final = "trace.mlflow.info"
"""What ``mlflow.update_current_trace`` said beyond tags and metadata."""
SOURCE: Final = "trace.mlflow.source"
"""What the trace's metadata says of the program: file, user, commit."""
TYPE: Final = "trace.mlflow.type"
"""The span's type in MLflow, where it does not follow from its kind."""
OTEL_TRACE_ID: Final = "otel.trace_id"
"""The trace of OpenTelemetry's that a call was made in, if MLflow does not have that."""
OTEL_PARENT_ID: Final = "otel.parent_id"
LIVE: Final = "trace.mlflow.live"
"""The span lies in a trace that MLflow itself will finish and write."""
AUTOLOG_DISABLED: Final = "trace.mlflow.autolog_disabled"
DISABLED: Final = "trace.mlflow.disabled"
