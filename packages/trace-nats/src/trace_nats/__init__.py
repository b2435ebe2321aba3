"""Spans through NATS JetStream: a sink that publishes them, and the command that forwards them."""

from importlib.metadata import version as _version

from trace_nats._jetstream import NatsSink

__version__ = _version("trace-nats")

__all__ = ["NatsSink"]
