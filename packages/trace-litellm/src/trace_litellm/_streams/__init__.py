"""Streams: a proxy, and what their chunks add up to."""
