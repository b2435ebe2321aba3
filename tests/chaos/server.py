"""A server of the chaos suite, in a process of its own so that it can be stopped like one.

It keeps the lines that are posted to it and returns them all when asked. Run: server.py PORT
"""

from __future__ import annotations

import http.server
import sys


class Keeper(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    lines: list[bytes] = []  # noqa: RUF012  # of the one server in this process

    def do_POST(self) -> None:
        """Keep the lines."""
        self.lines.extend(self.rfile.read(int(self.headers["Content-Length"])).splitlines())
        self._answer(b"")

    def do_GET(self) -> None:
        """Return all lines."""
        self._answer(b"\n".join(self.lines))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError as error:  # the caller lost patience meanwhile
            print(error, file=sys.stderr)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed, and say on which port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Keeper) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
