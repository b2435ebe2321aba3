"""Compromised releases of LiteLLM, as harmless fakes on an index: what is installed and touched."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import pytest

COMPROMISED = ("1.82.7", "1.82.8", "1.107.0")
GOOD = ("1.82.6", "1.83.14", "1.106.2")
STEALS = "from pathlib import Path\nPath({marker!r}).write_text(__name__)\n"
"""What a fake does when it is imported: it leaves a mark."""


def upload(index: Path, version: str, marker: Path, *, with_pth: bool = False) -> None:
    """Put a fake LiteLLM onto the index."""
    about = f"litellm-{version}.dist-info"
    files = {
        "litellm/__init__.py": STEALS.format(marker=str(marker)),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: litellm\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: us\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
        **({"litellm_init.pth": "# harmless\n"} if with_pth else {}),
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(index / f"litellm-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Where a fake that is imported leaves its mark."""
    return tmp_path / "stolen"


@pytest.fixture
def index(tmp_path: Path, marker: Path) -> Path:
    """Good and compromised releases; the newest is a compromised one."""
    folder = tmp_path / "index"
    folder.mkdir()
    for version in (*GOOD, *COMPROMISED):
        upload(folder, version, marker, with_pth=version == "1.82.8")
    return folder


def installer() -> list[str]:
    """An installer's command, told to look at no index but the fakes."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--no-config", "--no-index", "--python", sys.executable]
    if find_spec("pip") is None:
        pytest.skip("neither uv nor pip is here")
    return [sys.executable, "-m", "pip", "install", "--isolated", "--no-index"]


def install(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Install from the fakes alone."""
    command = [*installer(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def installed(index: Path, folder: Path, requirement: str) -> str:
    """Install into a folder; return the version, or what the installer said."""
    done = install("--no-deps", "--find-links", index, "--target", folder, requirement)
    found = [path.name for path in folder.glob("litellm-*.dist-info")]
    return found[0].removesuffix(".dist-info") if found else done.stdout + done.stderr


def run(folder: Path, tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run a program that finds the fake in place of LiteLLM."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", start + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )


TRACED = """
import logging; logging.basicConfig()
import trace_litellm
on = trace_litellm.autolog("memory")
print(on.active, "litellm" in sys.modules)
"""
DOCTOR = "from trace_litellm._doctor import report; print(report())"


def our_requirement() -> str:
    """What our own metadata says of LiteLLM."""
    (found,) = [text for text in requires("trace-litellm") or () if text.startswith("litellm")]
    return found


def test_an_installer_takes_no_compromised_release(index: Path, tmp_path: Path) -> None:
    """With our requirement, the newest good release is chosen, not the newer compromised one."""
    assert installed(index, tmp_path / "site", our_requirement()) == "litellm-1.106.2"


@pytest.mark.parametrize("version", COMPROMISED)
def test_an_installer_refuses_a_compromised_release(
    index: Path, tmp_path: Path, version: str
) -> None:
    """Who asks for one, and for us, gets neither."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"litellm=={version}\n{our_requirement()}\n")
    done = install("--find-links", index, "--target", tmp_path / "site", "-r", requirements)
    assert done.returncode != 0
    assert not list((tmp_path / "site").glob("litellm*"))


@pytest.mark.slow
@pytest.mark.parametrize("version", COMPROMISED)
@pytest.mark.parametrize("code", [TRACED, DOCTOR], ids=["autolog", "doctor"])
def test_a_compromised_release_is_refused_where_it_is_installed(
    index: Path, marker: Path, tmp_path: Path, version: str, code: str
) -> None:
    """Somebody installed it without us: it is not imported, and the message says what to do."""
    site = tmp_path / "site"
    assert installed(index, site, f"litellm=={version}") == f"litellm-{version}"
    done = run(site, tmp_path, code)
    assert f"LiteLLM {version} is a compromised upload" in done.stderr
    assert "treat every secret" in done.stderr
    assert not marker.exists(), "it was imported"
    if code == TRACED:
        assert done.returncode == 0, done.stderr
        assert done.stdout == "False False\n"


@pytest.mark.parametrize("code", [TRACED, DOCTOR], ids=["autolog", "doctor"])
def test_the_file_left_behind_is_found_beside_a_good_release(
    index: Path, marker: Path, tmp_path: Path, code: str
) -> None:
    """Another release was installed since; the file that runs at each start of Python stayed."""
    site = tmp_path / "site"
    installed(index, site, "litellm==1.83.14")
    (site / "litellm_init.pth").write_text("# harmless\n")
    done = run(site, tmp_path, code)
    assert str(site / "litellm_init.pth") in done.stderr
    assert "treat every secret" in done.stderr
    assert not marker.exists(), "LiteLLM was imported"


def test_it_is_found_in_any_folder_that_python_imports_from(
    index: Path, marker: Path, tmp_path: Path
) -> None:
    """LiteLLM is in one folder, and the file in another, such as that of the user."""
    installed(index, tmp_path / "site", "litellm==1.83.14")
    other = tmp_path / "other"
    other.mkdir()
    (other / "litellm_init.pth").write_text("# harmless\n")
    done = run(tmp_path / "site", tmp_path, f"sys.path.append({str(other)!r})\n{TRACED}")
    assert str(other / "litellm_init.pth") in done.stderr
    assert done.stdout == "False False\n"
    assert not marker.exists(), "LiteLLM was imported"
