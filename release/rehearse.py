"""Rehearses the release of a package: all but the upload, which goes to an index on loopback.

    python release/rehearse.py trace-core          # what comes first: 0.1.0
    python release/rehearse.py trace-core minor    # what comes after that

In a clone of the last commit the release is prepared, committed and tagged. The package is built
from there, once, and its siblings as they were released last, from their own tags or from the
commits in ``released.toml``. A sibling whose last release refuses the new version is built from the
clone, where its range was raised. All go into a local index, and from there into a fresh
environment. There the package's tests run, and then those of each sibling that cannot do without
it, as that sibling was released.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.requirements import Requirement

from checkout import Package, ReleaseError, find_packages, package_of, tag_of
from contents import faults
from guard import refuse_breakage
from history import last_release, run
from prepare import PARTS, prepare
from sbom import write_sbom

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements" / "all.txt"
GROUPS = ("test", "compat", "nats")
"""Dependency groups that the packages' tests need."""
QUICK = ("--numprocesses=2", "--dist=loadfile", "-m", "not server and not slow")
WHO = ("-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost")


def clone(folder: Path, commit: str = "HEAD") -> Path:
    """Clone this repository, as of a commit.

    Args:
        folder: Where to; it must not be there.
        commit: Any name of a commit.
    """
    run("git", "clone", "--quiet", "--no-checkout", ROOT, folder, folder=ROOT)
    run("git", "checkout", "--quiet", "--detach", commit, folder=folder)
    return folder


def release(name: str, part: str | None, checkout: Path) -> Package:
    """Release a package in a clone, up to the tag.

    Args:
        name: Its name.
        part: What to raise of its version; ``None`` for the first release.
        checkout: The clone.
    """
    packages = find_packages(checkout)
    if name in packages and part is not None:
        _come_after_the_first(packages[name], packages, checkout)
        refuse_breakage(checkout, packages[name], part)
    package = prepare(name, part, packages)
    _commit(checkout, f"Release {tag_of(package)}")
    run("git", *WHO, "tag", "-a", "-m", "A rehearsal", tag_of(package), folder=checkout)
    return package_of(tag_of(package), find_packages(checkout))


def _come_after_the_first(package: Package, packages: dict[str, Package], checkout: Path) -> None:
    """Have all packages released for the first time, and something to tell of this one."""
    for other in packages.values():
        if not other.is_released:
            prepare(other.name, None, packages)
    if not package.fragments:
        note = package.folder / "changes" / "+rehearsal.changed.md"
        note.parent.mkdir(exist_ok=True)
        note.write_text("Released for a rehearsal.\n", "utf-8")
    _commit(checkout, "What came before")


def _commit(checkout: Path, message: str) -> None:
    run("git", "add", "--all", folder=checkout)
    run("git", *WHO, "commit", "--quiet", "--allow-empty", "-m", message, folder=checkout)


def build(package: Package, index: Path) -> Path:
    """Build wheel and sdist of a package into the index; return the wheel.

    Args:
        package: The package.
        index: Folder of the index, which has one for each package.

    Raises:
        ReleaseError: They hold what they should not, or lack something.
    """
    out = index / package.name
    run("uv", "build", "--quiet", "--out-dir", out, package.folder, folder=package.folder)
    (out / ".gitignore").unlink(missing_ok=True)
    if wrong := [f"{path.name}: {fault}" for path in out.iterdir() for fault in faults(path)]:
        raise ReleaseError("\n".join(wrong))
    return next(out.glob(f"*-{package.version}-*.whl"))


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
    began, index = time.monotonic(), scratch / "index"
    checkout = clone(scratch / "checkout")
    package = release(name, part, checkout)
    siblings = [
        _as_released(sibling, package, scratch)
        for sibling in find_packages(checkout).values()
        if sibling.name != name
    ]
    wheels = {one.name: build(one, index) for one in (package, *siblings)}
    pins = [one.with_extras for one in (package, *siblings)]
    with serve(index) as url:
        _install(pins, url, scratch / "venv")
        write_sbom(package, wheels[name], url, scratch / f"{name}.cdx.json")
    for one in (package, *siblings):
        _import_all(one, scratch)
    for tested in (package, *(s for s in siblings if any(s.requirements_on(name, extras=False)))):
        _test(tested, scratch)
    print(package.notes(package.version))
    print(
        f"{tag_of(package)}: its wheel is installed from an index, beside the siblings; its tests "
        f"pass, and those of siblings that need it ({time.monotonic() - began:.0f} s)"
    )


def _as_released(sibling: Package, package: Package, scratch: Path) -> Package:
    """Return a sibling as it was released last, if that takes the new version of the package."""
    last = last_release(ROOT, sibling.name)
    if last is None:
        print(f"beside {sibling.name} as it is: it has never been released")
        return sibling
    folder = scratch / last.commit
    checkout = folder if folder.exists() else clone(folder, last.commit)
    before = find_packages(checkout)[sibling.name]
    wanted = [Requirement(text).specifier for text in before.requirements_on(package.name)]
    if all(package.version in specifier for specifier in wanted):
        print(f"beside {sibling.name} {before.version}, as released")
        return before
    print(f"beside {sibling.name} with a raised range: {before.version} refuses {package.version}")
    return sibling


def _install(pins: list[str], url: str, venv: Path) -> None:
    """Install the versions in the index into a new environment, with what their tests need.

    All else as it is locked: what is tested must not depend on the day.
    """
    groups = [word for name in GROUPS for word in ("--group", f"{ROOT / 'pyproject.toml'}:{name}")]
    run("uv", "venv", "--quiet", "--python", sys.executable, venv, folder=ROOT)
    install = ("uv", "pip", "install", "--quiet", "--python", venv, "--index", url)
    run(*install, "--constraint", LOCK, *pins, *groups, folder=ROOT)


def _import_all(package: Package, scratch: Path) -> None:
    """Import every module of a package: in seconds it is clear what a released sibling lacks."""
    names = sorted(
        ".".join(path.relative_to(package.folder / "src").with_suffix("").parts)
        for path in (package.folder / "src").rglob("*.py")
        if not path.name.startswith("__")
    )
    code = "\n".join(f"import {name}" for name in names)
    try:
        run(scratch / "venv" / "bin" / "python", "-c", code, folder=scratch)
    except ReleaseError as error:
        raise ReleaseError(
            f"{package.name} {package.version} cannot be imported beside its siblings. If it uses "
            "what none of their releases has: release that sibling first, as a new minor version, "
            "and raise the range that is required of it"
        ) from error


def _test(package: Package, scratch: Path) -> None:
    """Run the tests of a package from a folder in which nothing can be imported by chance."""
    empty = scratch / "empty"
    empty.mkdir(exist_ok=True)
    root = package.folder.parent.parent
    config = ("-c", root / "pyproject.toml", "--rootdir", root, "-p", "no:cacheprovider")
    python = scratch / "venv" / "bin" / "python"
    tests = package.folder / "tests"
    print(f"tests of {package.name} {package.version}", flush=True)
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
