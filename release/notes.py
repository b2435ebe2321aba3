"""Checks a tag against version and changelog, and writes the release's notes.

python release/notes.py trace-core-v0.1.0 notes.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from checkout import ReleaseError, find_packages, package_of


def main() -> int:
    """Write the notes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tag")
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    try:
        package = package_of(options.tag, find_packages(Path(__file__).parent.parent))
        options.file.write_text(package.notes(package.version), "utf-8")
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
