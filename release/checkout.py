"""The packages of this repository: their versions, changelogs, and siblings they require."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.version import Version

_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
_HEADING = re.compile(r"^## (\S+) - (\S+)$", re.MULTILINE)
UNRELEASED = "unreleased"


class ReleaseError(Exception):
    """A release cannot be made as things are; the message says what to do."""


@dataclass
class Package:
    """One package.

    Args:
        folder: Where it is, such as ``packages/trace-core``.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Its name on the index."""
        return self.folder.name

    @property
    def pyproject(self) -> Path:
        """The file that has its version."""
        return self.folder / "pyproject.toml"

    @property
    def changelog(self) -> Path:
        """The file whose first heading is the newest version."""
        return self.folder / "CHANGELOG.md"

    @property
    def fragments(self) -> list[Path]:
        """What has changed since the last release, a file each."""
        return sorted((self.folder / "changes").glob("*.*.md"))

    @property
    def version(self) -> Version:
        """The version in ``pyproject.toml``."""
        found = _VERSION.search(self.pyproject.read_text("utf-8"))
        if found is None:
            raise ReleaseError(f"{self.pyproject} has no line 'version = \"X.Y.Z\"'")
        return Version(found[1])

    @version.setter
    def version(self, version: Version) -> None:
        text = self.pyproject.read_text("utf-8")
        self.pyproject.write_text(_VERSION.sub(f'version = "{version}"', text, count=1), "utf-8")

    @property
    def headings(self) -> list[tuple[str, str]]:
        """Versions in the changelog and their dates, the newest first."""
        return _HEADING.findall(self.changelog.read_text("utf-8"))

    @property
    def is_released(self) -> bool:
        """Whether the newest version in the changelog has a date."""
        return bool(self.headings) and self.headings[0][1] != UNRELEASED

    def notes(self, version: Version) -> str:
        """Return what the changelog says of one version.

        Args:
            version: One that has a heading there.
        """
        parts = re.split(r"^## ", self.changelog.read_text("utf-8"), flags=re.MULTILINE)
        for part in parts[1:]:
            heading, _, rest = part.partition("\n")
            if heading.split(" - ")[0] == str(version):
                return rest.strip() + "\n"
        raise ReleaseError(f"{self.changelog} has no heading for {version}")

    @property
    def with_extras(self) -> str:
        """What an installer calls this version, with all of its extras."""
        project = tomllib.loads(self.pyproject.read_text("utf-8"))["project"]
        extras = ",".join(project.get("optional-dependencies", ()))
        return (
            f"{self.name}[{extras}]=={self.version}" if extras else f"{self.name}=={self.version}"
        )

    def requirements_on(self, sibling: str, *, extras: bool = True) -> Iterator[str]:
        """Find what this package requires of another one, as it is written.

        Args:
            sibling: Name of the other one.
            extras: Whether what an extra requires counts.
        """
        project = tomllib.loads(self.pyproject.read_text("utf-8"))["project"]
        optional = project.get("optional-dependencies", {}).values() if extras else ()
        for text in [*project.get("dependencies", ()), *(one for some in optional for one in some)]:
            if Requirement(text).name == sibling:
                yield text


def find_packages(root: Path) -> dict[str, Package]:
    """Find the packages of a checkout, by name.

    Args:
        root: The checkout.
    """
    folders = sorted(path.parent for path in root.glob("packages/*/pyproject.toml"))
    return {folder.name: Package(folder) for folder in folders}


def tag_of(package: Package) -> str:
    """Return the tag of a package's release, such as ``trace-core-v0.1.0``."""
    return f"{package.name}-v{package.version}"


def package_of(tag: str, packages: dict[str, Package]) -> Package:
    """Return the package that a tag is of, if tag, version and changelog agree.

    Args:
        tag: Such as ``trace-core-v0.1.0``.
        packages: All packages.

    Raises:
        ReleaseError: They do not agree.
    """
    name, _, version = tag.rpartition("-v")
    package = packages.get(name)
    if package is None:
        raise ReleaseError(f"tag {tag}: wanted NAME-vX.Y.Z with a NAME of {', '.join(packages)}")
    heading = package.headings[0] if package.headings else ("nothing", "")
    if not version == str(package.version) == heading[0] or not package.is_released:
        raise ReleaseError(
            f"tag {tag}: pyproject.toml says {package.version}, and the changelog begins with "
            f"{' - '.join(heading)}; prepare the release with: nox -s release -- {name}"
        )
    return package
