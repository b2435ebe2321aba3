"""OpenInference's names, of openinference-semantic-conventions 0.1.42; nobody spells one elsewhere.

A test compares them with that package.
"""

# ruff: noqa: S105  # tokens are counted here, and are no secrets

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SPAN_KIND: Final = "openinference.span.kind"
INPUT_VALUE: Final = "input.value"
INPUT_MIME_TYPE: Final = "input.mime_type"
OUTPUT_VALUE: Final = "output.value"
OUTPUT_MIME_TYPE: Final = "output.mime_type"
SESSION_ID: Final = "session.id"
USER_ID: Final = "user.id"
METADATA: Final = "metadata"
TAG_TAGS: Final = "tag.tags"
AGENT_NAME: Final = "agent.name"

# Calls to models
LLM_MODEL_NAME: Final = "llm.model_name"
LLM_REQUEST_MODEL_NAME: Final = "llm.request.model_name"
LLM_RESPONSE_MODEL_NAME: Final = "llm.response.model_name"
LLM_PROVIDER: Final = "llm.provider"
LLM_SYSTEM: Final = "llm.system"
LLM_INVOCATION_PARAMETERS: Final = "llm.invocation_parameters"
LLM_INPUT_MESSAGES: Final = "llm.input_messages"
LLM_OUTPUT_MESSAGES: Final = "llm.output_messages"
LLM_PROMPTS: Final = "llm.prompts"
LLM_CHOICES: Final = "llm.choices"
LLM_TOOLS: Final = "llm.tools"
LLM_FINISH_REASON: Final = "llm.finish_reason"
LLM_TOKEN_COUNT_PROMPT: Final = "llm.token_count.prompt"
LLM_TOKEN_COUNT_COMPLETION: Final = "llm.token_count.completion"
LLM_TOKEN_COUNT_TOTAL: Final = "llm.token_count.total"
LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_READ: Final = "llm.token_count.prompt_details.cache_read"
LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_WRITE: Final = "llm.token_count.prompt_details.cache_write"
LLM_TOKEN_COUNT_PROMPT_DETAILS_AUDIO: Final = "llm.token_count.prompt_details.audio"
LLM_TOKEN_COUNT_COMPLETION_DETAILS_REASONING: Final = "llm.token_count.completion_details.reasoning"
LLM_TOKEN_COUNT_COMPLETION_DETAILS_AUDIO: Final = "llm.token_count.completion_details.audio"
LLM_COST_PROMPT: Final = "llm.cost.prompt"
LLM_COST_COMPLETION: Final = "llm.cost.completion"
LLM_COST_TOTAL: Final = "llm.cost.total"

# Inside messages
MESSAGE_ROLE: Final = "message.role"
MESSAGE_NAME: Final = "message.name"
MESSAGE_CONTENT: Final = "message.content"
MESSAGE_CONTENTS: Final = "message.contents"
MESSAGE_TOOL_CALLS: Final = "message.tool_calls"
MESSAGE_TOOL_CALL_ID: Final = "message.tool_call_id"
MESSAGE_CONTENT_TYPE: Final = "message_content.type"
MESSAGE_CONTENT_TEXT: Final = "message_content.text"
MESSAGE_CONTENT_IMAGE: Final = "message_content.image"
MESSAGE_CONTENT_AUDIO: Final = "message_content.audio"
MESSAGE_CONTENT_VIDEO: Final = "message_content.video"
MESSAGE_CONTENT_DOCUMENT: Final = "message_content.document"
MESSAGE_CONTENT_ID: Final = "message_content.id"
MESSAGE_CONTENT_SIGNATURE: Final = "message_content.signature"
MESSAGE_CONTENT_DATA: Final = "message_content.data"
MESSAGE_CONTENT_ENCRYPTED_CONTENT: Final = "message_content.encrypted_content"
IMAGE_URL: Final = "image.url"
AUDIO_URL: Final = "audio.url"
AUDIO_MIME_TYPE: Final = "audio.mime_type"
AUDIO_TRANSCRIPT: Final = "audio.transcript"
VIDEO_URL: Final = "video.url"
DOCUMENT_URL: Final = "document.url"
DOCUMENT_MIME_TYPE: Final = "document.mime_type"
TOOL_CALL_ID: Final = "tool_call.id"
TOOL_CALL_FUNCTION_NAME: Final = "tool_call.function.name"
TOOL_CALL_FUNCTION_ARGUMENTS_JSON: Final = "tool_call.function.arguments"
PROMPT_TEXT: Final = "prompt.text"
COMPLETION_TEXT: Final = "completion.text"
TOOL_JSON_SCHEMA: Final = "tool.json_schema"

# Embeddings, rerankings, searches, tools
EMBEDDING_MODEL_NAME: Final = "embedding.model_name"
EMBEDDING_INVOCATION_PARAMETERS: Final = "embedding.invocation_parameters"
EMBEDDING_EMBEDDINGS: Final = "embedding.embeddings"
EMBEDDING_TEXT: Final = "embedding.text"
EMBEDDING_VECTOR: Final = "embedding.vector"
RERANKER_MODEL_NAME: Final = "reranker.model_name"
RERANKER_QUERY: Final = "reranker.query"
RERANKER_TOP_K: Final = "reranker.top_k"
RERANKER_INPUT_DOCUMENTS: Final = "reranker.input_documents"
RERANKER_OUTPUT_DOCUMENTS: Final = "reranker.output_documents"
RETRIEVAL_DOCUMENTS: Final = "retrieval.documents"
DOCUMENT_ID: Final = "document.id"
DOCUMENT_SCORE: Final = "document.score"
DOCUMENT_CONTENT: Final = "document.content"
DOCUMENT_METADATA: Final = "document.metadata"
DOCUMENT_NAME: Final = "document.name"
TOOL_NAME: Final = "tool.name"
TOOL_DESCRIPTION: Final = "tool.description"
TOOL_PARAMETERS: Final = "tool.parameters"
TOOL_ID: Final = "tool.id"

# Values
JSON: Final = "application/json"
TEXT: Final = "text/plain"
PROVIDERS: Final[Mapping[str, str]] = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistralai",
    "moonshot_ai": "moonshot",
    "x_ai": "xai",
}
"""Providers that OpenInference calls otherwise than OpenTelemetry."""
SYSTEMS: Final[Mapping[str, str]] = {
    "azure.ai.openai": "openai",
    "gcp.vertex_ai": "vertexai",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "mistral_ai": "mistralai",
    "openai": "openai",
}
"""Whose products answer, by OpenTelemetry's names of providers."""
