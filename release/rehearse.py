"""Rehearses the release of a package: all but the upload, which goes to an index on loopback.

    python release/rehearse.py trace-core

In a clone of the last commit the release is prepared, committed and tagged. The package is built
from there, once, and its siblings as they were released last, from their own tags; a sibling that
has never been released is built as it is. All go into a local index, and from there into a fresh
environment, in which the package's tests run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from checkout import Package, ReleaseError, find_packages, package_of, tag_of
from prepare import PARTS, prepare

ROOT = Path(__file__).parent.parent
GROUPS = ("test", "compat", "nats")
"""Dependency groups that the packages' tests need."""
QUICK = ("-m", "not server and not slow")


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


def clone(folder: Path, commit: str = "HEAD") -> Path:
    """Clone this repository, as of a commit.

    Args:
        folder: Where to; it must not be there.
        commit: Any name of a commit.
    """
    run("git", "clone", "--quiet", "--no-checkout", ROOT, folder, folder=ROOT)
    run("git", "checkout", "--quiet", "--detach", commit, folder=folder)
    return folder


def build(package: Package, index: Path) -> Path:
    """Build wheel and sdist of a package into the index; return the wheel.

    Args:
        package: The package.
        index: Folder of the index, which has one for each package.
    """
    out = index / package.name
    run("uv", "build", "--quiet", "--out-dir", out, package.folder, folder=package.folder)
    return next(out.glob(f"*-{package.version}-*.whl"))


def released(name: str) -> str | None:
    """Return the tag of the newest release of a package; ``None`` if it has none."""
    tags = run("git", "tag", "--list", f"{name}-v*", folder=ROOT).split()
    return max(tags, key=lambda tag: Version(tag.rpartition("-v")[2]), default=None)


@contextmanager
def serve(index: Path) -> Iterator[str]:
    """Serve an index on loopback; its URL is good inside the block.

    Args:
        index: A folder with a folder of files for each package.
    """

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing of requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(index))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def rehearse(name: str, part: str | None, scratch: Path) -> None:
    """Rehearse the release of one package.

    Args:
        name: Its name.
        part: What to raise of its version; ``None`` for the first release.
        scratch: An empty folder.

    Raises:
        ReleaseError: Something is not as it has to be.
    """
    checkout = clone(scratch / "checkout")
    package = prepare(name, part, find_packages(checkout))
    tag = tag_of(package)
    run("git", "add", "--all", folder=checkout)
    who = ("-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost")
    run("git", *who, "commit", "--quiet", "-m", f"Release {tag}", folder=checkout)
    package_of(tag, find_packages(checkout))
    index = scratch / "index"
    wheels = {name: build(package, index)}
    for sibling in find_packages(checkout).values():
        if sibling.name != name:
            wheels |= _sibling(_as_released(sibling, scratch), package, index)
    with serve(index) as url:
        _install(wheels, url, scratch / "venv")
    _test(package, scratch)
    print(f"{tag}: its wheel is installed from an index, beside the released siblings; tests pass")


def _sibling(sibling: Package, package: Package, index: Path) -> dict[str, Path]:
    """Build a sibling as it was released, unless it refuses the new version of the package."""
    wanted = [Requirement(text).specifier for text in sibling.requirements_on(package.name)]
    if not all(package.version in specifier for specifier in wanted):
        print(f"{sibling.name} {sibling.version} refuses {package.version}: release it afterwards")
        return {}
    print(f"beside {sibling.name} {sibling.version}")
    return {sibling.name: build(sibling, index)}


def _as_released(sibling: Package, scratch: Path) -> Package:
    tag = released(sibling.name)
    if tag is None:
        return sibling
    return find_packages(clone(scratch / tag, tag))[sibling.name]


def _install(wheels: dict[str, Path], url: str, venv: Path) -> None:
    """Install the versions in the index into a new environment, with what their tests need."""
    pins = [f"{name}=={wheel.name.split('-')[1]}" for name, wheel in sorted(wheels.items())]
    groups = [word for name in GROUPS for word in ("--group", f"{ROOT / 'pyproject.toml'}:{name}")]
    run("uv", "venv", "--quiet", "--python", sys.executable, venv, folder=ROOT)
    install = ("uv", "pip", "install", "--quiet", "--python", venv, "--index", url)
    run(*install, *pins, *groups, folder=ROOT)


def _test(package: Package, scratch: Path) -> None:
    empty = scratch / "empty"
    empty.mkdir()
    config = ("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "no:cacheprovider")
    python = scratch / "venv" / "bin" / "python"
    tests = package.folder / "tests"
    run(python, "-m", "pytest", "-q", *config, *QUICK, tests, folder=empty, quiet=False)


def main() -> int:
    """Rehearse, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package")
    parser.add_argument("part", nargs="?", choices=PARTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            rehearse(options.package, options.part, Path(folder))
        except ReleaseError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
