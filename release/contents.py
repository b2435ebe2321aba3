"""Looks into built wheels and sdists, for what should not be there and for what is missing.

python release/contents.py dist/*
"""

from __future__ import annotations

import email
import re
import sys
import tarfile
import zipfile
from pathlib import Path

_ABOUT = r"[\w.-]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)"
_PAGE = r"trace_core/_report/assets/\w+\.(css|html|js)"
_TOP = r"(CHANGELOG\.md|LICENSE|PKG-INFO|README\.md|pyproject\.toml|\.gitignore)"
ROOT = Path(__file__).parent.parent
_ABOUT_IT = (
    "Author",
    "Summary",
    "License-Expression",
    "Requires-Python",
    "Description-Content-Type",
)
_TEST = r"tests/([\w.-]+/)*[\w.-]+"


def _code(module: str) -> str:
    return rf"{module}/(\w+/)*\w+\.py|{module}/py\.typed|{module}_pytest\.py|{_PAGE}"


def faults(built: Path) -> list[str]:
    """Name what is in a file and should not be, and what is missing from it.

    Args:
        built: A wheel, or an sdist.
    """
    module = built.name.partition("-")[0]
    if built.suffix == ".whl":
        names = [n for n in zipfile.ZipFile(built).namelist() if not n.endswith("/")]
        allowed = rf"{_code(module)}|{_ABOUT}"
        needed = [f"{module}/__init__.py", f"{module}/py.typed", "/licenses/LICENSE", "/METADATA"]
    else:
        with tarfile.open(built) as archive:
            files = [member.name for member in archive.getmembers() if not member.isdir()]
        names = [name.partition("/")[2] for name in files]
        allowed = rf"src/({_code(module)})|{_TOP}|{_TEST}"
        needed = [f"src/{module}/__init__.py", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"]
    strange = [f"{name} should not be there" for name in names if not re.fullmatch(allowed, name)]
    return strange + [f"no {end}" for end in needed if not any(n.endswith(end) for n in names)]


_RELATIVE_LINK = re.compile(r"\]\((?!\w+:|#)[^)]+\)")


def repository(root: Path) -> str:
    """Return where the repository is; empty while nobody has said so.

    Args:
        root: The checkout.
    """
    found = re.search(r'^repository = "(.*)"$', (root / "pyproject.toml").read_text(), re.MULTILINE)
    return found[1] if found else ""


def told_wrong(wheel: Path, address: str) -> list[str]:
    """Name what the metadata of a wheel lacks, and what would lead nowhere from the index.

    Args:
        wheel: The wheel.
        address: Where the repository is; empty if nobody has said so.
    """
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    page = str(metadata.get_payload())
    wrong = [f"links to {link[2:-1]}: wanted a URL" for link in _RELATIVE_LINK.findall(page)]
    wrong += [f"has no {key}" for key in _ABOUT_IT if not metadata.get(key)]
    links = metadata.get_all("Project-URL", [])
    if not address:
        return wrong + [f"says {link}: set the address, by nox -s address" for link in links]
    wrong += [f"says {link}: wanted {address}" for link in links if f" {address}/" not in link]
    return wrong + ([] if links else ["has no Project-URL"])


def main() -> int:
    """Print the faults of the files that are named."""
    built = [Path(argument) for argument in sys.argv[1:]]
    address = repository(ROOT)
    found = [f"{path.name}: {fault}" for path in built for fault in faults(path)]
    wheels = [path for path in built if path.suffix == ".whl"]
    found += [f"{path.name}: {fault}" for path in wheels for fault in told_wrong(path, address)]
    where = f"at {address}" if address else "at no known address, so they have no project URLs"
    print("\n".join(found) or f"{len(built)} files hold what they should, {where}", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
