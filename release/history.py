"""What was released last of each package, and what has changed since."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import griffe
import tomllib
from packaging.version import Version

from checkout import Package, ReleaseError

STAND_INS = "release/released.toml"
_OF_USERS = ("src", "pyproject.toml")
"""What users get of a package; its tests and pages are for us."""
_ATTRS = Path(__file__).parent.parent / "docs_site" / "attrs_classes.py"


@dataclass
class Release:
    """The last release of a package.

    Args:
        name: Name of the package.
        version: Its version.
        commit: What it was built from: a tag, or what stands for one.
        tagged: Whether that is a tag.
    """

    name: str
    version: Version
    commit: str
    tagged: bool


def run(*command: object, folder: Path, quiet: bool = True) -> str:
    """Run a command; return what it printed.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        quiet: Whether its output is kept back.

    Raises:
        ReleaseError: It failed.
    """
    environ = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    words = [str(word) for word in command]
    pipe = subprocess.PIPE if quiet else None
    done = subprocess.run(words, cwd=folder, text=True, env=environ, stdout=pipe, check=False)
    if done.returncode:
        raise ReleaseError(f"failed: {' '.join(words)}\n{done.stdout or ''}")
    return done.stdout or ""


def last_release(root: Path, name: str) -> Release | None:
    """Return the newest release of a package; ``None`` if there is none.

    Args:
        root: The checkout.
        name: Name of the package.

    Raises:
        ReleaseError: This clone does not have the commit.
    """
    newest = max(_releases(root, name), key=lambda r: (r.version, r.tagged), default=None)
    if newest is not None:
        _demand(root, newest)
    return newest


def _releases(root: Path, name: str) -> Iterator[Release]:
    for tag in run("git", "tag", "--list", f"{name}-v*", folder=root).split():
        yield Release(name, Version(tag.rpartition("-v")[2]), tag, tagged=True)
    lines = tomllib.loads((root / STAND_INS).read_text("utf-8"))
    if line := lines.get(name):
        yield Release(name, Version(line["version"]), line["commit"], tagged=False)


def _demand(root: Path, release: Release) -> None:
    try:
        run("git", "rev-parse", "--quiet", "--verify", f"{release.commit}^{{commit}}", folder=root)
    except ReleaseError as error:
        raise ReleaseError(
            f"{release.name} {release.version} was built from {release.commit}, which is not in "
            "this clone: fetch all of the history, by git fetch --unshallow --tags"
        ) from error


def has_changed(root: Path, package: Package, since: Release) -> bool:
    """Return whether users would get something else of a package than its last release.

    Args:
        root: The checkout.
        package: The package.
        since: The release.
    """
    paths = [package.folder / path for path in _OF_USERS]
    names = run("git", "diff", "--name-only", since.commit, "--", *paths, folder=root)
    return bool(names.strip())


def breakages(root: Path, package: Package, since: Release) -> list[str]:
    """Name what the public API of a release has and that of a checkout has not, or has otherwise.

    Args:
        root: The checkout.
        package: The package.
        since: The release.
    """
    module = package.name.replace("-", "_")
    source = package.folder / "src"
    how = {"resolve_aliases": True, "allow_inspection": False, "extensions": _extensions()}
    before = griffe.load_git(
        module, ref=since.commit, repo=root, search_paths=[source.relative_to(root)], **how
    )
    now = griffe.load(module, search_paths=[source], **how)
    found = griffe.find_breaking_changes(before, now)
    return [breakage.explain(griffe.ExplanationStyle.MARKDOWN) for breakage in found]


def _extensions() -> griffe.Extensions:
    """Have attrs classes the constructors that attrs writes for them: these are public too."""
    return griffe.load_extensions(str(_ATTRS))
