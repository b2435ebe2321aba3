"""Streams: what their chunks add up to, per format."""
