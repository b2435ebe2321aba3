"""Patching LiteLLM's functions."""
