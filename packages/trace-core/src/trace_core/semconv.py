"""The names of all attributes and events that spans carry.

Names follow the OpenTelemetry GenAI semantic conventions where one exists; ours beyond those
begin with ``trace.``. The conventions are still in development and may rename attributes: a
span's scope says which version it was written with.

Source: semantic-conventions v1.41.1, the last release with the full GenAI text, and names that
its successor, semantic-conventions-genai, has added since.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "1.41.1"
"""Version of the conventions these names are taken from."""

# What was asked for
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"
OUTPUT_TYPE: Final = "gen_ai.output.type"
CONVERSATION_ID: Final = "gen_ai.conversation.id"

# What came back
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
"""Seconds, as a float."""
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
USAGE_TOTAL_TOKENS: Final = "trace.usage.total_tokens"
USAGE_AUDIO_INPUT_TOKENS: Final = "trace.usage.audio.input_tokens"
USAGE_AUDIO_OUTPUT_TOKENS: Final = "trace.usage.audio.output_tokens"
USAGE_SOURCE: Final = "trace.usage.source"
"""``estimated`` where the counts are not the provider's."""
USAGE_INPUT_SOURCE: Final = "trace.usage.input_source"
"""Where the input tokens come from, where that differs from the output tokens: ``provider``,
``estimated`` or ``missing``."""
USAGE_OUTPUT_SOURCE: Final = "trace.usage.output_source"

# What was said, as JSON
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
RETRIEVAL_QUERY_TEXT: Final = "gen_ai.retrieval.query.text"
RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"

# Of OpenAI's API alone
OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"

# Agents and tools
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
AGENT_VERSION: Final = "gen_ai.agent.version"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
TOOL_TYPE: Final = "gen_ai.tool.type"
"""What runs the tool: function, extension or datastore."""
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
PROMPT_NAME: Final = "gen_ai.prompt.name"
DATA_SOURCE_ID: Final = "gen_ai.data_source.id"

# Evaluations
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

# Where it went
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
URL_FULL: Final = "url.full"
"""The endpoint, without query, fragment or credentials."""
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"

# Errors
ERROR_TYPE: Final = "error.type"
ERROR_TYPE_OTHER: Final = "_OTHER"
"""The type of an error of which none is known."""
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

# Who asked
SESSION_ID: Final = "session.id"
USER_ID: Final = "user.id"
SERVICE_NAME: Final = "service.name"

# Ours
KIND: Final = "trace.kind"
"""The kind of a span, where a format has no field for it."""
INPUTS: Final = "trace.inputs"
"""What went in that no other attribute holds, as JSON."""
OUTPUTS: Final = "trace.outputs"
"""What came out that no other attribute holds, as JSON."""
COST_INPUT: Final = "trace.cost.input"
"""In USD, as are the other three."""
COST_OUTPUT: Final = "trace.cost.output"
COST_TOTAL: Final = "trace.cost.total"
COST_SAVED: Final = "trace.cost.saved"
"""What a cache hit would have cost."""
TAGS: Final = "trace.tags"
"""A list of labels, or a mapping of label to value."""
TRACE_NAME: Final = "trace.name"
"""What to call the whole trace; the name of its root span otherwise."""
METADATA_PREFIX: Final = "trace.metadata."
CACHE_HIT: Final = "trace.cache_hit"
REPLAYED: Final = "trace.replayed"
"""``True`` on the span of a call that was answered from a recording."""
ERROR_CATEGORY: Final = "trace.error.category"
STREAM_ENDING: Final = "trace.stream.ending"
"""How a stream ended: completed, abandoned, closed, cancelled, failed or interrupted."""
STREAM_CHUNKS: Final = "trace.stream.chunks"
STREAM_GAP_MAX: Final = "trace.stream.gap.max"
"""Longest pause between two chunks, in seconds."""
STREAM_GAP_P95: Final = "trace.stream.gap.p95"
"""The pause between two chunks that 95% of them do not exceed, in seconds."""
STREAM_GAP_BUCKETS: Final = "trace.stream.gap.buckets"
"""How the pauses are distributed: for each length in seconds that some do not exceed, and exceed
that before it, how many these are and their sum. The lengths are 0.01, 0.02, 0.04 and so on."""
STREAM_TOKENS_PER_SECOND: Final = "trace.stream.tokens_per_second"
"""Output tokens over the time from the first chunk to the last."""
DEGRADED: Final = "trace.degraded"
"""``True`` on a span that was made with fewer details than usual: by LiteLLM's callbacks."""
ATTEMPT: Final = "trace.attempt"
"""Which try of its parent a span is, from 1."""
FIRST_CHUNK_EVENT: Final = "trace.stream.first_chunk"
CHUNK_EVENT: Final = "trace.stream.chunk"
"""One chunk of a stream, if `TRACE_STREAM_EVENTS` asks for them."""
CHUNK_INDEX: Final = "trace.stream.chunk.index"
"""From 0."""
CHUNK_VALUE: Final = "trace.stream.chunk.value"
"""The whole chunk."""
LOCAL_ROOT: Final = "trace.local_root"
"""Id of the topmost span of ours around a span, itself included, if that one's parent is in
another tracing system, which stores its spans elsewhere."""
LOCAL_PARENT: Final = "trace.local_parent"
"""Id of the span of ours around a span, if that one's parent is in such a system and lies inside
ours."""
ENDING: Final = "trace.ending"
"""Set on a span that nobody ended: abandoned (garbage-collected) or interrupted (exit)."""

SHORT_NAMES: Final = {
    "session_id": SESSION_ID,
    "user_id": USER_ID,
    "conversation_id": CONVERSATION_ID,
    "tags": TAGS,
    "trace_name": TRACE_NAME,
}
"""What `trace_core.attributes` accepts as keywords, and the attribute each one sets."""

CONTENT_ATTRIBUTES: Final = frozenset(
    {
        INPUT_MESSAGES,
        OUTPUT_MESSAGES,
        SYSTEM_INSTRUCTIONS,
        TOOL_DEFINITIONS,
        TOOL_CALL_ARGUMENTS,
        TOOL_CALL_RESULT,
        RETRIEVAL_DOCUMENTS,
        RETRIEVAL_QUERY_TEXT,
        INPUTS,
        OUTPUTS,
        EXCEPTION_MESSAGE,
        EXCEPTION_STACKTRACE,
        REQUEST_STOP_SEQUENCES,
        EVALUATION_EXPLANATION,
        CHUNK_VALUE,
    }
)
"""Attributes that hold what was said, rather than how it went: `drop_content` removes them."""
