"""Decides to which MLflow and which experiment a span goes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import attrs

from trace_core import ConfigurationError, Span, Value, names_server, parse_target
from trace_core.otlp import without_credentials
from trace_mlflow_sink._mapping import names

DEFAULT_DATABASE: Final = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT: Final = "Default"
_SERVERS: Final = frozenset({"http", "https"})
_DATABASES: Final = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
_DATABRICKS: Final = "databricks"
_SQLITE: Final = "sqlite:///"
_OPTIONS: Final = frozenset({"default_uri", "experiment", "experiment_id", "names", "timeout"})


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
    """Return whether a tracking URI is a server's address."""
    return urlsplit(uri).scheme.lower() in _SERVERS


def _meant(uri: str) -> str:
    """Return what address may be meant by one with other slashes, or without its beginning."""
    scheme, colon, rest = without_credentials(uri).partition(":")
    host = rest.lstrip("/")
    if scheme.lower() in _SERVERS:
        address = f"{scheme}://{host}"
    elif colon and rest[:1].isdigit() and "/" not in scheme:
        address = f"http://{without_credentials(uri)}"
    else:
        return ""
    return f"; did you mean {address!r}?" if host and names_server(address, _SERVERS) else ""


def _is_database(uri: str) -> bool:
    """Say whether a URI says which database: a file, or a server."""
    parts = urlsplit(uri)
    if parts.scheme.lower().startswith("sqlite"):
        return uri.partition(":")[2].startswith("///") and len(parts.path) > 1
    return "://" in uri and bool(parts.netloc or parts.path.strip("/") or parts.query)


def _wanted_database(uri: str) -> str:
    scheme, _, rest = without_credentials(uri).partition(":")
    if not scheme.lower().startswith("sqlite"):
        return f"wanted {scheme}://USER@HOST/DATABASE"
    file = rest.lstrip("/")
    return "wanted sqlite:///FILE" + (f"; did you mean {_SQLITE + file!r}?" if file else "")


def check_experiment(name: str | None, number: str | int | None) -> None:
    """Check what says which experiment traces go to.

    Args:
        name: Its name, if that is given.
        number: Its id, if that is given.

    Raises:
        ConfigurationError: Both are given, the name is empty or the id is no number.
    """
    if name is not None and number is not None:
        raise ConfigurationError("give experiment or experiment_id, not both")
    if name is not None and not name.strip():
        raise ConfigurationError("experiment is empty; wanted the name of an experiment")
    if number is not None and not (str(number).isascii() and str(number).isdigit()):
        raise ConfigurationError(
            f"experiment_id={number!r}; wanted a number (experiment takes a name)"
        )


def check_uri(uri: str) -> None:
    """Check that traces can be written to a tracking URI.

    Raises:
        ConfigurationError: The URI is of a kind that is not supported, or MLflow is missing.
    """
    scheme = urlsplit(uri).scheme.lower().partition("+")[0]
    if scheme in _SERVERS:
        if not names_server(uri, _SERVERS):
            raise ConfigurationError(
                f"{without_credentials(uri)!r} is not a server address; "
                f"wanted http://HOST:PORT{_meant(uri)}"
            )
        return
    if scheme not in _DATABASES and not is_databricks(uri):
        raise ConfigurationError(
            f"cannot write traces to tracking URI {without_credentials(uri)!r}; wanted http://…, "
            "https://…, sqlite:///…, postgresql://… or databricks: MLflow's file store cannot "
            f"store finished spans. For a local folder use sqlite:///mlflow.db{_meant(uri)}"
        )
    if scheme in _DATABASES and not _is_database(uri):
        raise ConfigurationError(
            f"{without_credentials(uri)!r} names no database; {_wanted_database(uri)}"
        )
    needed = ("mlflow",) if is_databricks(uri) else ("mlflow", "sqlalchemy")
    if not all(map(_is_installed, needed)):
        raise ConfigurationError(
            f"tracking URI {without_credentials(uri)!r} needs MLflow, which is not installed "
            "(mlflow-tracing alone is not enough for a database): "
            "pip install 'trace-mlflow-sink[mlflow]', or give the address of an MLflow server"
        )


def _is_installed(module: str) -> bool:
    return module in sys.modules or importlib.util.find_spec(module) is not None


def is_databricks(uri: str) -> bool:
    """Return whether a URI is ``databricks``, perhaps with a profile after ``://``."""
    return uri == _DATABRICKS or uri.startswith(f"{_DATABRICKS}://")


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a SQLite database; ``None`` if it is in none."""
    if not uri.startswith(_SQLITE):
        return None
    path = unquote(uri[len(_SQLITE) :]).partition("?")[0]
    return Path(path) if path and path != ":memory:" else None


def shown(uri: str) -> str:
    """Return a URI for people: without credentials, a SQLite file by its path alone."""
    path = sqlite_path(uri)
    if path is None:
        return without_credentials(uri)
    folder = current_folder()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def current_folder() -> Path:
    """Return the current folder; the root folder if the current one was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


_with_password: dict[str, str] = {}


def hide_password(uri: str) -> str:
    """Return a URI that may be written on a span; its password stays in this process.

    Args:
        uri: A tracking URI.
    """
    public = without_credentials(uri)
    if public == uri:
        return uri
    marked = f"{public}#{hashlib.sha256(uri.encode()).hexdigest()[:16]}"
    _with_password[marked] = uri
    return marked


def restore_password(uri: str, configured: str | None) -> str:
    """Undo `hide_password`.

    Args:
        uri: The URI on a span.
        configured: The URI that this process is configured with. It is returned if the span
            comes from another process and the two URIs differ only in the password.
    """
    if uri in _with_password:
        return _with_password[uri]
    public = uri.partition("#")[0]
    if configured is not None and without_credentials(configured) == public:
        return configured
    return public


def parse_spec(target: str) -> dict[str, str]:
    """Parse what follows ``mlflow:`` in a sink's specification.

    Args:
        target: Such as ``http://127.0.0.1:5000?experiment=LiteLLM``, or an empty text.

    Returns:
        Keyword arguments for `MlflowSink`; every value is a text.

    Raises:
        ConfigurationError: An option is not known.
    """
    uri, options = parse_target("mlflow", target, _OPTIONS)
    if uri:
        options["tracking_uri"] = uri
    return options


@attrs.frozen
class Chooser:
    """Chooses a span's destination.

    Inside an open trace of MLflow's, that trace's store and experiment. Otherwise an argument wins
    over what MLflow was set to when the call was made; then come ``default_uri``, the environment
    at that moment and MLflow's default. An experiment's id counts only together
    with the store it belongs to.

    Args:
        uri: The tracking URI given as an argument, if any.
        experiment: The experiment's name given as an argument, if any.
        experiment_id: The experiment's id given as an argument, if any.
        folder: What relative paths of databases are relative to.
        default_uri: The tracking URI for calls made while MLflow had none, if given.
    """

    uri: str | None
    experiment: str | None
    experiment_id: str | None
    folder: Path
    default_uri: str | None = None

    def at_call(
        self, tracking_uri: str | None, environ: Mapping[str, str] = os.environ
    ) -> dict[str, Value]:
        """Return store and workspace of a call that is made now, as attributes of its span.

        Args:
            tracking_uri: What MLflow is set to, if it is imported and set to anything.
            environ: The environment.
        """
        found: dict[str, Value] = {}
        uri = tracking_uri or self._default(environ)
        if uri is not None or self.uri is None:
            found[names.TRACKING_URI] = _on_span(self.folder, uri or DEFAULT_DATABASE)
        workspace = environ.get("MLFLOW_WORKSPACE")
        if workspace:
            found[names.WORKSPACE] = workspace
        return found

    def add_experiment(
        self, found: dict[str, Value], environ: Mapping[str, str] = os.environ
    ) -> None:
        """Add the experiment of a call that is made now, unless it is known.

        Args:
            found: What `at_call` returned, perhaps with the experiment that MLflow is set to.
            environ: The environment.
        """
        if names.EXPERIMENT_ID in found or self.experiment_id is not None:
            return
        if self.experiment is None:
            found.update(_experiment_of(environ))

    def choose(self, span: Span, environ: Mapping[str, str] = os.environ) -> Destination:
        """Return where a span goes.

        Args:
            span: The span.
            environ: The environment, for spans without the attributes that `at_call` returned.
        """
        return self.choose_for(span.attributes, environ)

    def choose_for(
        self, attributes: Mapping[str, Value], environ: Mapping[str, str] = os.environ
    ) -> Destination:
        """Return where a span with these attributes goes.

        Args:
            attributes: The span's.
            environ: The environment, for what they do not say.
        """
        default = self._default(environ)
        noted = _text(attributes.get(names.TRACKING_URI))
        there = restore_password(noted, self.uri or default) if noted else default
        uri = self.uri or there or DEFAULT_DATABASE
        same_store = there is None or self.uri in {None, there, self.absolute(there)}
        experiment_id, experiment = self._experiment(attributes, environ, same_store=same_store)
        workspace = _text(attributes.get(names.WORKSPACE)) or environ.get("MLFLOW_WORKSPACE")
        return Destination(
            uri=self.absolute(uri),
            experiment_id=experiment_id,
            experiment=experiment,
            run_id=_text(attributes.get(names.RUN_ID)) if same_store else None,
            workspace=workspace or None,
        )

    def choose_uri(self, environ: Mapping[str, str] = os.environ) -> str:
        """Return the destination of a call made while MLflow has no tracking URI.

        Args:
            environ: The environment.
        """
        return self.absolute(self.uri or self._default(environ) or DEFAULT_DATABASE)

    def _default(self, environ: Mapping[str, str]) -> str | None:
        return self.default_uri or environ.get("MLFLOW_TRACKING_URI") or None

    def _experiment(
        self, attributes: Mapping[str, Value], environ: Mapping[str, str], *, same_store: bool
    ) -> tuple[str | None, str | None]:
        """Return the id or the name of a span's experiment."""
        number = _text(attributes.get(names.EXPERIMENT_ID))
        if number is not None and attributes.get(names.LIVE):
            return number, None  # the experiment of the MLflow trace that the span is part of
        if self.experiment_id is not None or self.experiment is not None:
            return self.experiment_id, self.experiment
        if number is not None:
            return (number, None) if same_store else (None, DEFAULT_EXPERIMENT)
        name = _text(attributes.get(names.EXPERIMENT))
        if name is None:
            found = _experiment_of(environ)
            number, name = _text(found.get(names.EXPERIMENT_ID)), _text(found.get(names.EXPERIMENT))
        return number, name

    def absolute(self, uri: str) -> str:
        """Make a relative SQLite path absolute, so that a later ``chdir`` changes nothing.

        Args:
            uri: A tracking URI.
        """
        return _absolute(self.folder, uri)


def _absolute(folder: Path, uri: str) -> str:
    if not uri.startswith(_SQLITE):
        return uri.rstrip("/") if is_server(uri) else uri
    path, mark, query = unquote(uri[len(_SQLITE) :]).partition("?")
    if not path or path == ":memory:":
        return uri
    return f"{_SQLITE}{(folder / path).as_posix()}{mark}{query}"


@lru_cache(maxsize=64)  # called for every span, on the caller's thread
def _on_span(folder: Path, uri: str) -> str:
    return hide_password(_absolute(folder, uri))


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None


def _experiment_of(environ: Mapping[str, str]) -> dict[str, Value]:
    """Return the experiment that the environment names, MLflow's default if it names none."""
    name, number = environ.get("MLFLOW_EXPERIMENT_NAME"), environ.get("MLFLOW_EXPERIMENT_ID")
    if number and not name:
        return {names.EXPERIMENT_ID: number}
    return {names.EXPERIMENT: name or DEFAULT_EXPERIMENT}
