"""Writes where the repository is into everything that says so.

    python release/address.py https://github.com/OWNER/NAME

That is the root ``pyproject.toml``, from which the rest follows: the project URLs of each package,
the links of its README as the index shows it, and CODEOWNERS.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from checkout import find_packages

ROOT = Path(__file__).parent.parent
_URLS = re.compile(r"\n\[project\.urls\]\n(.+\n)+")
_LINK = re.compile(r"^replacement = '.*'$", re.MULTILINE)
_BEFORE = "\n# `nox -s address` writes these"
_OWNERS = "# Who reviews what. `nox -s address` writes the owner.\n"


def urls(address: str, name: str) -> dict[str, str]:
    """Return the project URLs of a package.

    Args:
        address: Where the repository is.
        name: Name of the package.
    """
    if not address:
        return {}
    blob = f"{address}/blob/main"
    return {
        "Changelog": f"{blob}/packages/{name}/CHANGELOG.md",
        "Documentation": f"{blob}/docs/getting-started.md",
        "Issues": f"{address}/issues",
        "Source": f"{address}/tree/main/packages/{name}",
    }


def written(text: str, address: str, name: str) -> str:
    """Return a package's ``pyproject.toml`` with the address in it, in place of any other.

    Args:
        text: What it is.
        address: Where the repository is.
        name: Name of the package.
    """
    lines = [f'{label} = "{url}"\n' for label, url in urls(address, name).items()]
    table = "".join(["\n[project.urls]\n", *lines]) if lines else ""
    link = rf"[\1]({address}/blob/main/packages/{name}/\2)" if address else r"\1"
    text = _URLS.sub("", text, count=1).replace(_BEFORE, f"{table}{_BEFORE}", 1)
    return _LINK.sub(lambda _: f"replacement = '{link}'", text, count=1)


def owners(address: str) -> str:
    """Return the text of CODEOWNERS.

    Args:
        address: Where the repository is.
    """
    if not address:
        return f"{_OWNERS}# Nobody has said yet where the repository is, and so whose it is.\n"
    return f"{_OWNERS}* @{address.split('/')[3]}\n"


def write(root: Path, address: str) -> None:
    """Write the address into a checkout.

    Args:
        root: The checkout.
        address: Where the repository is.
    """
    config = root / "pyproject.toml"
    line = re.compile(r'^repository = ".*"$', re.MULTILINE)
    config.write_text(line.sub(f'repository = "{address}"', config.read_text("utf-8")), "utf-8")
    for package in find_packages(root).values():
        text = written(package.pyproject.read_text("utf-8"), address, package.name)
        package.pyproject.write_text(text, "utf-8")
    (root / ".github" / "CODEOWNERS").write_text(owners(address), "utf-8")


def main() -> int:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address")
    address = parser.parse_args().address.rstrip("/")
    if not re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+", address):
        print(f"{address}: wanted an address like https://github.com/OWNER/NAME", file=sys.stderr)
        return 1
    write(ROOT, address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
