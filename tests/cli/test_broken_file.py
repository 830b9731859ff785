"""The night's broken edit: workers go on by the last policy in force, and so do the commands on call."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ratelimit.limiter import Limiter
from ratelimit.runtime.last_policy import last_in_force
from ratelimit.stores.embedded import folder
from tests.cli.running import in_group, run, write_policy

POLICY = """\
version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "requests"
per = "account"
rate = "2/hour"
[store]
keys = 1000
"""
SAID = "warning: {} has {}; this goes by the policy in force since "


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of this test's own shared memory."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr(folder, "SHARED", place)
    return place / f"kinlimit-{os.geteuid()}"


@pytest.fixture(params=["", 'memory = "{}"\n'], ids=["table by its policy", "table with a path"])
def limiter(tmp_path: Path, shared: Path, request: pytest.FixtureRequest) -> Iterator[Limiter]:
    limiter = Limiter(write_policy(tmp_path, POLICY + request.param.format(tmp_path / "table")))
    for _ in range(9):
        limiter.decide(identities={"account": "alice"})
    yield limiter
    limiter.close()


def edited(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


@pytest.fixture(
    params=[
        (edited("version = 1\n[[limit"), "1 error"),
        (edited(POLICY.replace("2/hour", "2/fortnight").replace("per =", "pre =")), "3 errors"),
        (Path.unlink, "1 error"),
    ],
    ids=["no TOML", "mistakes", "gone"],
)
def broken(limiter: Limiter, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Break the policy's file; return what a command says of it."""
    breaks, errors = request.param
    path = tmp_path / "policy.toml"
    breaks(path)
    limiter.reload_if_changed()
    return SAID.format(path, errors)


def test_refused_and_top_and_doctor_look_on(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    refused = run("show", "refused", path, "--json", "--reveal", "alice")
    assert refused.exit_code == 0, refused.output
    assert json.loads(refused.stdout)["refused"][0]["refused"] == 7
    assert broken in refused.stderr.replace("\n  ", " ")
    top = run("top", path, "--json")
    told = json.loads(top.stdout)
    assert (told["limits"][0]["allowed"], told["limits"][0]["refused"]) == (2, 7)
    assert f"warning: {told['policy_trouble']}".startswith(broken)
    shown = run("top", path).stdout
    assert "this goes by the policy in force since" in " ".join(shown.split())
    doctor = json.loads(run("doctor", path, "--json").stdout)
    states = {each["check"]: each["status"] for each in doctor["checks"] if each["group"] == "policy"}
    assert (states["policy"], states["in force"], states["table"]) == ("fail", "warn", "ok")


def test_acts_are_done_and_undone(broken: str, limiter: Limiter, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    done = run("act", "exempt", path, "alice", "--for", "2h", "--json")
    assert done.exit_code == 0, done.output
    assert broken in done.stderr.replace("\n  ", " ")
    assert len(json.loads(run("show", "acts", path, "--json").stdout)["acts"]) == 1
    assert run("act", "undo", path, "1").exit_code == 0


def test_explain_goes_by_it_only_of_what_runs(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    live = run("explain", path, "-r", "GET / account=alice", "--live")
    assert live.exit_code == 0, live.output
    assert broken in live.stderr.replace("\n  ", " ")
    assert run("explain", path, "-r", "GET / account=alice").exit_code == 1


def test_it_is_the_policy_of_the_last_reload_that_was_applied(limiter: Limiter, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    text = path.read_text()
    path.write_text(text.replace('name = "requests"', 'name = "calls"'))
    reload = limiter.reload_if_changed()
    assert reload is not None
    assert reload.result == "applied"
    path.write_text("version = 2")
    limiter.reload_if_changed()
    assert [each["limit"] for each in json.loads(run("top", path, "--json").stdout)["limits"]] == ["calls"]
    path.write_text(text)
    limiter.reload_if_changed()
    assert json.loads(run("top", path, "--json").stdout)["policy_trouble"] is None


def test_without_a_worker_a_broken_file_is_an_error_as_before(tmp_path: Path, shared: Path) -> None:
    path = write_policy(tmp_path, "version = 1\n[[limit")
    for command in (["refused"], ["top"], ["exempt", "alice"]):
        result = run(*in_group(command[0]), path, *command[1:])
        assert result.exit_code == 1
        assert "1 error" in result.stderr


def test_what_others_may_read_or_no_policy_is_not_gone_by(
    limiter: Limiter, tmp_path: Path, shared: Path
) -> None:
    path = tmp_path / "policy.toml"
    (kept,) = shared.glob("last-policy-*")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert last_in_force(str(path)) is not None
    kept.chmod(0o644)
    assert last_in_force(str(path)) is None
    kept.chmod(0o600)
    for wrong in (b"", b"\xff", b"version = 1\n[[limit", b"#" * (2 << 20)):
        kept.write_bytes(wrong)
        found = last_in_force(str(path))
        assert found is None or not found.policy.compiled.limits


def test_it_goes_with_its_policy(limiter: Limiter, tmp_path: Path, shared: Path) -> None:
    (tmp_path / "policy.toml").unlink()
    limiter.close()
    assert list(shared.iterdir()) == []


def test_where_no_worker_runs_it_is_not_said_that_workers_go_on(
    tmp_path: Path, shared: Path, limiter: Limiter
) -> None:
    """Hazard: a person believes that the service is up by its older policy, and nothing of it runs."""
    path = tmp_path / "policy.toml"
    path.write_text("version = 1\n[[limit")

    def said() -> list[str]:
        screens = [run("check", path), run("doctor", path), run("show", "acts", path)]
        return [" ".join(each.output.split()) for each in screens]

    assert all("as workers of this host do" in each for each in said())
    limiter.close()
    for each in said():
        assert "No worker of this user runs now, and none can start" in each
        assert "workers of this host" not in each
