"""Workflows and what `make dist` writes beside archives: pinned, without secrets, true to the repository."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text("utf-8"))["jobs"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_jobs_have_no_rights_that_they_do_not_name(path: Path) -> None:
    whole = yaml.safe_load(path.read_text("utf-8"))
    assert whole["permissions"] == {}
    for job in whole["jobs"].values():
        assert job["permissions"]
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_steps_run_what_is_there(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    runs = [step["run"] for job in jobs(path).values() for step in job["steps"] if "run" in step]
    for run in runs:
        for target in (
            re.findall(r"(?:^| )([\w.$()/]+)", run.removeprefix("make")) if run.startswith("make ") else ()
        ):
            name = target.replace(".venv", "$(VENV)")
            assert target.isdigit() or re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE), run
        for script in re.findall(r"\.ci/[\w.]+", run):
            assert (ROOT / script).exists(), run
    assert runs


def test_publishing_trusts_a_workflow_and_keeps_no_secret() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    publish = jobs(ROOT / ".github" / "workflows" / "release.yml")["publish"]
    assert "secrets." not in text
    assert publish["permissions"] == {"id-token": "write", "attestations": "write"}
    assert publish["if"] == "startsWith(github.ref, 'refs/tags/')"
    assert set(publish["needs"]) == {"sdist", "wheels"}


@pytest.mark.skipif(not (Path(sys.prefix) / "bin" / "zizmor").exists(), reason="the lint group has it")
def test_workflows_pass_the_lint() -> None:
    done = subprocess.run(
        [Path(sys.prefix) / "bin" / "zizmor", "--offline", "--no-progress", ROOT / ".github"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("program", ["provenance"], indirect=True)
def test_statement_names_each_archive_by_its_digest(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "version", lambda name: "1")
    (tmp_path / "kinlimit-0.1.0.tar.gz").write_bytes(b"sources")
    (tmp_path / "kinlimit-0.1.0-cp311-cp311-linux_x86_64.whl").write_bytes(b"wheel")
    program.write(tmp_path, "https://forge.example/kinlimit")
    made = json.loads((tmp_path / program.STATEMENT).read_text())
    digests = {each["name"]: each["digest"]["sha256"] for each in made["subject"]}
    assert digests["kinlimit-0.1.0.tar.gz"] == hashlib.sha256(b"sources").hexdigest()
    assert len(digests) == 2
    sums = dict(reversed(line.split("  ")) for line in (tmp_path / program.SUMS).read_text().splitlines())
    assert sums == digests


@pytest.mark.parametrize("program", ["sbom"], indirect=True)
def test_release_names_the_cython_that_translates_it(program: ModuleType) -> None:
    assert re.fullmatch(r"3\.\d+\.\d+", program.constrained())
    for system in ("linux", "macos"):
        assert (
            "constraints.txt"
            in (ROOT / "pyproject.toml").read_text().split(f"[tool.cibuildwheel.{system}]")[1]
        )
