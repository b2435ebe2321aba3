"""Runs LiteLLM's own tests without and with tracing, and says which end otherwise.

Tests that end otherwise are run again, alone, three times each way: one that differs from itself
says nothing.

Run: python tests/support/litellm_tests.py CHECKOUT [PYTEST_ARGUMENT ...]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

FOLDER: Final = Path("tests", "test_litellm")
"""LiteLLM's unit tests, most of which need no network."""
_SECONDS: Final = 60
_ROUNDS: Final = 3
_OPTIONS: Final = (
    "-p", "support.traced_tests", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=no",
    f"--timeout={_SECONDS}", "-o", "asyncio_mode=auto", "-o", "junit_family=xunit1",
)  # fmt: skip
_WAYS: Final = ("off", "on")

Outcomes = dict[str, str]


def main() -> None:
    """Run the tests both ways and compare."""
    checkout, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="litellm-tests-") as name:
        folder = Path(name)
        # without LiteLLM's sources, which would be imported in place of what is installed
        shutil.copytree(Path(checkout, FOLDER), folder / FOLDER)
        found = {way: run(folder, way, arguments or [str(FOLDER)]) for way in _WAYS}
        for way, outcomes in found.items():
            print(f"tracing {way}: {summary(outcomes)}")
        print(f"spans of ours: {spans_in(folder)[0]}, troubles of ours: {spans_in(folder)[1]}")
        different = [test for test in found["off"] if found["on"].get(test) != found["off"][test]]
        lasting = [test for test in different if differs(folder, test)]
    print(f"litellm {version('litellm')}: {len(found['off'])} tests")
    print(f"{len(different)} ended otherwise, {len(lasting)} of them each time")
    for test in lasting:
        print(f"  {test}: {found['off'][test]}, with tracing {found['on'].get(test, 'not run')}")
    sys.exit(bool(lasting) or not found["off"])


def run(folder: Path, way: str, arguments: Sequence[str]) -> Outcomes:
    """Run tests once.

    Args:
        folder: Where they are.
        way: Whether tracing is ``on`` or ``off``.
        arguments: Which, and how, as pytest takes it.

    Returns:
        How each ended.
    """
    results, counts = folder / f"{way}.xml", folder / "spans"
    results.unlink(missing_ok=True)
    counts.mkdir(exist_ok=True)
    told = {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "TRACE_TESTS": way,
        "TRACE_TESTS_SPANS": str(counts),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    command = (sys.executable, "-m", "pytest", *_OPTIONS, f"--junitxml={results}", *arguments)
    quiet = subprocess.DEVNULL  # the tests of others say much; that is no matter of ours
    environment = {**os.environ, **told}
    subprocess.run(command, cwd=folder, env=environment, stdout=quiet, stderr=quiet, check=False)
    return outcomes_in(results)


def outcomes_in(results: Path) -> Outcomes:
    """Read how tests ended; an exception's message may hold an address, so its kind is enough."""
    if not results.exists():
        return {}
    found: Outcomes = {}
    for case in ET.parse(results).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{case.get('file')}::{_path_of(case)}"] = kinds[0] if kinds else "passed"
    return found


def _path_of(case: ET.Element) -> str:
    """Return a test's name in its file, with its class."""
    module = str(case.get("file") or "").removesuffix(".py").replace("/", ".")
    inside = str(case.get("classname") or "").removeprefix(module).strip(".")
    return "::".join([*([inside] if inside else []), str(case.get("name"))])


def differs(folder: Path, test: str) -> bool:
    """Run a test alone, a few times each way; return whether no two ends were alike."""
    ends = {way: {run(folder, way, [test]).get(test) for _ in range(_ROUNDS)} for way in _WAYS}
    return not ends["off"] & ends["on"]


def summary(outcomes: Mapping[str, str]) -> str:
    """Count how tests ended."""
    counts: Iterable[tuple[str, int]] = Counter(outcomes.values()).most_common()
    return ", ".join(f"{number} {kind}" for kind, number in counts)


def spans_in(folder: Path) -> tuple[int, int]:
    """Add up the spans that were made in all processes, and what went wrong in tracing."""
    found = [path.read_text("utf-8").split() for path in (folder / "spans").iterdir()]
    return sum(int(spans) for spans, _ in found), sum(int(troubles) for _, troubles in found)


if __name__ == "__main__":
    main()
