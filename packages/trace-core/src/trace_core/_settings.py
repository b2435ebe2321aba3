"""Every environment variable these packages read, in one table.

Arguments beat the environment. A value that makes no sense raises `ConfigurationError`, which
names the variable and what could be chosen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from trace_core._arguments import at_home
from trace_core._errors import ConfigurationError
from trace_core._suggest import close_to

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_PREFIX: Final = "TRACE_"
_ALIKE: Final = 0.8
CAPTURES: Final = ("full", "metadata")


@attrs.frozen
class Variable:
    """An environment variable.

    Args:
        name: Its name.
        default: What holds when it is not set or empty.
        choices: What it can be, for people.
        about: What it does.
        read: Turns its text into a value; raises ValueError.
    """

    name: str
    default: Any
    choices: str
    about: str
    read: Callable[[str], Any]


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError
    return text.lower() in _TRUE


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError
        return text.lower()

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def _size(text: str) -> int:
    plain = text.lower().removesuffix("ib").removesuffix("b").strip()
    unit = plain[-1:] if plain[-1:] in _UNITS else ""
    value = int(float(plain.removesuffix(unit)) * _UNITS[unit])
    if value < 1:
        raise ValueError
    return value


def _place(text: str) -> Path:
    return at_home(text, "TRACE_SPOOL_DIR")


_YES_NO: Final = "1, true, yes, on or 0, false, no, off"

VARIABLES: Final = {
    variable.name: variable
    for variable in (
        Variable("TRACE_DISABLED", False, _YES_NO, "turns all tracing off", _boolean),
        Variable("TRACE_QUIET", False, _YES_NO, "says nothing when tracing begins", _boolean),
        Variable(
            "TRACE_SINKS", "", "names of sinks, as `load_sink` takes them", "where spans go", str
        ),
        Variable(
            "TRACE_CAPTURE",
            "full",
            "full or metadata",
            "whether what was said is recorded",
            _one_of(*CAPTURES),
        ),
        Variable("TRACE_REDACT", True, _YES_NO, "removes secrets from spans", _boolean),
        Variable("TRACE_REDACT_PII", False, _YES_NO, "removes personal data as well", _boolean),
        Variable(
            "TRACE_SAMPLE_RATE",
            1.0,
            "a number from 0 to 1",
            "share of the traces that is kept; errors are kept always",
            _number(0, 1),
        ),
        Variable(
            "TRACE_STREAM_EVENTS",
            0,
            "a number of events, 0 for none",
            "how many chunks of a stream are kept one by one, as events",
            _count,
        ),
        Variable(
            "TRACE_QUEUE_MAX_BYTES",
            64 * 1024**2,
            "bytes, or a number with K, M or G",
            "size in memory of the spans that wait for the writer thread, at most",
            _size,
        ),
        Variable("TRACE_SPOOL", True, _YES_NO, "keeps spans on disk until delivered", _boolean),
        Variable("TRACE_SPOOL_DIR", None, "a folder", "where they are kept", _place),
        Variable(
            "TRACE_SPOOL_MAX_BYTES",
            512 * 1024**2,
            "bytes, or a number with K, M or G",
            "bytes on disk per sink at the most, for all processes together",
            _size,
        ),
        Variable(
            "TRACE_SPOOL_SYNC",
            "interval",
            "interval, batch or never",
            "when to wait for the disk, against power failures",
            _one_of("interval", "batch", "never"),
        ),
        Variable(
            "TRACE_MLFLOW_NAMES",
            "otel",
            "otel or autolog",
            "what MLflow's spans are called: as OpenTelemetry or mlflow.litellm.autolog() does",
            _one_of("otel", "autolog"),
        ),
        Variable(
            "TRACE_MLFLOW_SOURCE",
            True,
            _YES_NO,
            "says in MLflow which program, user and git commit a trace is of",
            _boolean,
        ),
        Variable(
            "TRACE_MLFLOW_JOIN_OTEL",
            False,
            _YES_NO,
            "keeps OpenTelemetry's trace ids and parents in MLflow, if its spans are there too",
            _boolean,
        ),
        Variable(
            "TRACE_OTEL_BRIDGE",
            True,
            _YES_NO,
            "nests spans and OpenTelemetry's in each other, with `autolog`",
            _boolean,
        ),
        Variable(
            "TRACE_OTEL_UNSAMPLED",
            False,
            _YES_NO,
            "records calls below OpenTelemetry spans that are not sampled",
            _boolean,
        ),
        Variable(
            "TRACE_OTEL_BAGGAGE",
            (),
            "names, separated by commas; `app.*` for all that begin so, `*` for all",
            "OpenTelemetry baggage that becomes attributes",
            _words,
        ),
        Variable(
            "TRACE_EXIT_TIMEOUT",
            None,
            "seconds, from 0 to 3600",
            "how long delivery at exit may take",
            _number(0, 3600),
        ),
        Variable(
            "TRACE_EXIT_AT_SIGTERM",
            False,
            _YES_NO,
            "delivers what waits before SIGTERM ends the program, if nothing else handles it",
            _boolean,
        ),
    )
}
"""By name: all variables, in the order the documentation lists them."""


def unknown_settings(environ: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Return the names that look like settings of ours and are none, each with what may be meant.

    Args:
        environ: Where to look.
    """
    names = (name for name in environ if name.startswith(_PREFIX) and name not in VARIABLES)
    return {name: close_to(name, VARIABLES, _ALIKE) for name in sorted(names)}


def setting(name: str, argument: Any = None, environ: Mapping[str, str] | None = None) -> Any:
    """Return what holds: the argument, else the environment variable, else its default.

    Args:
        name: The variable's name.
        argument: What was given in the program; ``None`` if nothing was.
        environ: Where to look; the process's environment by default.

    Raises:
        ConfigurationError: The variable's value makes no sense, or there is no such variable.
    """
    if argument is not None:
        return argument
    if name not in VARIABLES:
        raise ConfigurationError(f"unknown setting {name!r}; known are {', '.join(VARIABLES)}")
    variable = VARIABLES[name]
    text = (os.environ if environ is None else environ).get(name, "").strip()
    if not text:
        return variable.default
    try:
        return variable.read(text)
    except (ValueError, KeyError, OverflowError):  # the last for an infinite size
        raise ConfigurationError(f"{name}={text!r}; choose {variable.choices}") from None
