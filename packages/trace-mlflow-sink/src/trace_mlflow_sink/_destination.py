"""Which MLflow, and which experiment in it: arguments, the moment of the call, the environment."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import attrs

from trace_core import ConfigurationError, Span, Value
from trace_mlflow_sink._mapping import names as _keys

DEFAULT_DATABASE: Final = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT: Final = "Default"
_SERVERS: Final = frozenset({"http", "https"})
_DATABASES: Final = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
MANAGED: Final = "databricks"
_SQLITE: Final = "sqlite:///"
_OPTIONS: Final = frozenset({"default_uri", "experiment", "experiment_id", "timeout"})


@attrs.frozen
class Destination:
    """Where spans go.

    Args:
        uri: A server's address or a database.
        experiment_id: The experiment, if its id is known.
        experiment: Its name otherwise.
        run_id: The run the traces belong to, if any.
        workspace: The server's workspace, if any.
    """

    uri: str
    experiment_id: str | None = None
    experiment: str | None = None
    run_id: str | None = None
    workspace: str | None = None


def is_server(uri: str) -> bool:
    """Tell a server's address from a database."""
    return urlsplit(uri).scheme.lower() in _SERVERS


def check_uri(uri: str) -> None:
    """Refuse what cannot be written to.

    Raises:
        ConfigurationError: The URI is of a kind that is not supported, or MLflow is missing.
    """
    scheme = urlsplit(uri).scheme.lower().partition("+")[0]
    if scheme in _SERVERS:
        return
    managed = is_managed(uri)
    if scheme not in _DATABASES and not managed:
        raise ConfigurationError(
            f"cannot write traces to tracking URI {without_secret(uri)!r}; wanted http://…, "
            "https://…, sqlite:///…, postgresql://… or databricks: MLflow's own file store "
            "takes no finished spans. For a local folder use sqlite:///mlflow.db"
        )
    if "mlflow" not in sys.modules and importlib.util.find_spec("mlflow") is None:
        raise ConfigurationError(
            f"tracking URI {without_secret(uri)!r} is one that only MLflow itself can "
            "write to, and MLflow is not installed: pip install 'trace-mlflow-sink[mlflow]', or "
            "give the address of an MLflow server"
        )


def is_managed(uri: str) -> bool:
    """Tell whether a URI is Databricks: ``databricks``, or with a profile after ``://``."""
    return uri == MANAGED or uri.startswith(f"{MANAGED}://")


def without_secret(uri: str) -> str:
    """Return a URI without user name and password, for logs and spans."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def current_folder() -> Path:
    """Return the current folder; the root if it has been deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


_secrets: dict[str, str] = {}


def portable(uri: str) -> str:
    """Return a URI that may travel on a span: a password in it stays in this process.

    Args:
        uri: A tracking URI.
    """
    public = without_secret(uri)
    if public == uri:
        return uri
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    marked = f"{public}#{digest}"
    _secrets[marked] = uri
    return marked


def restored(uri: str, configured: str | None) -> str:
    """Undo `portable`.

    Args:
        uri: What travelled on a span.
        configured: The URI this process is configured with; it serves when the span comes from
            another process and the two differ in the password alone.
    """
    if uri in _secrets:
        return _secrets[uri]
    public = uri.partition("#")[0]
    if configured is not None and without_secret(configured) == public:
        return configured
    return public


def parse_spec(target: str) -> dict[str, str]:
    """Read what follows ``mlflow:`` in a sink's specification.

    Args:
        target: Such as ``http://127.0.0.1:5000?experiment=LiteLLM``, or nothing at all.

    Returns:
        Keyword arguments for `MlflowSink`, all text.

    Raises:
        ConfigurationError: An option is not known.
    """
    uri, _, query = target.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise ConfigurationError(
            f"sink mlflow: unknown option {unknown[0]!r}; known are {', '.join(sorted(_OPTIONS))}"
        )
    if uri:
        options["tracking_uri"] = uri
    return options


@attrs.frozen
class Chooser:
    """Chooses a span's destination.

    An argument wins over what MLflow said at the moment of the call, which wins over the default
    given, which wins over the environment, which wins over MLflow's default. An experiment's id
    counts only together with the store it was said of: ids of another store mean something else.

    Args:
        uri: The tracking URI given as an argument, if any.
        experiment: The experiment's name given as an argument, if any.
        experiment_id: Its id, if given.
        folder: What relative database paths are relative to.
        default_uri: The tracking URI for a span that MLflow said nothing of, if given.
    """

    uri: str | None
    experiment: str | None
    experiment_id: str | None
    folder: Path
    default_uri: str | None = None

    def choose(self, span: Span, environ: Mapping[str, str] = os.environ) -> Destination:
        """Return where a span goes.

        Args:
            span: The span.
            environ: The environment.
        """
        said = span.attributes
        default = self._default(environ)
        told = _text(said.get(_keys.TRACKING_URI))
        there = restored(told, self.uri or default) if told else default
        uri = self.uri or there or DEFAULT_DATABASE
        mine = self.uri is None or there == self.uri
        experiment_id, experiment = self._experiment(said, environ, mine=mine)
        return Destination(
            uri=self.absolute(uri),
            experiment_id=experiment_id,
            experiment=experiment,
            run_id=_text(said.get(_keys.RUN_ID)) if mine else None,
            workspace=_text(said.get(_keys.WORKSPACE)) or environ.get("MLFLOW_WORKSPACE") or None,
        )

    def choose_uri(self, environ: Mapping[str, str] = os.environ) -> str:
        """Return where a span goes of which nothing is known.

        Args:
            environ: The environment.
        """
        return self.absolute(self.uri or self._default(environ) or DEFAULT_DATABASE)

    def _default(self, environ: Mapping[str, str]) -> str | None:
        return self.default_uri or environ.get("MLFLOW_TRACKING_URI") or None

    def _experiment(
        self, said: Mapping[str, Value], environ: Mapping[str, str], *, mine: bool
    ) -> tuple[str | None, str | None]:
        told = _text(said.get(_keys.EXPERIMENT_ID))
        if told is not None and said.get(_keys.LIVE):
            return told, None  # a trace has one experiment, and MLflow has chosen it
        if self.experiment_id is not None or self.experiment is not None:
            return self.experiment_id, self.experiment
        if told is not None and mine:
            return told, None
        if told is None:
            name, number = (
                environ.get("MLFLOW_EXPERIMENT_NAME"),
                environ.get("MLFLOW_EXPERIMENT_ID"),
            )
            if name or number:
                return (None, name) if name else (number, None)
        return None, DEFAULT_EXPERIMENT

    def absolute(self, uri: str) -> str:
        """Anchor a relative SQLite path, so that a later ``chdir`` changes nothing.

        Args:
            uri: A tracking URI.
        """
        if not uri.startswith(_SQLITE):
            return uri.rstrip("/") if is_server(uri) else uri
        path, mark, query = unquote(uri[len(_SQLITE) :]).partition("?")
        if not path or path == ":memory:":
            return uri
        return f"{_SQLITE}{(self.folder / path).as_posix()}{mark}{query}"


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None
