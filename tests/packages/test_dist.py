"""The building of wheels: interpreters are found by what they are, incomplete archives are refused."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

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


def test_addresses_come_from_the_one_who_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = ast.parse((ROOT / "setup.py").read_text())
    tree.body = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "urls"]
    names: dict[str, Any] = {"os": os}
    exec(compile(tree, "setup.py", "exec"), names)
    monkeypatch.delenv("KINLIMIT_URL", raising=False)
    assert names["urls"]() == {}
    monkeypatch.setenv("KINLIMIT_URL", "https://forge.example/kinlimit/")
    assert names["urls"]()["Issues"] == "https://forge.example/kinlimit/issues"
    monkeypatch.setenv("KINLIMIT_URL", "forge.example")
    with pytest.raises(SystemExit, match="must begin with https://"):
        names["urls"]()


@pytest.mark.parametrize("address", ["", "https://forge.example/kinlimit"])
def test_package_page_has_no_relative_link(address: str) -> None:
    tree = ast.parse((ROOT / "setup.py").read_text())
    tree.body = [
        each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "package_page"
    ]
    names: dict[str, Any] = {"re": re, "HERE": ROOT}
    exec(compile(tree, "setup.py", "exec"), names)
    page = names["package_page"](address)
    targets = re.findall(r"\]\(([^)]*)\)", page)
    assert [target for target in targets if not target.startswith("https://")] == []
    if address:
        assert f"{address}/blob/main/docs/deployment.md#containers" in targets
        assert f"{address}/raw/main/docs/images/one-budget.svg" in targets
    # Every word but those of the picture is still there.
    assert "grows this policy to users behind JWT" in page


@pytest.mark.parametrize("program", ["dist"], indirect=True)
def test_metadata_names_the_versions_that_wheels_are_built_for(program: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {m[1] for each in project["classifiers"] if (m := re.search(r":: (3\.\d+)$", each))}
    assert named == {version.rstrip("t") for version in program.PYTHONS}
    assert f">={min(named, key=lambda v: int(v[2:]))}" == project["requires-python"]


def test_modules_say_that_they_need_the_global_lock() -> None:
    # They rely on it: a free-threaded interpreter takes it back when it loads them, as the pages say.
    assert "freethreading_compatible" not in (ROOT / "setup.py").read_text()
    translated = sorted((ROOT / "build" / "cython" / "ext").rglob("*.c"))
    assert len(translated) > 30
    # The last of three: the first two are chosen where the translation is compiled.
    said = {
        path.name: re.findall(r"__Pyx_FREETHREADING_COMPATIBLE (\w+)", path.read_text())
        for path in translated
    }
    assert {name for name, found in said.items() if found[-1] != "Py_MOD_GIL_USED"} == set()
    assert "takes its global lock back" in (ROOT / "docs" / "deployment.md").read_text()
