"""Credentials and TLS options for an MLflow server, read from where MLflow reads them."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import attrs

from trace_core.otlp import trusting

_TRUE: Final = frozenset({"1", "true", "yes", "on"})


@attrs.frozen
class Credentials:
    """How to log in. Its ``repr`` shows nothing, so that no log does.

    Args:
        username: For basic authentication, which wins over the token, as in MLflow.
        password: The password of that user.
        token: For a bearer token.
    """

    username: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    token: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def find(cls, uri: str, environ: Mapping[str, str] = os.environ) -> Credentials:
        """Read the address, then the environment, then ``~/.mlflow/credentials``, as MLflow does.

        Args:
            uri: The server's address; a user name and password in it win.
            environ: The environment.
        """
        address = urlsplit(uri)
        if address.username and address.password:
            return cls(unquote(address.username), unquote(address.password))
        stored = _credentials_file()
        return cls(
            environ.get("MLFLOW_TRACKING_USERNAME") or stored.get("mlflow_tracking_username"),
            environ.get("MLFLOW_TRACKING_PASSWORD") or stored.get("mlflow_tracking_password"),
            environ.get("MLFLOW_TRACKING_TOKEN"),
        )


def _credentials_file() -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)  # a password may have a percent sign
    try:
        parser.read(Path("~/.mlflow/credentials").expanduser())
    except (OSError, RuntimeError, configparser.Error):  # RuntimeError: no home directory
        return {}
    return dict(parser["mlflow"]) if parser.has_section("mlflow") else {}


def tls_options(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the TLS arguments of ``httpx.Client`` for MLflow's environment variables.

    Args:
        environ: The environment.
    """
    options: dict[str, Any] = {}
    if environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in _TRUE:
        options["verify"] = False
    elif environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        options["verify"] = trusting(environ["MLFLOW_TRACKING_SERVER_CERT_PATH"])
    if environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        options["cert"] = environ["MLFLOW_TRACKING_CLIENT_CERT_PATH"]
    return options
