"""``trace-litellm run`` traces a program without touching it, and never gets in its way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from trace_litellm._run import BOOTSTRAP, environment_for, main

CALL = """\
def call():
    import litellm
    messages = [{"role": "user", "content": "hi"}]
    return litellm.completion("openai/gpt-4o-mini", messages, mock_response="mocked")
"""
UNREADY = """\
import sys
def autolog():
    print("traced", getattr(sys.modules["litellm"], "READY", False))
"""
"""A trace_litellm that tells when it is called."""


def run(
    folder: Path, *command: str, options: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the folder's under ``trace-litellm run``, to its end."""
    line = [sys.executable, "-m", "trace_litellm._run", "run", *options, "--", *command]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TRACE_", "OTEL_"))}
    return subprocess.run(
        line,
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def python(
    folder: Path, text: str, options: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of Python under ``trace-litellm run``."""
    (folder / "program.py").write_text(text)
    return run(folder, sys.executable, "program.py", options=options, **environment)


def spans(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def stand_in(folder: Path, name: str, text: str) -> str:
    """Write a module and return the folder to look for it in."""
    (folder / "modules").mkdir(exist_ok=True)
    (folder / "modules" / f"{name}.py").write_text(text)
    return str(folder / "modules")


# What is traced --------------------------------------------------------------------------------


@pytest.mark.slow
def test_traces_a_program(tmp_path: Path) -> None:
    """A program that knows nothing of tracing is traced, into the sink and by the name given."""
    options = ("--sink", "jsonl:there/spans.jsonl", "--service", "shop")
    program = CALL + "print(call().choices[0].message.content)\nraise SystemExit(7)"
    done = python(tmp_path, program, options)
    assert (done.returncode, done.stdout) == (7, "mocked\n"), done.stderr
    [span] = spans(tmp_path / "there" / "spans.jsonl")
    assert span["name"] == "chat openai/gpt-4o-mini"
    assert span["resource"]["service.name"] == "shop"


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["", "'jsonl:own.jsonl'"])
def test_a_program_that_turns_tracing_on_itself(sink: str, tmp_path: Path) -> None:
    """Importing LiteLLM for its `autolog` is no second one, which left two watches of imports."""
    program = CALL + (
        "import sys, trace_litellm\n"
        f"tracing = trace_litellm.autolog({sink})\n"
        "call()\n"
        "assert trace_litellm.autolog() is tracing\n"
        "print(sum(type(finder).__name__ == 'ImportWatch' for finder in sys.meta_path))\n"
    )
    sink_given = ("--sink", "jsonl:spans.jsonl")
    result = python(tmp_path, program, sink_given, PYTHONWARNINGS="ignore")  # pydantic's of LiteLLM
    assert (result.returncode, result.stdout, result.stderr) == (0, "1\n", "")
    (span,) = spans(tmp_path / ("own.jsonl" if sink else "spans.jsonl"))
    assert span["kind"] == "LLM"
    assert not (sink and (tmp_path / "spans.jsonl").exists())


@pytest.mark.slow
def test_traces_processes_that_a_program_starts(tmp_path: Path) -> None:
    """Workers are traced as well, whether they are forked or start from scratch."""
    program = f"""\
import multiprocessing, subprocess, sys
{CALL}
if __name__ == "__main__":
    for method in {["fork", "spawn"] if hasattr(os, "fork") else ["spawn"]}:
        worker = multiprocessing.get_context(method).Process(target=call)
        worker.start()
        worker.join()
        assert worker.exitcode == 0
"""
    done = python(tmp_path, program, ("--sink", "jsonl:spans.jsonl"))
    assert done.returncode == 0, done.stderr
    assert "not traced" not in done.stderr
    pids = {span["resource"]["process.pid"] for span in spans(tmp_path / "spans.jsonl")}
    assert len(pids) == (2 if hasattr(os, "fork") else 1)


@pytest.mark.parametrize(
    "program",
    [
        "import litellm",
        "from litellm import READY",
        "from importlib import import_module; import_module('litellm')",
        "from importlib.util import find_spec; find_spec('litellm'); import litellm",
        "import litellm, importlib; print('again'); importlib.reload(litellm)",
        """\
import sys
from importlib.util import LazyLoader, find_spec, module_from_spec
spec = find_spec("litellm")
spec.loader = LazyLoader(spec.loader)
sys.modules["litellm"] = litellm = module_from_spec(spec)
spec.loader.exec_module(litellm)
print("lazy")
litellm.READY
""",
    ],
)
def test_waits_until_litellm_is_imported(program: str, tmp_path: Path) -> None:
    """Tracing is turned on once, when LiteLLM is there as a whole, however it is imported."""
    stand_in(tmp_path, "litellm", "import json\nREADY = True")
    path = stand_in(tmp_path, "trace_litellm", UNREADY)
    # The stand-ins are before the real packages in the program alone, not in trace-litellm itself.
    start = f"import sys; sys.path.insert(0, {path!r})\n"
    done = python(tmp_path, start + program)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "traced" in line] == ["traced True"]
    if "lazy" in program:
        assert done.stdout.startswith("lazy\n"), "tracing was turned on before LiteLLM was used"


# What is left alone ----------------------------------------------------------------------------


def test_costs_a_program_without_litellm_nothing(tmp_path: Path) -> None:
    """Neither LiteLLM nor any of ours is imported for a program that does not use LiteLLM."""
    program = """\
import sys
print([m for m in sys.modules if m.startswith(("trace_", "litellm", "attr"))])
print([p for p in sys.path if "_bootstrap" in p])
"""
    done = python(tmp_path, program)
    assert done.stdout == "[]\n[]\n", done.stderr


def test_leaves_litellms_loader_as_it_was(tmp_path: Path) -> None:
    """Afterwards nothing of the import machinery is ours."""
    path = stand_in(tmp_path, "litellm", "")
    stand_in(tmp_path, "trace_litellm", "def autolog(): pass")
    program = f"""\
import sys; sys.path.insert(0, {path!r})
import litellm
print(sorted(vars(litellm.__spec__.loader)), litellm.__loader__ is litellm.__spec__.loader)
print([f for f in sys.meta_path if "sitecustomize" in type(f).__module__])
"""
    done = python(tmp_path, program)
    assert done.stdout == "['name', 'path'] True\n[]\n", done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exec")
def test_is_the_program(tmp_path: Path) -> None:
    """The program has the process to itself: its id and its signals are its own."""
    (tmp_path / "program.py").write_text(
        "import os; print(os.getpid(), flush=True); os.kill(os.getpid(), 15)"
    )
    line = [sys.executable, "-m", "trace_litellm._run", "run", sys.executable, "program.py"]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=60)
    assert int(out) == process.pid
    assert process.returncode == -signal.SIGTERM


def test_chains_to_a_sitecustomize_of_the_users(tmp_path: Path) -> None:
    """What ours stands in front of is imported just the same, under its name."""
    path = stand_in(tmp_path, "sitecustomize", "print('mine')")
    program = "import sys; print(sys.modules['sitecustomize'].__file__)"
    done = python(tmp_path, program, PYTHONPATH=path)
    by_the_command, *by_the_program = done.stdout.splitlines()
    assert by_the_command == "mine"
    assert by_the_program == ["mine", str(Path(path, "sitecustomize.py"))], done.stderr


def test_a_broken_sitecustomize_is_told_as_without_us(tmp_path: Path) -> None:
    """The user's own mistake is reported by Python as ever, and costs nothing else."""
    path = stand_in(tmp_path, "sitecustomize", "raise RuntimeError('my own mistake')")
    (tmp_path / "program.py").write_text("print('ran')")
    plain = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    done = python(tmp_path, "print('ran')", PYTHONPATH=path)
    assert "my own mistake" in plain.stderr
    assert (done.returncode, done.stdout) == (0, plain.stdout)
    assert "my own mistake" in done.stderr


def test_a_python_without_trace_litellm_says_so_and_runs(tmp_path: Path) -> None:
    """Where nothing can be traced the program runs as ever, and one line tells why."""
    path = stand_in(tmp_path, "litellm", "")
    stand_in(tmp_path, "trace_litellm", "raise ImportError('not installed')")
    done = python(
        tmp_path, f"import sys; sys.path.insert(0, {path!r})\nimport litellm; print('ran')"
    )
    assert (done.returncode, done.stdout) == (0, "ran\n")
    [line] = done.stderr.splitlines()
    assert line.startswith("trace-litellm: LiteLLM is not traced: ")
    assert "not installed" in line


def test_a_bad_variable_never_stops_the_program(tmp_path: Path) -> None:
    """What cannot be configured costs the traces, not the program, and the variable is named."""
    path = stand_in(tmp_path, "litellm", "")
    program = f"import sys; sys.path.insert(0, {path!r})\nimport litellm; print('ran')"
    done = python(tmp_path, program, TRACE_SINKS="nonsense")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "TRACE_SINKS='nonsense'" in done.stderr


def test_a_litellm_that_cannot_be_imported_fails_as_ever(tmp_path: Path) -> None:
    """An exception out of LiteLLM's import is the program's, and the next import is followed."""
    path = stand_in(tmp_path, "litellm", "import sys; sys.tries += 1; READY = 1 / (sys.tries - 1)")
    stand_in(tmp_path, "trace_litellm", UNREADY)
    program = f"""\
import sys; sys.path.insert(0, {path!r}); sys.tries = 0
try:
    import litellm
except ZeroDivisionError:
    print("failed")
import litellm
"""
    done = python(tmp_path, program)
    assert (done.returncode, done.stdout) == (0, "failed\ntraced 1.0\n"), done.stderr


def test_a_thread_may_import_litellm_while_another_turns_tracing_on(tmp_path: Path) -> None:
    """Neither waits for the other for ever, and the program's own sink is the one in use."""
    path = stand_in(tmp_path, "litellm", "import sys, time; sys.begun.set(); time.sleep(1)")
    program = f"""\
import faulthandler, sys, threading; sys.path.insert(0, {path!r})
faulthandler.dump_traceback_later(60, exit=True)
import trace_litellm
sys.begun = threading.Event()
def load():
    import litellm
other = threading.Thread(target=load); other.start(); sys.begun.wait()
on = trace_litellm.autolog("jsonl:mine.jsonl")
other.join()
print(on is trace_litellm.autolog(), on.tracer.sink.place)
"""
    done = python(tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True ")
    assert "mine.jsonl" in done.stdout


# The command -----------------------------------------------------------------------------------


def test_is_installed_as_a_command() -> None:
    """The package brings ``trace-litellm``."""
    [command] = entry_points(group="console_scripts", name="trace-litellm")
    assert command.load() is main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "what is to be run? For example: trace-litellm run -- python app.py"),
        (["run", "--"], "what is to be run?"),
        (["run", "--sink", "nope", "--", "x"], "unknown sink 'nope'; installed are console, jsonl"),
        (["run", "--sink", "console:9", "--", "x"], "wanted 'console' or 'console:tree'"),
        ([], "usage: trace-litellm"),
    ],
)
def test_says_what_is_wrong_with_its_arguments(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in the command is told before anything runs."""
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert said in capsys.readouterr().err


def test_says_when_there_is_no_such_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell: 127 for a program that is not there."""
    assert main(["run", str(tmp_path / "nothing")]) == 127
    assert "nothing': not found" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission to execute")
def test_says_how_to_run_a_file_of_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell: 126 for a file that is no program; the way to run it is told."""
    (tmp_path / "app.py").write_text("")
    assert main(["run", "--", str(tmp_path / "app.py")]) == 126
    assert f"trace-litellm run -- python {tmp_path / 'app.py'}" in capsys.readouterr().err


def test_options_after_the_program_are_the_programs(tmp_path: Path) -> None:
    """What follows the program is not looked at, not even what looks like ours."""
    shown = run(tmp_path, sys.executable, "-c", "import sys; print(sys.argv)", "--sink", "--", "-h")
    assert shown.stdout == "['-c', '--sink', '--', '-h']\n", shown.stderr


def test_environment_keeps_what_is_there() -> None:
    """Only what is asked for changes; running twice adds nothing twice."""
    plain = {"PYTHONPATH": os.pathsep.join(["a", "b"]), "TRACE_SINKS": "console", "HOME": "h"}
    once = environment_for(plain)
    assert once == {**plain, "PYTHONPATH": os.pathsep.join([str(BOOTSTRAP), "a", "b"])}
    assert environment_for(once) == once
    named = environment_for({}, sinks=["console", "jsonl:x"], service="s")
    assert named == {
        "PYTHONPATH": str(BOOTSTRAP),
        "TRACE_SINKS": "console,jsonl:x",
        "OTEL_SERVICE_NAME": "s",
    }


def test_nothing_else_can_be_imported_from_the_bootstrap() -> None:
    """The folder that comes first on the path shadows no module but the one it stands for."""
    assert [path.name for path in BOOTSTRAP.glob("*") if path.name != "__pycache__"] == [
        "sitecustomize.py"
    ]
