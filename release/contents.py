"""Looks into built wheels and sdists, for what should not be there and for what is missing.

python release/contents.py dist/*
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

_ABOUT = r"[\w.-]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)"
_PAGE = r"trace_core/_report/assets/\w+\.(css|html|js)"
_TOP = r"(CHANGELOG\.md|LICENSE|PKG-INFO|README\.md|pyproject\.toml|\.gitignore)"
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


def main() -> int:
    """Print the faults of the files that are named."""
    built = [Path(argument) for argument in sys.argv[1:]]
    found = [f"{path.name}: {fault}" for path in built for fault in faults(path)]
    print("\n".join(found) or f"{len(built)} files hold what they should", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
