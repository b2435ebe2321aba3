"""OpenTelemetry's environment variables, and what wins."""

from __future__ import annotations

import pytest

from trace_core import ConfigurationError, SinkError, load_sink, sink_from_environment
from trace_otlp_sink import OtlpSink
from trace_otlp_sink import _settings as settings

GENERAL, TRACES = "OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        (None, {}, "http://localhost:4318/v1/traces"),
        (None, {f"{GENERAL}ENDPOINT": "http://a:1"}, "http://a:1/v1/traces"),
        (None, {f"{GENERAL}ENDPOINT": "http://a:1/otel/"}, "http://a:1/otel/v1/traces"),
        (None, {f"{TRACES}ENDPOINT": "http://b:2/x"}, "http://b:2/x"),
        (None, {f"{GENERAL}ENDPOINT": "http://a", f"{TRACES}ENDPOINT": "http://b/"}, "http://b/"),
        ("http://c:3", {f"{TRACES}ENDPOINT": "http://b:2/x"}, "http://c:3/v1/traces"),
        ("http://c:3/v1/traces", {}, "http://c:3/v1/traces"),
        ("https://u:p@c", {}, "https://c/v1/traces"),
    ],
)
def test_the_endpoint(given, environ, expected):
    """A path is added to the general one; the one for traces is used as it is."""
    assert settings.Endpoint.find(given, environ).url == expected


def test_an_endpoint_may_be_exact():
    """For a server with another path."""
    assert settings.Endpoint.find("http://c:3/in", {}, exact=True).url == "http://c:3/in"


def test_headers_are_decoded():
    """Those for traces replace the general ones."""
    environ = {f"{GENERAL}HEADERS": "a=1, b = x%20y%2C , authorization=Bearer%20t=="}
    assert settings.headers(environ) == {"a": "1", "b": "x y,", "authorization": "Bearer t=="}
    environ[f"{TRACES}HEADERS"] = "c=3"
    assert settings.headers(environ) == {"c": "3"}


@pytest.mark.parametrize("text", ["no-equals-secret", "=secret", "a=secret%0Ab", "a b=secret"])
def test_bad_headers_are_told_without_their_values(text):
    """The message may be logged."""
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_HEADERS") as failure:
        settings.headers({f"{GENERAL}HEADERS": text})
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        (None, {}, 10.0),
        (None, {f"{GENERAL}TIMEOUT": "5"}, 5.0),
        (None, {f"{GENERAL}TIMEOUT": "5000"}, 5.0),
        (None, {f"{GENERAL}TIMEOUT": "5", f"{TRACES}TIMEOUT": "7.5"}, 7.5),
        (3, {f"{TRACES}TIMEOUT": "7"}, 3.0),
        ("2", {}, 2.0),
    ],
)
def test_the_timeout(given, environ, expected):
    """In seconds, as OpenTelemetry's SDK for Python reads it, or in its specification's unit."""
    assert settings.timeout(given, environ) == expected


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_timeout_must_be_one(text):
    """The message names the variable."""
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_TIMEOUT"):
        settings.timeout(None, {f"{GENERAL}TIMEOUT": text})


def test_compression():
    """An argument wins, then the variable for traces."""
    assert settings.compression(None, {}) is False
    assert settings.compression(None, {f"{GENERAL}COMPRESSION": "gzip"}) is True
    assert settings.compression("none", {f"{GENERAL}COMPRESSION": "gzip"}) is False
    with pytest.raises(ConfigurationError, match="TRACES_COMPRESSION"):
        settings.compression(None, {f"{TRACES}COMPRESSION": "zstd"})


def test_other_protocols_are_refused(monkeypatch):
    """With what to set instead."""
    monkeypatch.setenv(f"{GENERAL}PROTOCOL", "http/json")
    with pytest.raises(ConfigurationError, match="choose http/protobuf or grpc"):
        OtlpSink()
    monkeypatch.setenv(f"{TRACES}PROTOCOL", "http/protobuf")
    OtlpSink()


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", True), ("true", True), ("SPAN_ONLY", True), ("false", False), ("NO_CONTENT", False)],
)
def test_content_is_sent_unless_it_is_turned_off(value, expected):
    """By the variable of OpenTelemetry's instrumentations."""
    environ = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": value}
    assert settings.content(None, environ) is expected
    assert settings.content(not expected, environ) is not expected


def test_certificates_are_read(monkeypatch, tmp_path):
    """A missing file is an outage that names the variable."""
    monkeypatch.setenv(f"{GENERAL}CERTIFICATE", str(tmp_path / "missing.pem"))
    with pytest.raises(Exception, match="OTEL_EXPORTER_OTLP_CERTIFICATE names the file"):
        OtlpSink("https://127.0.0.1:1").write([_span()])


def _span():
    from trace_core.testing import sample_spans

    return sample_spans()[0]


@pytest.mark.parametrize("address", ["localhost:4318", "10.0.0.1:4318", "collector.example.org"])
def test_an_address_without_its_beginning(address):
    """What may be meant is said."""
    with pytest.raises(ConfigurationError, match=f"did you mean 'http://{address}'"):
        OtlpSink(address)


def test_a_password_is_in_no_message(monkeypatch):
    """Neither in what refuses a target nor in what refuses the variable."""
    spec = "otlp:http://me:hunter2hunter2@127.0.0.1:4318?nope=1"
    monkeypatch.setenv("TRACE_SINKS", spec)
    for ask in (lambda: load_sink(spec), sink_from_environment):
        with pytest.raises(ConfigurationError, match="unknown option 'nope'") as refusal:
            ask()
        assert "hunter2" not in str(refusal.value)


def test_a_missing_authority_is_named(monkeypatch):
    """The file may come: an outage, that says which."""
    monkeypatch.setenv(f"{GENERAL}CERTIFICATE", "/nowhere.pem")
    with pytest.raises(SinkError, match=r"/nowhere\.pem.*OTEL_EXPORTER_OTLP_CERTIFICATE"):
        OtlpSink("https://127.0.0.1:9").check(30)
