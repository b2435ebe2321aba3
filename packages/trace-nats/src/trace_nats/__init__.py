"""Send spans through NATS JetStream: a sink that publishes them, a command that forwards them."""

from importlib.metadata import version as _version

from trace_nats._sink import NatsSink

__version__ = _version("trace-nats")

__all__ = ["NatsSink"]
