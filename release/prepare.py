"""Prepares the release of one package: its version, its changelog, what its siblings require.

    python release/prepare.py trace-core minor    # after the first release
    python release/prepare.py trace-core          # the first one: its version is there already

It changes files and commits nothing: look at the difference, then do what it prints.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from checkout import UNRELEASED, Package, ReleaseError, find_packages, tag_of
from guard import refuse_breakage

PARTS = ("major", "minor", "patch")


def bump(version: Version, part: str) -> Version:
    """Return the version after another one.

    Args:
        version: The present one.
        part: One of `PARTS`.
    """
    major, minor, patch = version.release
    following = {
        "major": (major + 1, 0, 0),
        "minor": (major, minor + 1, 0),
        "patch": (major, minor, patch + 1),
    }
    return Version(".".join(map(str, following[part])))


def prepare(name: str, part: str | None, packages: dict[str, Package]) -> Package:
    """Change the files of a checkout for a release.

    Args:
        name: Name of the package.
        part: What to raise of its version; ``None`` for the first release.
        packages: All packages of the checkout.

    Raises:
        ReleaseError: There is nothing to release, or it is not said which version.
    """
    if name not in packages:
        raise ReleaseError(f"there is no package {name!r}; there are {', '.join(packages)}")
    package = packages[name]
    if package.is_released:
        _raise_version(package, part)
    elif part is None:
        _date_first(package)
    else:
        raise ReleaseError(f"{name} {package.version} is not released yet: leave {part!r} out")
    for sibling in packages.values():
        _follow(sibling, package)
    return package


def _raise_version(package: Package, part: str | None) -> None:
    if part is None:
        raise ReleaseError(f"{package.name} {package.version} is released: say {'|'.join(PARTS)}")
    if not package.fragments:
        raise ReleaseError(f"{package.folder}/changes has no fragment: there is nothing to release")
    version = bump(package.version, part)
    config = Path(__file__).with_name("towncrier.toml")
    command = (sys.executable, "-m", "towncrier", "build", "--yes", "--config", str(config))
    where = ("--dir", str(package.folder), "--version", str(version))
    here = package.folder  # it asks git there
    subprocess.run((*command, *where), cwd=here, check=True, stdout=subprocess.DEVNULL)
    package.version = version


def _date_first(package: Package) -> None:
    text = package.changelog.read_text("utf-8")
    today = datetime.now(tz=timezone.utc).date().isoformat()
    heading = f"## {package.version} - "
    dated = text.replace(f"{heading}{UNRELEASED}", f"{heading}{today}", 1)
    package.changelog.write_text(dated, "utf-8")


def _follow(sibling: Package, released: Package) -> None:
    """Have a sibling allow the new version, if it does not; its users learn of it."""
    version = released.version
    for text in sibling.requirements_on(released.name):
        wanted = Requirement(text)
        if version in wanted.specifier:
            continue
        extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
        series = f">={version.major}.{version.minor},<{version.major}.{version.minor + 1}"
        changed = sibling.pyproject.read_text("utf-8").replace(
            f'"{text}"', f'"{wanted.name}{extras}{series}"'
        )
        sibling.pyproject.write_text(changed, "utf-8")
        if sibling.is_released:
            note = sibling.folder / "changes" / f"+{released.name}-{version}.changed.md"
            note.parent.mkdir(exist_ok=True)
            note.write_text(f"Requires {released.name} {version.major}.{version.minor}.\n", "utf-8")


def main() -> int:
    """Prepare a release, and say what comes next."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package")
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--root", type=Path, default=Path(__file__).parent.parent)
    options = parser.parse_args()
    try:
        packages = find_packages(options.root)
        if options.package in packages:
            refuse_breakage(options.root, packages[options.package], options.part)
        package = prepare(options.package, options.part, packages)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    tag = tag_of(package)
    print(f"{package.name} is {package.version} now. Look at the difference, then:")
    print(f"  git add packages && git commit -m 'Release {package.name} {package.version}'")
    print(f"  git tag -s {tag}")
    print(f"  git push origin HEAD {tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
