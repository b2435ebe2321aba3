"""Serves metrics to Prometheus, for a program without an OpenTelemetry meter provider."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from trace_core import ConfigurationError, log_once

_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"


def serve(port: int) -> tuple[Any, Callable[[], None]]:
    """Serve the metrics of a new meter provider at ``/metrics``.

    A port that is taken, as by another worker of the same server, is logged: those metrics are
    counted and not served.

    Args:
        port: The port, at the host that ``OTEL_EXPORTER_PROMETHEUS_HOST`` names, else localhost.

    Returns:
        The provider, and a function that stops serving.

    Raises:
        ConfigurationError: What it takes is not installed.
    """
    try:
        import prometheus_client
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from opentelemetry.sdk.metrics import MeterProvider
    except ImportError as error:
        raise ConfigurationError(
            f"{error}: pip install 'trace-otlp-sink[prometheus]' to serve metrics"
        ) from error
    registry = prometheus_client.CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry)], shutdown_on_exit=False)
    host = os.environ.get(_HOST) or "localhost"
    try:
        server, thread = prometheus_client.start_http_server(port, host, registry)
    except OSError as error:
        log_once(
            f"prometheus:{port}",
            "tracing: metrics of this process are not served at %s:%s: %s",
            *(host, port, error),
        )
        return provider, provider.shutdown

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()
        provider.shutdown()

    return provider, stop
