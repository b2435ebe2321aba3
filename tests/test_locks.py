"""The locked environments of requirements/: hashes, no addresses, and what pyproject.toml asks for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="what the locks are made of is TOML")
requirements = pytest.importorskip("packaging.requirements")
utils = pytest.importorskip("packaging.utils")

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
LINE = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.!+-]+)( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


@cache
def toml(name: str) -> dict:
    """A file of the root."""
    return tomllib.loads((ROOT / name).read_text("utf-8"))


def group(name: str) -> Iterator[str]:
    """The requirements of a group, and of those it includes."""
    for entry in toml("pyproject.toml")["dependency-groups"][name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from group(entry["include-group"])


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions in a lock; more than one where it depends on the Python."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text("utf-8").splitlines():
        if pin := LINE.fullmatch(line):
            found.setdefault(utils.canonicalize_name(pin["name"]), set()).add(pin["version"])
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_holds_versions_and_hashes_alone(lock):
    """No address of an index, no option, no path; each version has a hash at least."""
    lines = lock.read_text("utf-8").splitlines()
    assert [line for line in lines if not LINE.fullmatch(line) and not HASH.fullmatch(line)] == []
    unhashed = [
        a for a, b in itertools.pairwise([*lines, ""]) if LINE.fullmatch(a) and "--hash" not in b
    ]
    assert unhashed == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_has_what_its_group_asks_for(lock):
    """Whoever changes a group of pyproject.toml makes the locks anew: ``nox -s lock``."""
    here, missing = pins(lock), []
    for wanted in map(requirements.Requirement, group(f"lock-{lock.stem}")):
        versions = here.get(utils.canonicalize_name(wanted.name), set())
        if not versions or not any(
            wanted.specifier.contains(v, prereleases=True) for v in versions
        ):
            missing.append(str(wanted))
    assert missing == []


def test_the_locks_hold_what_is_tested():
    """LiteLLM and MLflow are those of compat.toml."""
    here = pins(ROOT / "requirements" / "all.txt")
    compat = toml("compat.toml")
    assert here["litellm"] == {compat["litellm-main"]}
    assert here["mlflow"] == {compat["mlflow"]}


def test_the_locks_agree():
    """What is in two of them has a version that is in both."""
    here, tools = (pins(ROOT / "requirements" / f"{name}.txt") for name in ("all", "tools"))
    assert {name for name in here.keys() & tools.keys() if not here[name] & tools[name]} == set()
