"""Calls in progress, on the caller's thread."""
