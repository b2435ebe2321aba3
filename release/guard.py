"""Holds every package of this checkout to its last release, or says what has to be noted.

python release/guard.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from checkout import Package, ReleaseError, find_packages
from history import Release, breakages, has_changed, last_release

ROOT = Path(__file__).parent.parent
_TELLING = (".changed.md", ".removed.md")
"""Kinds of fragments that may tell users of an API that is not what it was."""


def faults(root: Path, package: Package) -> Iterator[str]:
    """Find what keeps a package from being released as it is.

    Before its first release there is nobody to break anything for: what would count is printed.

    Args:
        root: The checkout.
        package: The package.
    """
    if not package.is_released:
        _show_changes(root, package)
        return
    since = last_release(root, package.name)
    if since is None or package.version > since.version:
        return  # the release of it is prepared: the changelog has what the fragments said
    broken = breakages(root, package, since)
    if has_changed(root, package, since) and not package.fragments:
        yield (
            f"{package.name} is not what {since.version} was: note what users see of it, in "
            f"packages/{package.name}/changes/+what-it-is-about.KIND.md"
        )
    elif broken and not any(path.name.endswith(_TELLING) for path in package.fragments):
        yield "\n".join([_broken(package, since), *broken, "note it in a fragment .removed.md"])


def _show_changes(root: Path, package: Package) -> None:
    """Print what has changed in an API that nobody has yet, if this clone has what it was."""
    try:
        since = last_release(root, package.name)
        broken = breakages(root, package, since) if since else []
    except ReleaseError as error:
        broken = [str(error)]
    if broken:
        print("\n".join([f"{package.name}: not released yet, so this may change:", *broken]))


def refuse_breakage(root: Path, package: Package, part: str | None) -> None:
    """Refuse a patch release that breaks the public API.

    Args:
        root: The checkout.
        package: The package that is released.
        part: What is raised of its version.

    Raises:
        ReleaseError: It takes something away; the message names it.
    """
    since = last_release(root, package.name) if part == "patch" else None
    if since and (broken := breakages(root, package, since)):
        why = f"{_broken(package, since)} A patch release must not: say minor."
        raise ReleaseError("\n".join([why, *broken]))


def _broken(package: Package, since: Release) -> str:
    return f"{package.name} takes away from, or changes, the public API of {since.version}."


def main() -> int:
    """Print the faults of all packages."""
    try:
        found = [fault for p in find_packages(ROOT).values() for fault in faults(ROOT, p)]
    except ReleaseError as error:
        found = [str(error)]
    print("\n".join(found) or "all packages keep to their last release", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
