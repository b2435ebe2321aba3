"""Runs the unit tests on Pythons that only Debian's unstable suite has, in a root of its own.

    python newer_pythons.py ROOT WANTED PYTHON...

ROOT is made by debootstrap, once; WANTED is a file of requirements, whose wheels lie beside it. It
needs Linux and the rights of root. What is mounted is so for the tests alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[2]
TESTED = ("trace-core", "trace-litellm", "trace-mlflow-sink")
MOUNTED = (
    'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount -t tmpfs none "$0/tmp"'
)
NO_WHEEL = 'pyarrow ; python_version < "3.15"\n'
"""What MLflow asks for and has no wheel: is left out. It imports without."""
SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "HOME": "/root",
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "UV_OVERRIDE": "/overrides.txt",
}


def make_root(root: Path, pythons: list[str]) -> None:
    """Make a small Debian with some Pythons, unless it is there."""
    if (root / "usr" / "bin" / f"python{pythons[-1]}").exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    wanted = [name for python in pythons for name in (f"python{python}", f"python{python}-venv")]
    include = f"--include={','.join([*wanted, 'ca-certificates'])}"
    run = ("debootstrap", "--variant=minbase", include, "sid", str(root))
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)


def copy_in(root: Path, wanted: Path) -> None:
    """Put uv, the wheels and the tests there, and what uv needs to reach the index."""
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(os.environ["UV"], root / "usr/local/bin/uv")
    shutil.copy2("/etc/resolv.conf", root / "etc/resolv.conf")
    certificates = os.environ.get("SSL_CERT_FILE")
    if certificates:
        shutil.copy2(certificates, root / "etc/certificates.pem")
    for name in ("src", "wheels"):
        shutil.rmtree(root / name, ignore_errors=True)
    shutil.copytree(wanted.parent, root / "wheels")
    for package in TESTED:
        shutil.copytree(
            SOURCES / f"packages/{package}/tests", root / f"src/packages/{package}/tests"
        )
    for name in ("docs", "tests"):
        shutil.copytree(SOURCES / name, root / "src" / name)
    for name in ("conftest.py", "pyproject.toml", "compat.toml"):
        shutil.copy2(SOURCES / name, root / "src" / name)
    (root / "overrides.txt").write_text(NO_WHEEL)


def inside(root: Path, *command: str) -> int:
    """Run a command in the root, with /proc, /dev and a /tmp of its own; return its exit code."""
    certificates = (
        {"SSL_CERT_FILE": "/etc/certificates.pem"} if os.environ.get("SSL_CERT_FILE") else {}
    )
    enter = f'{MOUNTED} && exec chroot "$0" sh -c \'cd /src && exec "$@"\' sh "$@"'
    whole = ("unshare", "--mount", "sh", "-c", enter, str(root), *command)
    return subprocess.run(whole, env={**SETTINGS, **certificates}, check=False).returncode


def test(root: Path, wanted: str, python: str) -> bool:
    """Install everything for a Python and run the tests; return whether they passed."""
    here = f"/python{python}"
    steps = [
        ("uv", "venv", "--quiet", "--clear", f"--python=python{python}", here),
        ("uv", "pip", "install", "--quiet", f"--python={here}", "-r", f"/wheels/{wanted}"),
    ]
    if any(inside(root, *step) for step in steps):
        return False
    chosen = [f"packages/{package}" for package in TESTED]
    run = (f"{here}/bin/python", "-m", "pytest", "-q", "-n2", "--dist=loadfile")
    return not inside(root, *run, "-m", "not server and not slow", *chosen)


def main() -> None:
    """Test all Pythons, also behind one that failed."""
    root, wanted, *pythons = sys.argv[1:]
    make_root(Path(root), pythons)
    copy_in(Path(root), Path(wanted))
    failed = [python for python in pythons if not test(Path(root), Path(wanted).name, python)]
    if failed:
        sys.exit(f"failed on {', '.join(failed)}")


if __name__ == "__main__":
    main()
