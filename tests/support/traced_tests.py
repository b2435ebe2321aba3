"""A pytest plugin for tests of others: with tracing on, or off, and no network but loopback.

Load it with ``-p support.traced_tests``. ``TRACE_TESTS=on`` turns tracing on for every test;
``TRACE_TESTS_SPANS`` names a folder into which each process writes how many spans were made.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path
from typing import Any

import pytest

ON = os.environ.get("TRACE_TESTS") == "on"
_LOOPBACK = ("127.", "::1", "localhost")
_counts: dict[str, int] = {"spans": 0, "troubles": 0}
_traced: Any = None
"""One of LiteLLM's functions, as it was when tracing was turned on."""


def pytest_configure() -> None:
    """Refuse connections that leave this machine: at once, as without a network."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(_LOOPBACK):
            raise ConnectionRefusedError(f"no network in this test: {address}")
        connect(self, address)

    def look_up_here(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not str(name).startswith((*_LOOPBACK, "0.0.0.0")):
            raise socket.gaierror(f"no network in this test: {host}")
        return look_up(host, *rest, **more)

    socket.socket.connect = connect_here  # type: ignore[assignment, method-assign]
    socket.getaddrinfo = look_up_here


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Trace the test, if asked to; turn tracing on anew after a test that reloads LiteLLM."""
    if not ON:
        return (yield)
    import litellm

    global _traced  # noqa: PLW0603  # LiteLLM is global as well
    if litellm.completion is not _traced:
        import trace_litellm

        trace_litellm.instrument(_tracer())
        _traced = litellm.completion
    try:
        return (yield)
    finally:
        _counts["spans"] += len(_sink().spans)
        _sink().clear()


@functools.cache
def _sink() -> Any:
    from trace_core import MemorySink

    return MemorySink()


@functools.cache
def _tracer() -> Any:
    from trace_core import Tracer

    return Tracer(_sink(), on_error=_on_error)


def _on_error(where: str, error: BaseException) -> None:
    _counts["troubles"] += 1
    print(f"tracing: {where}: {type(error).__name__}: {error}")  # beside the test's output


def pytest_unconfigure() -> None:
    """Say how many spans were made in this process."""
    folder = os.environ.get("TRACE_TESTS_SPANS")
    if ON and folder:
        text = f"{_counts['spans']} {_counts['troubles']}"
        Path(folder, f"{os.getpid()}.txt").write_text(text, "utf-8")
