"""How the address of a stream is read."""

from __future__ import annotations

import pytest

from trace_core import ConfigurationError, load_sink
from trace_nats._address import Address


def test_everything_has_a_default() -> None:
    """The stream ``traces`` on this machine."""
    address = Address.read("")
    assert (address.url, address.stream) == ("nats://127.0.0.1:4222", "traces")
    assert (address.spans, address.dead) == ("traces.spans", "traces.dead")


def test_the_specification_has_no_password_and_makes_the_same_address() -> None:
    """It is the key of a spool, which other programs read."""
    spec = Address.read("tls://me:s3cret@broker:4222?stream=a-b").spec
    assert spec == "nats:tls://broker:4222?stream=a-b"
    assert Address.read(spec.removeprefix("nats:")).spec == spec


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://127.0.0.1", "wanted nats://127.0.0.1:4222"),
        ("nats://", "wanted nats://127.0.0.1:4222"),
        ("nats://broker:port", "wanted nats://127.0.0.1:4222"),
        ("nats://broker:99999", "wanted nats://127.0.0.1:4222"),
        ("nats://127.0.0.1?streams=x", "unknown option 'streams'"),
        ("nats://127.0.0.1?stream=a.b", "'a.b' cannot name a stream"),
        ("?stream=", "'' cannot name a stream"),
    ],
)
def test_a_wrong_target_is_an_error_at_once(target: str, expected: str) -> None:
    """When the sink is made, and it says what would be right."""
    with pytest.raises(ConfigurationError, match=expected):
        load_sink(f"nats:{target}")


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("nats://h", {}, {}),
        ("nats://h", {"NATS_USER": "u", "NATS_PASSWORD": "p"}, {"user": "u", "password": "p"}),
        ("nats://h", {"NATS_TOKEN": "t", "NATS_USER": ""}, {"token": "t"}),
        ("nats://h", {"NATS_CREDS": "file"}, {"user_credentials": "file"}),
        ("nats://me:x@h", {"NATS_USER": "u"}, {}),
    ],
)
def test_the_login_is_read_from_the_environment(
    url: str, environment: dict[str, str], expected: dict[str, str]
) -> None:
    """As the ``nats`` command does, unless the URL has a user name."""
    assert Address.read(url).login(environment) == expected
