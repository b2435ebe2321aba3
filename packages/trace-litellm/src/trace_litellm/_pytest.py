"""The pytest plug-in: the fixture `litellm_replay`, and the option ``--record-litellm``.

pytest imports it in every run of a program that has us installed, so it imports nothing of ours
before the fixture is used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from trace_litellm import Replay

_OPTION: Final = "--record-litellm"
_MARKER: Final = "litellm_replay"
_LONGEST_NAME: Final = 100
_failed: Final = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option to record."""
    parser.getgroup("trace-litellm").addoption(
        _OPTION,
        action="store_true",
        help="record LiteLLM's calls of tests that use the fixture litellm_replay and have no "
        "recording yet; they are real, with a key and at a cost",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(**options): arguments of trace_litellm.replay, such as match='loose', for the "
        f"fixture {_MARKER}",
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any]:
    """Note whether a test has failed: then its recording is not kept."""
    outcome = yield
    if outcome.get_result().failed:
        item.stash[_failed] = True


@pytest.fixture
def litellm_replay(request: pytest.FixtureRequest) -> Generator[Replay]:
    """Answer LiteLLM's calls of a test from ``recordings/MODULE/TEST.jsonl`` beside its module.

    With ``--record-litellm`` a test without a recording makes real calls, which are recorded if it
    passes. Else such a test fails. It fails as well at its end if it has caught the error of a call
    that was not recorded.
    """
    import trace_litellm
    from trace_core import ConfigurationError

    path = _path_of(request.node)
    marker = request.node.get_closest_marker(_MARKER)
    try:
        replayed = trace_litellm.replay(path, **(marker.kwargs if marker else {}))
    except (ConfigurationError, TypeError) as error:
        pytest.fail(f"@pytest.mark.{_MARKER}: {error}", pytrace=False)
    if path.exists():
        with replayed:
            yield replayed
        _tell_missing(request.node, replayed)
    elif request.config.getoption(_OPTION):
        part = path.with_name(f"{path.name}.part")
        try:
            with trace_litellm.record(part):
                yield replayed
            if not request.node.stash.get(_failed, False):
                part.replace(path)
        finally:
            _drop(part)
    else:
        pytest.fail(f"no recording {path}: make it with pytest {_OPTION}", pytrace=False)


def _drop(recording: Path) -> None:
    """Remove a recording that is not kept, and the folders that were made for it alone."""
    if recording.exists():
        recording.unlink()
        for folder in (recording.parent, recording.parent.parent):
            with suppress(OSError):  # other recordings are in it
                folder.rmdir()


def _path_of(node: Any) -> Path:
    """Name the recording of a test after it; parameters may have any characters in them."""
    name = ".".join(node.nodeid.split("::")[1:])
    plain = re.sub(r"[^\w.\[\]=+-]+", "_", name)
    if plain != name or len(plain) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
        plain = f"{plain[:_LONGEST_NAME]}-{digest}"
    folder: Path = node.path.parent / "recordings" / node.path.stem
    return folder / f"{plain}.jsonl"


def _tell_missing(node: Any, replayed: Replay) -> None:
    if replayed.missing and not node.stash.get(_failed, False):
        told = "\n\n".join(map(str, replayed.missing))
        pytest.fail(f"the test caught the error of a call that was not recorded:\n{told}", False)
