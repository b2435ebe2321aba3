"""Spans and the values in them."""
