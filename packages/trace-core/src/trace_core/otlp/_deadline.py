"""A time limit for a whole request: httpx has one for each of its steps alone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from trace_core._clock import monotonic

MIB: Final = 1024 * 1024
_CONNECTED: Final = (
    "connect_tcp.complete",
    "connect_unix_socket.complete",
    "start_tls.complete",
)


class Deadline:
    """Breaks the connection of a request that is not over in time. A context manager.

    A server that sends a byte now and then, or one interim answer after the other, never lets a
    timeout between two bytes pass, and would hold the delivery for ever.

    Args:
        seconds: Time until the answer begins, and then for the answer, for each megabyte.
        sent: Bytes to send.
        stream: The connection, if there is one already, as `connected` gives it.
    """

    def __init__(self, seconds: float, sent: int, stream: Any) -> None:
        self.stream = stream
        self._seconds = seconds
        self._line: socket.socket | None = None
        self._passed = False
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.begin(sent)
        self._follow()

    def begin(self, size: int = 0) -> None:
        """Begin to count the time anew, for something of that many bytes."""
        self._began = monotonic()
        self.allow(size)

    def allow(self, size: int) -> None:
        """Have the time end later, for something of that many bytes."""
        self._until = self._began + self._seconds * (1 + size // MIB)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event of the request: its extension ``trace`` in httpx."""
        if event.endswith(_CONNECTED):
            self.stream = info["return_value"]
            self._follow()

    def _follow(self) -> None:
        found = self.stream.get_extra_info("socket") if self.stream is not None else None
        with self._lock, suppress(OSError):  # it is closed
            if found is not None:
                self._drop()
                # by a descriptor of our own: TLS takes that of its socket away
                self._line = socket.socket(fileno=socket.dup(found.fileno()))
            if self._passed:
                self._break()

    def _watch(self) -> None:
        while (left := self._until - monotonic()) > 0:
            if self._over.wait(left):
                return
        with self._lock:
            self._passed = True
            self._break()

    def _break(self) -> None:
        if self._line is not None:
            with suppress(OSError):  # the server was faster
                self._line.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def __enter__(self) -> Deadline:  # noqa: PYI034  # Self needs Python 3.11
        with suppress(RuntimeError):  # no new thread at the exit, which has its own deadline
            threading.Thread(target=self._watch, name="trace-deadline", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        with self._lock:
            self._drop()
        if self._passed and (error is None or isinstance(error, Exception)):
            import httpx

            raise httpx.ReadTimeout("the answer takes too long") from error
