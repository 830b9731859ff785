"""How wheels are made: interpreters are found by what they are, incomplete archives are refused."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
THIS = f"3.{sys.version_info.minor}"


@pytest.mark.parametrize("program", ["dist"], indirect=True)
def test_interpreters_are_found_by_what_they_are(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.find(THIS) is not None
    liar = tmp_path / "python3.99"
    liar.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    liar.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program.find("3.99") is None


@pytest.mark.parametrize("program", ["contents"], indirect=True)
def test_wheel_without_its_bill_is_refused(program: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "kinlimit-0.1.0-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("kinlimit-0.1.0.dist-info/licenses/LICENSE", "")
        wheel.writestr("ratelimit/core/left.c", "")
    wrong = "\n".join(program.complaints(str(path)))
    assert "lacks /sboms/kinlimit.cdx.json" in wrong
    assert "carries ratelimit/core/left.c" in wrong
    assert "LICENSE" not in wrong


def test_addresses_come_from_the_one_who_packs() -> None:
    code = "import sys; sys.argv = ['setup.py', '--quiet', '--version']; import setup; print(setup.urls())"

    def told(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment
        )

    assert told().stdout.splitlines()[-1] == "{}"
    found = told(KINLIMIT_URL="https://forge.example/kinlimit/").stdout
    assert "'Issues': 'https://forge.example/kinlimit/issues'" in found
    assert "must begin with https://" in told(KINLIMIT_URL="forge.example").stderr


@pytest.mark.parametrize("program", ["dist"], indirect=True)
def test_metadata_names_the_versions_that_wheels_are_built_for(program: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {m[1] for each in project["classifiers"] if (m := re.search(r":: (3\.\d+)$", each))}
    assert named == {version.rstrip("t") for version in program.PYTHONS}
    assert f">={min(named, key=lambda v: int(v[2:]))}" == project["requires-python"]
