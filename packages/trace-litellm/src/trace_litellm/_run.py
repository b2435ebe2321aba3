"""``trace-litellm run -- COMMAND``: trace a program without touching it, the LiteLLM proxy too.

The program takes this process's place, with ``_bootstrap`` on its ``PYTHONPATH``: the
``sitecustomize`` there waits until the program imports LiteLLM and calls `autolog` then. The
Pythons it starts inherit that, such as the workers of a server.

The other commands are those of `trace_core.cli`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, NoReturn

from trace_core import ConfigurationError, cli, default_spec, load_sink

BOOTSTRAP: Final = Path(__file__).parent / "_bootstrap"
"""What is put on the program's ``PYTHONPATH``."""

_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_EPILOG: Final = """\
examples:
  trace-litellm run -- python app.py --its --own --options
  trace-litellm run --sink mlflow:http://127.0.0.1:5000 -- litellm -c c.yaml
  trace-litellm run --sink console --sink jsonl:calls.jsonl -- python -m app

Without --sink, TRACE_SINKS says where spans go, else MLflow if its sink is
installed, else the file traces.jsonl. The program's Python must have
trace-litellm installed, and must not ignore PYTHONPATH, as python -E, -I and
-S do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``trace-litellm`` command.

    Args:
        arguments: Its arguments; those of this process by default.

    Returns:
        The exit code, where the program does not take this process's place.
    """
    options = _parser().parse(arguments)
    return cli.run(options, "trace-litellm")


def _run(options: argparse.Namespace) -> int:
    parser: argparse.ArgumentParser = options.parser
    command: list[str] = options.command
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        parser.error("what is to be run? For example: trace-litellm run -- python app.py")
    sinks = _with_metrics(options.sink, options.metrics_port, os.environ)
    for spec in sinks:
        try:
            load_sink(spec).close()
        except ConfigurationError as error:
            parser.error(f"--sink {spec}: {error}")
    environment = environment_for(os.environ, sinks=sinks, service=options.service)
    return _become(command, environment)


def _parser() -> cli.Parser:
    parser = cli.Parser(
        prog="trace-litellm",
        description="Trace every LLM call that a program makes through LiteLLM, and look at the "
        "traces.",
    )
    parser.add_argument(
        "--version", action="version", version=f"trace-litellm {version('trace-litellm')}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a program with its LiteLLM calls traced",
        usage="trace-litellm run [options] -- PROGRAM [ARGUMENT ...]",
        description="Run a program with its LiteLLM calls traced; nothing of it is changed.",
        epilog=_EPILOG,
        formatter_class=cli.RawHelpFormatter,
    )
    run.set_defaults(run=_run)
    run.add_argument(
        "--sink",
        metavar="SPEC",
        action="append",
        default=[],
        help="where spans go: NAME or NAME:TARGET; may be given several times (TRACE_SINKS)",
    )
    run.add_argument(
        "--service", metavar="NAME", help="what the program is called in traces (OTEL_SERVICE_NAME)"
    )
    run.add_argument(
        "--metrics-port",
        metavar="PORT",
        type=int,
        help="serve metrics to Prometheus there as well; needs trace-otlp-sink[prometheus]",
    )
    run.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- PROGRAM ...", help="what to run"
    )
    cli.add_commands(commands)
    return parser


def _with_metrics(
    sinks: Sequence[str], port: int | None, environ: Mapping[str, str]
) -> Sequence[str]:
    """Add the sink that serves metrics to those that are used anyway."""
    if port is None:
        return sinks
    return [*(sinks or [environ.get("TRACE_SINKS") or default_spec()]), f"otel-metrics:{port}"]


def environment_for(
    environ: Mapping[str, str], *, sinks: Sequence[str] = (), service: str | None = None
) -> dict[str, str]:
    """Return the environment of a program that is to be traced.

    Args:
        environ: The environment it would have otherwise.
        sinks: Specifications of sinks; none leaves ``TRACE_SINKS`` as it is.
        service: What the program is called in traces.
    """
    others = [p for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p != str(BOOTSTRAP)]
    paths = [str(BOOTSTRAP), *others] if any(others) else [str(BOOTSTRAP)]
    added = {"PYTHONPATH": os.pathsep.join(paths)}
    if sinks:
        added["TRACE_SINKS"] = ",".join(sinks)
    if service:
        added["OTEL_SERVICE_NAME"] = service
    return {**environ, **added}


def _become(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Let a program take this process's place, or, on Windows, run it and wait.

    Args:
        command: The program and its arguments.
        environment: Its environment.

    Returns:
        The exit code: the program's, or a shell's for one that cannot be run.
    """
    program = _find(command[0], environment)
    try:
        if os.name == "nt":  # there, execve returns to the shell at once
            return subprocess.call([program, *command[1:]], env=environment)  # noqa: S603  # what the user asked for
        _replace(program, command, environment)
    except FileNotFoundError:
        return _refuse(command[0], "not found", _NOT_FOUND)
    except OSError as error:
        return _refuse(command[0], str(error.strerror), _NOT_EXECUTABLE)


def _refuse(name: str, why: str, code: int) -> int:
    hint = f"; for a file of Python: trace-litellm run -- python {name}"
    text = f"trace-litellm: cannot run {name!r}: {why}{hint if name.endswith('.py') else ''}\n"
    sys.stderr.write(text)
    return code


def _replace(program: str, command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, [*command], environment)  # noqa: S606  # what the user asked for


def _find(name: str, environment: Mapping[str, str]) -> str:
    """Find a program on the ``PATH``, else beside the Python that we are installed in."""
    for path in (environment.get("PATH"), sysconfig.get_path("scripts")):
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    return name


if __name__ == "__main__":
    sys.exit(main())
