"""Workers that run as another user, and memory that cannot be written to: which user and what is said."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from ratelimit.inspection.access import memory_owners
from ratelimit.inspection.hosts import installation
from ratelimit.stores.embedded import folder
from tests.cli.running import POLICY, in_group, run, write_policy

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for /dev/shm."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr(folder, "SHARED", place)
    monkeypatch.setattr(installation, "SHARED", place)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(folder.tempfile, "tempdir", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    return place


def doctor(policy: Path) -> dict[str, dict[str, Any]]:
    found = json.loads(run("doctor", policy, "--json").stdout)
    return {check["check"]: check for check in found["checks"]}


def memory_of(policy: Path) -> str:
    """Return what the memory of a policy is called."""
    said = run("top", policy).stderr
    return Path(said.split(": ")[-1].split(" is not there")[0]).name


def given_to_nobody(shared: Path, *names: str) -> Path:
    place = shared / f"kinlimit-{NOBODY.pw_uid}"
    place.mkdir(mode=0o700)
    for name in names:
        (place / name).touch()
    os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
    return place


@pytest.mark.parametrize(
    "arguments", [["top"], ["refused"], ["shed"], ["explain", "--live", "-r", "GET / ip=10.0.0.1"]], ids=str
)
def test_where_the_hash_key_is_to_be_found_is_said(
    shared: Path, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIMITS_KEY", raising=False)
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY + '[adaptive]\nfirst_byte = "1s"\n[hashing]\nkey = "env:LIMITS_KEY"\n')
    result = run(*in_group(arguments[0]), policy, *arguments[1:])
    assert result.exit_code == 4
    assert "[hash-key]" in result.stderr
    assert "/proc/PID/environ | grep ^LIMITS_KEY=)" in result.stderr


@as_root
@pytest.mark.parametrize(
    "arguments",
    [["top"], ["shed"], ["explain", "--live", "-r", "GET / ip=10.0.0.1"]],
    ids=["top", "shed", "explain"],
)
def test_user_of_the_workers_is_named(shared: Path, tmp_path: Path, arguments: list[str]) -> None:
    policy = write_policy(tmp_path, POLICY + '[adaptive]\nfirst_byte = "1s"\n')
    given_to_nobody(shared, memory_of(policy))
    result = run(*in_group(arguments[0]), policy, *arguments[1:])
    assert result.exit_code == 4
    assert "no worker of root has run" in result.stderr
    assert "sudo -u nobody ratelimit" in result.stderr


@as_root
def test_doctor_names_the_user_of_the_workers(shared: Path, tmp_path: Path) -> None:
    policy = write_policy(tmp_path)
    assert doctor(policy)["table"]["status"] == "ok"
    given_to_nobody(shared, memory_of(policy))
    found = doctor(policy)["table"]
    assert (found["status"], "nobody" in found["advice"]) == ("warn", True)


@as_root
def test_memory_of_other_policies_is_nobodys_business(shared: Path, tmp_path: Path) -> None:
    given_to_nobody(shared, "another")
    result = run("top", write_policy(tmp_path))
    assert "sudo" not in result.stderr
    assert doctor(tmp_path / "policy.toml")["table"]["status"] == "ok"


@as_root
def test_folder_that_only_looks_like_another_users_is_not_believed(shared: Path, tmp_path: Path) -> None:
    policy = write_policy(tmp_path)
    name = memory_of(policy)
    place = shared / "kinlimit-4711"  # root's own, under another name
    place.mkdir()
    (place / name).touch()
    (shared / "kinlimit-x").mkdir()
    (shared / f"kinlimit-{NOBODY.pw_uid}").symlink_to(place)
    assert list(folder.others_folders()) == []


@as_root
def test_memory_by_path_of_another_user_is_told(shared: Path, tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_bytes(b"x" * 100)
    os.chown(table, NOBODY.pw_uid, NOBODY.pw_gid)
    policy = write_policy(tmp_path, f'{POLICY}\n[store]\nmemory = "{table}"\n')
    assert "nobody" in run("top", policy).stderr
    assert "nobody" in doctor(policy)["table"]["advice"]


def test_shared_memory_that_is_read_only_is_found(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: (
            not (mode & os.W_OK and shared in (path, *Path(path).parents)) and real(path, mode)
        ),
    )
    found = doctor(write_policy(tmp_path))
    assert (found["shared memory"]["status"], str(shared) in found["shared memory"]["says"]) == ("warn", True)
    assert str(tmp_path / "elsewhere") in found["shared memory"]["advice"]


def test_folder_of_ones_own_on_a_read_only_mount_is_found(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shared / f"kinlimit-{os.geteuid()}"
    own.mkdir(mode=0o700)
    real = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: (
            not (mode & os.W_OK and shared in (path, *Path(path).parents)) and real(path, mode)
        ),
    )
    found = doctor(write_policy(tmp_path))
    assert (found["shared memory"]["status"], found["table"]["status"]) == ("fail", "fail")
    assert "read-only" in found["table"]["says"]


def test_user_without_a_name_is_told_by_number() -> None:
    assert memory_owners._name(4_000_000_001) == "user 4000000001"
