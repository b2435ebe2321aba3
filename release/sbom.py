"""Writes what a package brings along, as a software bill of materials (CycloneDX).

python release/sbom.py trace-core dist trace-core.cdx.json
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from checkout import Package, find_packages
from history import run

ROOT = Path(__file__).parent.parent


def write_sbom(package: Package, wheel: Path, siblings: str, file: Path) -> None:
    """Install a wheel alone, and write down what came with it.

    Args:
        package: The package.
        wheel: Its wheel.
        siblings: A page or folder that has the wheels of its siblings.
        file: Where to write.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        run("uv", "venv", "--quiet", "--python", sys.executable, venv, folder=ROOT)
        where = ("--index", siblings) if "://" in siblings else ("--find-links", siblings)
        run("uv", "pip", "install", "--quiet", "--python", venv, *where, wheel, folder=ROOT)
        about = ("--pyproject", package.pyproject, "--output-reproducible")
        tool = (sys.executable, "-m", "cyclonedx_py", "environment", venv)
        run(*tool, *about, "--output-file", file, folder=ROOT)


def main() -> int:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package")
    parser.add_argument("dist", type=Path)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    package = find_packages(ROOT)[options.package]
    (wheel,) = options.dist.glob(f"{package.name.replace('-', '_')}-*.whl")
    write_sbom(package, wheel, str(options.dist), options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
