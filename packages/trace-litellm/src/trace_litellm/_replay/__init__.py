"""Answering LiteLLM's calls from recorded spans."""
