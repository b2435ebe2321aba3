"""Makes sinks from their specifications, such as ``jsonl:traces.jsonl``.

A package offers sinks through the entry-point group ``trace_core.sinks``: a name, and a function
that takes what follows the name's colon and returns a sink.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Final, cast
from urllib.parse import parse_qsl, urlsplit

from trace_core import _arguments as arguments
from trace_core._errors import ConfigurationError
from trace_core._log import without_secrets
from trace_core._settings import setting
from trace_core._sinks.base import SinkBase, SinkLike, as_sink
from trace_core._sinks.compose import tee
from trace_core._sinks.files import JsonLinesSink
from trace_core._sinks.memory import MemorySink
from trace_core._suggest import close_to, did_you_mean

GROUP: Final = "trace_core.sinks"
_PACKAGES: Final = {
    "mlflow": "trace-mlflow-sink",
    "nats": "trace-nats",
    "otel-metrics": "trace-otlp-sink",
    "otlp": "trace-otlp-sink",
}
"""Sinks of ours that are not in this package, and what to install for them."""
_SCHEMES: Final = {
    "mlflow": ("http", "https", "sqlite", "postgresql", "mysql", "mssql"),
    "nats": ("nats", "tls"),
}
"""Whose addresses begin how: for those who forget the name in front."""
_CONSOLE: Final = ("tree",)
_SEPARATOR: Final = re.compile(r"(?<!\\),")


def jsonl_sink(target: str) -> SinkBase:
    """Make the sink of ``jsonl:PATH``; ``traces.jsonl`` without a path."""
    return JsonLinesSink(target or "traces.jsonl")


def console_sink(target: str) -> SinkBase:
    """Make the sink of ``console``, or of ``console:tree``.

    Raises:
        ConfigurationError: Something else follows the name.
    """
    from trace_core._sinks.console import ConsoleSink, TreeSink  # most programs have others

    if target == "tree":
        return _live_tree() or TreeSink()
    if target:
        hint = did_you_mean(target, _CONSOLE)
        raise ConfigurationError(f"wanted 'console' or 'console:tree'{hint}")
    return ConsoleSink()


def _live_tree() -> SinkBase | None:
    """Return the sink that draws traces while they run, where that is possible."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from trace_core._sinks.live_tree import LiveTreeSink
    except ImportError:  # without the extra
        return None
    return LiveTreeSink()


def memory_sink(target: str) -> SinkBase:
    """Make the sink of ``memory``.

    Raises:
        ConfigurationError: Something follows the name.
    """
    _wants_nothing("memory", target)
    return MemorySink()


def _wants_nothing(name: str, target: str) -> None:
    if target:
        raise ConfigurationError(f"sink {name!r} takes no target, got {target!r}")


def _known() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def sink_names() -> tuple[str, ...]:
    """Return the names of the sinks that are installed, sorted."""
    return tuple(sorted(_known()))


def known_sinks() -> frozenset[str]:
    """Return the names of the sinks that are installed, and of ours that could be."""
    return frozenset({*_known(), *_PACKAGES})


def load_sink(spec: str) -> SinkBase:
    """Make a sink from its specification.

    Args:
        spec: A name, or ``name:target``, such as ``console``, ``jsonl:traces.jsonl`` or
            ``mlflow:http://127.0.0.1:5000?experiment=LiteLLM``. Several, separated by commas,
            are written to side by side. A comma in a target has a backslash before it.

    Returns:
        The sink.

    Raises:
        ConfigurationError: A name is not known, cannot be imported, or fails on its target.
    """
    arguments.instance(spec, str, "the specification of a sink")
    specs = split_specs(spec)
    if not specs:
        raise ConfigurationError(f"no sink named in {spec!r}; known are {', '.join(sink_names())}")
    sinks = [_load_one(one) for one in specs]
    return sinks[0] if len(sinks) == 1 else tee(*sinks)


def split_specs(text: str) -> list[str]:
    """Return the specifications in a text that may name several, separated by commas."""
    return [part.strip() for part in _SEPARATOR.split(text) if part.strip()]


def parse_target(sink: str, target: str, known: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Split what follows the name of a sink into an address and options, for its factory.

    Args:
        sink: The sink's name, for the message.
        target: Such as ``http://127.0.0.1:4318?timeout=5``, or an empty text.
        known: The names of the options that there are.

    Returns:
        What is before the question mark, and the options after it.

    Raises:
        ConfigurationError: An option is not known.
    """
    address, _, query = target.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    names = sorted(known)
    unknown = next((name for name in sorted(options) if name not in names), None)
    if unknown is not None:
        raise ConfigurationError(
            f"sink {sink}: unknown option {unknown!r}{did_you_mean(unknown, names)}; "
            f"known are {', '.join(names)}"
        )
    return address, options


def names_server(address: str, schemes: Collection[str]) -> bool:
    """Say whether an address names a server: a scheme, a host, a port that can be one, or none.

    Args:
        address: Such as ``http://127.0.0.1:4318``.
        schemes: Those that there are, in lower case.
    """
    try:
        parts = urlsplit(address)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an IPv6 address without its end, a port that is no number or too large
        return False


def unescaped(target: str) -> str:
    """Undo `escaped`."""
    return target.replace("\\,", ",")


def suggestion(spec: str, known: Iterable[str]) -> str:
    """Return what somebody may have meant by a specification, as the end of a message.

    Args:
        spec: What was written.
        known: The names that could have been.

    Returns:
        Such as ``; did you mean 'mlflow'?``; nothing if there is no telling.
    """
    name, colon, target = spec.partition(":")
    if colon and target.startswith("//"):
        return _did_you_mean(_for_address(name, spec))
    if not colon and ("/" in spec or "." in spec):
        return _did_you_mean(f"jsonl:{spec}")
    close = close_to(name.lower(), known)
    return _did_you_mean(f"{close}{colon}{target}") if close else ""


def _for_address(scheme: str, spec: str) -> str:
    for name, schemes in _SCHEMES.items():
        if scheme.partition("+")[0] in schemes:
            return f"{name}:{spec}"
    return f"{next(iter(_SCHEMES))}:{spec}"


def _did_you_mean(spec: str) -> str:
    return f"; did you mean {without_secrets(spec)!r}?"


def _load_one(spec: str) -> SinkBase:
    name, _, target = spec.partition(":")
    point = _known().get(name)
    if point is None:
        installed = ", ".join(sink_names())
        if name in _PACKAGES:
            raise ConfigurationError(
                f"sink {name!r} is not installed: pip install {_PACKAGES[name]}; "
                f"installed are {installed}"
            )
        raise ConfigurationError(
            f"unknown sink {name!r}{suggestion(spec, known_sinks())}; installed are {installed}"
        )
    try:
        factory = cast("Callable[[str], SinkLike]", point.load())
    except Exception as error:
        raise ConfigurationError(f"sink {name!r} cannot be imported: {_text(error)}") from error
    target = unescaped(target)
    shown = repr(without_secrets(target))
    try:
        return as_sink(factory(target))
    except (TypeError, ValueError) as error:  # ConfigurationError is a ValueError
        raise ConfigurationError(f"sink {name!r} refuses {shown}: {error}") from error
    except Exception as error:
        raise ConfigurationError(
            f"sink {name!r} cannot be made of {shown}: {_text(error)}"
        ) from error


def _text(error: Exception) -> str:
    """Return what an exception says; by itself, the text of a KeyError is only the key."""
    return str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"


def default_spec() -> str:
    """Return the specification of the sink that is used where none is named.

    That is MLflow where its sink and MLflow itself are installed, else a file in this folder.
    """
    has_store = find_spec("mlflow") is not None
    return "mlflow" if has_store and "mlflow" in _known() else "jsonl:traces.jsonl"


def sink_from_environment(environ: Mapping[str, str] = os.environ) -> SinkBase | None:
    """Make the sink that ``TRACE_SINKS`` names.

    Args:
        environ: Where to look.

    Returns:
        The sink, or ``None`` when the variable is not set or empty.

    Raises:
        ConfigurationError: The variable names something that is no sink.
    """
    spec = environ.get("TRACE_SINKS", "").strip()
    if not spec:
        return None
    try:
        return load_sink(spec)
    except ConfigurationError as error:
        raise ConfigurationError(f"TRACE_SINKS={without_secrets(spec)!r}: {error}") from error


def disabled_by_environment(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether ``TRACE_DISABLED`` turns tracing off.

    Args:
        environ: Where to look.

    Raises:
        ConfigurationError: It is neither true nor false.
    """
    return bool(setting("TRACE_DISABLED", None, environ))
