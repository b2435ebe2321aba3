"""The pytest plug-in records a test's calls the first time, and replays them from then on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.provider import Provider

pytestmark = pytest.mark.slow

TEST = """
import litellm
import pytest

MESSAGES = [{"role": "user", "content": "hi"}]


def ask(**more):
    answer = litellm.completion("openai/gpt-4o-mini", MESSAGES, max_retries=0, **more)
    return answer.choices[0].message.content


@pytest.mark.parametrize("seed", [1, 2], ids=["one", "two/2"])
def test_answer(litellm_replay, seed):
    assert ask(seed=seed).startswith("Hello")
    assert litellm_replay.missing == ()


class TestLoose:
    @pytest.mark.litellm_replay(match="loose")
    def test_answer(self, litellm_replay, request):
        recording = request.config.getoption("--record-litellm")
        assert ask(temperature=0.1 if recording else 0.9).startswith("Hello")
"""
WITHOUT_CALLS = TEST.replace("import litellm\n", "")
"""For runs that end before a call: importing LiteLLM takes seconds."""
FAILING = """
from test_calls import ask
def test_fails(litellm_replay):
    ask()
    assert False
"""
CATCHING = """
from test_calls import ask
def test_catches(litellm_replay, request):
    try:
        ask(seed=3 if request.config.getoption("--record-litellm") else 4)
    except Exception:
        pass
"""


def run(folder: Path, *arguments: str, address: str = "http://127.0.0.1:9") -> Any:
    """Run pytest with our plug-in alone."""
    options = ("-q", "-p", "no:cacheprovider", "-p", "trace_litellm._pytest")
    alone = {"OPENAI_API_KEY": "sk-loopback", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=folder,
        env={**os.environ, **alone, "OPENAI_BASE_URL": address, "OPENAI_API_BASE": address},
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with tests."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_calls.py").write_text(TEST)
    return tmp_path


def test_records_once_and_replays(folder: Path) -> None:
    """Without the option a test without a recording fails; the provider is needed once."""
    (folder / "test_calls.py").write_text(WITHOUT_CALLS)
    done = run(folder)
    assert "3 errors" in done.stdout, done.stdout
    assert "make it with pytest --record-litellm" in done.stdout
    (folder / "test_calls.py").write_text(TEST)
    with Provider() as provider:
        done = run(folder, "--record-litellm", address=provider.openai_base)
        assert "3 passed" in done.stdout, done.stdout
    names = sorted(path.name for path in (folder / "recordings" / "test_calls").iterdir())
    assert len(names) == 3
    assert names[0] == "TestLoose.test_answer.jsonl"
    assert names[1] == "test_answer[one].jsonl"
    done = run(folder, address="http://127.0.0.1:9")
    assert "3 passed" in done.stdout, done.stdout


def test_a_wrong_marker_is_one_line(folder: Path) -> None:
    """It names the marker and what is wrong with it, without a traceback of ours."""
    for name, marked in (("calls", 'match="lose"'), ("others", 'mach="loose"')):
        text = WITHOUT_CALLS.replace('match="loose"', marked)
        (folder / f"test_{name}.py").write_text(text)
    done = run(folder, "-k", "TestLoose")
    assert "@pytest.mark.litellm_replay: match='lose'; choose strict or loose" in done.stdout
    assert re.search(
        r"@pytest.mark.litellm_replay: .*unexpected keyword argument 'mach'", done.stdout
    )
    assert "_pytest.py" not in done.stdout


def test_keeps_no_recording_of_a_failed_test(folder: Path) -> None:
    """The next run records again."""
    (folder / "test_failing.py").write_text(FAILING)
    with Provider() as provider:
        address = provider.openai_base
        done = run(folder, "--record-litellm", "test_failing.py", address=address)
    assert "1 failed" in done.stdout, done.stdout
    assert not (folder / "recordings").exists()


def test_records_and_replays_without_a_key(folder: Path) -> None:
    """With ``mock_response``, which the program may leave out from then on; no warning is ours."""
    test = TEST.replace("max_retries=0", 'mock_response="Hello, you."')
    (folder / "test_calls.py").write_text(test)
    done = run(folder, "--record-litellm")
    assert "3 passed" in done.stdout, done.stdout
    assert "DeprecationWarning: litellm" not in done.stdout
    (folder / "test_calls.py").write_text(TEST)
    done = run(folder)
    assert "3 passed" in done.stdout, done.stdout


def test_a_caught_error_fails_the_test(folder: Path) -> None:
    """A program that catches every exception does not hide that a recording is out of date."""
    (folder / "test_catching.py").write_text(CATCHING)
    with Provider() as provider:
        address = provider.openai_base
        done = run(folder, "--record-litellm", "test_catching.py", address=address)
        assert "1 passed" in done.stdout, done.stdout
    done = run(folder, "test_catching.py")
    assert "1 error" in done.stdout, done.stdout
    assert '+  "seed": 4' in done.stdout


def test_costs_other_tests_nothing(tmp_path: Path) -> None:
    """Loading the plug-in imports neither LiteLLM nor trace-core."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    assert 'trace_litellm._pytest' in sys.modules\n"
        "    assert not {'litellm', 'trace_core'} & sys.modules.keys()\n"
    )
    done = run(tmp_path)
    assert "1 passed" in done.stdout, done.stdout
