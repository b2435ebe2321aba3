"""Sinks, and what composes them."""
