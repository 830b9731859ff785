"""The doctor about this installation and a host's memory: what is well, and each thing that is not."""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import ratelimit
from ratelimit.inspection.hosts import installation
from ratelimit.policy import Policy
from ratelimit.stores.embedded.board import SharedBoard
from ratelimit.stores.factory import SIGHTINGS, open_store
from ratelimit.telemetry.names import BoardNumber
from tests.cli.running import POLICY, run, write_policy
from tests.support.campaign import policy_text

STORE = '\n[store]\nmemory = "{}"\nkeys = 64\n'


def examined(path: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    result = run("doctor", path, "--json")
    told = json.loads(result.stdout)
    assert told["good"] == (result.exit_code == 0)
    assert told["file"] == str(path)
    return result.exit_code, {each["check"]: each for each in told["checks"]}


def policy_with(folder: Path, *lines: str) -> Path:
    return write_policy(folder, POLICY + STORE.format(folder / "table") + "\n".join(lines))


def test_all_is_well(tmp_path: Path) -> None:
    path = policy_with(tmp_path)
    code, checks = examined(path)
    assert code == 0
    names = ["python", "kinlimit", "import name", "core", "policy", "hash key", "table"]
    assert list(checks) == names
    assert {each["status"] for each in checks.values()} == {"ok"}
    assert checks["core"]["facts"]["modules"] > 20
    assert checks["kinlimit"]["facts"]["version"] == metadata.version("kinlimit")
    assert "has run on this host yet" in checks["table"]["says"]
    assert not (tmp_path / "table").exists()


def test_for_people(tmp_path: Path) -> None:
    result = run("doctor", policy_with(tmp_path))
    lines = result.stdout.splitlines()
    assert lines[0] == "installation"
    assert "policy" in lines
    assert any(line.startswith("✔ core          ") for line in lines)
    assert result.stderr.endswith("is ready to run\n")


def test_policy_with_errors_and_with_warnings(tmp_path: Path) -> None:
    bad = write_policy(tmp_path, "version = 1\nfrob = 1\n[deny]\nip = ['192.0.2.1/24']\n")
    code, checks = examined(bad)
    assert code == 1
    assert checks["policy"]["says"] == "1 error, 1 warning"
    assert "ratelimit check" in checks["policy"]["advice"]
    result = run("doctor", bad)
    assert result.exit_code == 1
    assert "1 check failed" in result.stderr
    code, checks = examined(write_policy(tmp_path, f'version = 1\n[store]\nmemory = "{tmp_path}/table"\n'))
    assert (code, checks["policy"]["status"]) == (0, "warn")
    code, checks = examined(tmp_path / "absent.toml")
    assert (code, checks["policy"]["status"]) == (1, "fail")


def test_hash_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = policy_with(tmp_path, '[hashing]\nkey = "env:HASH_KEY"')
    monkeypatch.delenv("HASH_KEY", raising=False)
    code, checks = examined(path)
    assert (code, checks["hash key"]["status"]) == (1, "fail")
    assert "$HASH_KEY" in checks["hash key"]["says"]
    assert "openssl rand -hex 16" in checks["hash key"]["advice"]
    for secret, status in (("hunter2", "warn"), ("00112233445566778899aabbccddeeff", "ok")):
        monkeypatch.setenv("HASH_KEY", secret)
        code, checks = examined(path)
        assert (code, checks["hash key"]["status"]) == (0, status)
        assert secret not in json.dumps(checks)


def test_running_table(tmp_path: Path) -> None:
    path = policy_with(tmp_path)
    store = open_store(Policy.load(path))
    try:
        code, checks = examined(path)
        assert code == 0
        # Looking takes no worker's seat.
        assert checks["table"]["facts"]["workers"] == 1
        assert checks["table"]["facts"]["evicted"] == 0
    finally:
        store.close()


def test_table_that_throws_out_who_is_counted(tmp_path: Path) -> None:
    path = policy_with(tmp_path)
    policy = Policy.load(path)
    store = open_store(policy)
    try:
        limiter = ratelimit.Limiter(policy, store=store)
        for number in range(1000):
            limiter.decide(method="POST", path="/v1/chat", client=f"10.0.{number >> 8}.{number & 255}")
        code, checks = examined(path)
        assert code == 0
        assert checks["table"]["status"] == "warn"
        assert checks["table"]["facts"]["evicted"] > 0
        assert "keys" in checks["table"]["advice"]
    finally:
        store.close()


def test_table_that_is_not_ours(tmp_path: Path) -> None:
    path = policy_with(tmp_path)
    (tmp_path / "table").write_bytes(b"somebody's letters" * 1000)
    code, checks = examined(path)
    assert (code, checks["table"]["status"]) == (1, "fail")
    assert "[table-" in checks["table"]["says"]
    assert checks["table"]["advice"]
    assert (tmp_path / "table").read_bytes() == b"somebody's letters" * 1000


def test_private_memory(tmp_path: Path) -> None:
    _, checks = examined(write_policy(tmp_path, POLICY + '\n[store]\nmemory = "private"\n'))
    assert checks["table"]["status"] == "warn"
    assert 'memory = "shared"' in checks["table"]["advice"]


def test_no_room_for_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = policy_with(tmp_path)
    room = os.statvfs(tmp_path)
    little = os.statvfs_result((room.f_bsize, room.f_frsize, room.f_blocks, 1, 1, *tuple(room)[5:]))
    monkeypatch.setattr(installation.os, "statvfs", lambda _: little)
    code, checks = examined(path)
    assert (code, checks["table"]["status"]) == (1, "fail")
    assert "--shm-size" in checks["table"]["advice"]
    monkeypatch.undo()
    elsewhere = write_policy(tmp_path, POLICY + STORE.format(tmp_path / "no-such-folder" / "table"))
    code, checks = examined(elsewhere)
    assert (code, checks["table"]["status"]) == (1, "fail")


def install(folder: Path, name: str, version: str, *packages: str) -> None:
    """Write what a package index' tool leaves of a distribution."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (place / "top_level.txt").write_text("".join(f"{package}\n" for package in packages))


def test_another_owner_of_the_import_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", "asgi-ratelimit", "0.10.0", "ratelimit")
    install(tmp_path / "site", "unrelated", "1.0", "unrelated")
    monkeypatch.syspath_prepend(tmp_path / "site")
    code, checks = examined(policy_with(tmp_path))
    assert (code, checks["import name"]["status"]) == (0, "warn")
    assert "`asgi-ratelimit`" in checks["import name"]["says"]
    assert "unrelated" not in checks["import name"]["says"]
    assert "pip uninstall --yes asgi-ratelimit" in checks["import name"]["advice"]
    # In one folder with ours, its files and ours overwrite each other.
    monkeypatch.setattr(ratelimit, "__file__", str(tmp_path / "site" / "ratelimit" / "__init__.py"))
    code, checks = examined(policy_with(tmp_path))
    assert (code, checks["import name"]["status"]) == (1, "fail")


def test_several_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", "kinlimit", "9.9.9", "ratelimit")
    monkeypatch.syspath_prepend(tmp_path / "site")
    code, checks = examined(policy_with(tmp_path))
    assert (code, checks["kinlimit"]["status"]) == (1, "fail")
    assert "9.9.9" in checks["kinlimit"]["says"]


def test_core_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = installation.import_module

    def broken(name: str) -> object:
        if name == "ratelimit.core.clusters.cluster_index":
            raise ImportError("undefined symbol")
        return real(name)

    monkeypatch.setattr(installation, "import_module", broken)
    code, checks = examined(policy_with(tmp_path))
    assert (code, checks["core"]["status"]) == (1, "fail")
    assert "cluster_index (undefined symbol)" in checks["core"]["says"]


def test_client_library_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation.metadata, "version", version)
    lines = ('url = "redis://127.0.0.1:1"', '[hashing]\nkey = "00112233445566778899aabbccddeeff"')
    code, checks = examined(policy_with(tmp_path, *lines))
    assert code == 1
    assert checks["client"]["status"] == "fail"
    assert checks["client"]["advice"].startswith("`pip install 'redis>=")
    assert "reachable" not in checks


def test_url_in_a_variable_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    lines = ('url = "env:REDIS_URL"', '[hashing]\nkey = "00112233445566778899aabbccddeeff"')
    code, checks = examined(policy_with(tmp_path, *lines))
    assert (code, checks["url"]["status"]) == (1, "fail")
    assert "$REDIS_URL" in checks["url"]["says"]


@pytest.mark.parametrize(("token", "status"), [("short", "fail"), ("t" * 16, "ok"), ("", None)])
def test_a_token_of_the_console_that_is_too_short_is_found_before_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, status: str | None
) -> None:
    monkeypatch.setenv("RATELIMIT_CONSOLE_TOKEN", token)
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"'))
    code, checks = examined(path)
    found = checks.get("console token")
    assert (None if found is None else found["status"]) == status
    assert code == (1 if status == "fail" else 0)
    if status == "fail":
        assert found is not None
        assert "has 5 characters" in found["says"]


@pytest.mark.parametrize("young", [0, 2])
def test_young_clusters_are_shown_with_the_line_that_declares_one(tmp_path: Path, young: int) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"'))
    limiter = ratelimit.Limiter(path)
    shared = SharedBoard.existing(limiter.store, principals=2_000, sightings=SIGHTINGS)
    assert shared is not None
    try:
        shared.board.set_number(BoardNumber.YOUNG, young)
        shared.board.set_number(BoardNumber.GROWN_UP_S, 1_800_000_000)
        code, checks = examined(path)
        assert code == 0
        assert ("young actors" in checks) == bool(young)
        if young:
            assert "2027-01-15 08:00" in checks["young actors"]["says"]
            assert "organisations." in checks["young actors"]["advice"]
    finally:
        shared.close()
        limiter.close()


@pytest.mark.parametrize(("unlabelled", "status"), [(0, "ok"), (3, "warn")])
def test_actors_that_found_no_label(tmp_path: Path, unlabelled: int, status: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"'))
    limiter = ratelimit.Limiter(path)
    assert limiter.clustering is not None
    shared = SharedBoard.existing(limiter.store, principals=2_000, sightings=SIGHTINGS)
    assert shared is not None
    try:
        shared.board.set_number(BoardNumber.CLUSTERS, 1024)
        shared.board.set_number(BoardNumber.UNLABELLED, unlabelled)
        code, checks = examined(path)
        assert code == 0
        assert checks["actors"]["status"] == status
        assert checks["actors"]["facts"] == {"clusters": 1024, "most": 1024, "unlabelled": unlabelled}
    finally:
        shared.close()
        limiter.close()
