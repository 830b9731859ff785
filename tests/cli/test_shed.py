"""`ratelimit show shed`: accounts that found no room, whichever worker shed them, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ratelimit import RateLimitMiddleware
from ratelimit.cli.refused import _table
from ratelimit.clock import ManualClock, SystemClock
from ratelimit.conduct.model.strikes import Strike
from ratelimit.conduct.stage import conduct_of
from ratelimit.core.sharing.shed import MOST_SHED, ShedAccounts
from ratelimit.inspection.identities import short_hash
from ratelimit.load.model.shedding import ShedPriority
from ratelimit.load.shed import ShedAccount
from tests.cli.running import run, write_policy
from tests.load.flights import flight

SECOND = 10**9
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[adaptive]
first_byte = "1s"
in_flight = [1, 4, 8]
{mode}
[[class]]
name = "interactive"
match = "POST /v1/chat"
[[class]]
name = "batch"
match = "POST /v1/batch"
[[limit]]
name = "requests"
per = "account"
rate = "1000/hour"
adaptive = true
[store]
keys = 1000
memory = "{path}"
"""
WORKER = """\
import sys
from tests.cli.test_shed import Worker
worker = Worker(sys.argv[1], int(sys.argv[2]))
for _ in range(6):
    worker.ask("bob", "/v1/batch")
worker.close()
"""


class Worker:
    """A worker with an application that never answers: what it lets through stays in flight."""

    def __init__(self, policy: Path | str, now_ns: int | None = None) -> None:
        # It stands still, so that the limit does not move. A command that is slow to start is not late by it:
        # for six seconds on both sides a worker's lane counts.
        clock = ManualClock(SystemClock().now_ns() + 4 * SECOND if now_ns is None else now_ns)
        self.middleware = RateLimitMiddleware(self._app, str(policy), clock=clock, reload_interval_s=0)
        self._open: list[Any] = []

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()

    @property
    def limiter(self) -> Any:
        return self.middleware.limiter

    def ask(self, account: str | None, path: str = "/v1/chat") -> int | None:
        """Return the status of a request that is answered at once, None of one that waits."""
        status: list[int] = []

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": b"", "client": ("192.0.2.1", 1), "http_version": "1.1",
            "headers": [] if account is None else [(b"x-api-key", account.encode())],
        }  # fmt: skip
        step = self.middleware(scope, Waiting, send).__await__()
        try:
            next(step)
        except StopIteration:
            return status[0]
        self._open.append(step)
        return None

    def close(self) -> None:
        for step in self._open:
            step.close()
        self.limiter.close()


class Waiting:
    """A `receive` that never has anything."""

    def __await__(self) -> Any:
        yield


def policy(tmp_path: Path, mode: str = "") -> Path:
    return write_policy(tmp_path, POLICY.format(path=tmp_path / "table", mode=mode))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(policy(tmp_path))
    yield made
    made.close()


def told(tmp_path: Path, *more: object) -> list[dict[str, Any]]:
    result = run("show", "shed", tmp_path / "policy.toml", "--json", *more)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["shed"]
    return found


def test_accounts_of_all_workers_of_any_class_the_most_shed_first(worker: Worker, tmp_path: Path) -> None:
    assert [worker.ask("alice") for _ in range(6)] == [None] * 4 + [503, 503]
    assert worker.ask("carol") == 503
    now_ns = str(worker.limiter.now_ns())
    subprocess.run([sys.executable, "-c", WORKER, tmp_path / "policy.toml", now_ns], check=True)
    found = told(tmp_path)
    assert [(each["class"], each["shed"], each["would_shed"]) for each in found] == [
        ("batch", 6, 0),
        ("interactive", 2, 0),
        ("interactive", 1, 0),
    ]
    hashes = [
        short_hash(worker.limiter.current.extractor.value_hash("account", name))
        for name in ("bob", "alice", "carol")
    ]
    assert [each["hash"] for each in found] == hashes
    assert [each["hash"] for each in told(tmp_path, "--class", "batch")] == hashes[:1]


def test_shadow_says_what_would_have_been(tmp_path: Path) -> None:
    worker = Worker(policy(tmp_path, 'mode = "shadow"'))
    assert [worker.ask("alice") for _ in range(7)] == [None] * 7
    (one,) = told(tmp_path)
    assert (one["shed"], one["would_shed"]) == (0, 3)
    worker.close()


def test_account_of_bad_conduct_goes_before_others_and_why_is_said(worker: Worker, tmp_path: Path) -> None:
    limiter = worker.limiter
    account = limiter.current.extractor.value_hash("account", "mallory")
    for minutes in (4, 2, 0):
        conduct_of(limiter.current).strike(account, Strike.PERSISTS, limiter.now_ns() - minutes * 60 * SECOND)
    assert [worker.ask("alice") for _ in range(3)] == [None] * 3
    assert worker.ask("mallory") == 503  # there is room for one more of good conduct
    (one,) = told(tmp_path)
    assert (one["shed"], one["before_others"], one["verdict"]) == (1, 1, None)
    assert one["factor"] < 0.5
    assert one["why"].startswith("bad conduct, limits at ")
    assert worker.ask("bob") is None
    assert worker.ask("alice") == 503
    alice = next(each for each in told(tmp_path) if each["factor"] == 1)
    assert (alice["before_others"], alice["why"]) == (0, "heavier than 50% of accounts")


def test_explain_says_whether_an_account_goes_before_others(worker: Worker, tmp_path: Path) -> None:
    def asked(account: str, *more: str) -> Any:
        request = f"POST /v1/chat header:x-api-key={account}"
        return run("explain", tmp_path / "policy.toml", "-r", request, "--live", *more)

    limiter = worker.limiter
    account = limiter.current.extractor.value_hash("account", "mallory")
    for minutes in (4, 2, 0):
        conduct_of(limiter.current).strike(account, Strike.PERSISTS, limiter.now_ns() - minutes * 60 * SECOND)
    for _ in range(3):
        worker.ask("alice")
    mallory = json.loads(asked("mallory", "--json").stdout)["room"]
    assert (mallory["class"], mallory["waiting"], mallory["room_below"]) == ("interactive", 3, 3)
    assert (mallory["has_room"], mallory["first_has_room"]) == (False, True)
    assert mallory["why"].startswith("bad conduct")
    bob = json.loads(asked("bob", "--json").stdout)["room"]
    assert (bob["has_room"], bob["factor"], bob["verdict"]) == (True, 1, None)
    assert bob["less_of_queue"] < mallory["less_of_queue"]
    said = asked("mallory").stdout
    assert (
        "room class interactive: no room, held for a moment and then shed. 3 wait for a first byte; " in said
    )
    assert "it goes on while fewer than 3 do, others of the class while fewer than 4 do (bad conduct" in said
    assert "no room: its limits allow it, and [adaptive] has no room for it now" in said
    said = asked("bob").stdout
    assert "room class interactive: goes on now. 3 wait for a first byte; " in said
    assert "allowed: " in said
    assert limiter.load.state().in_flight == 3  # looking took no room
    without = run("explain", tmp_path / "policy.toml", "-r", "POST /v1/chat header:x-api-key=a")
    assert "room --live would say whether it goes before others" in without.stdout


def test_what_is_exempt_asks_for_no_room(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(file.read_text() + '[allow]\naccount = ["vip"]\n')
    assert worker.limiter.reload().error is None
    asked = run("explain", file, "-r", "POST /v1/chat header:x-api-key=vip", "--live", "--json")
    assert json.loads(asked.stdout)["room"] is None


def test_a_value_is_looked_up_by_its_hash(worker: Worker, tmp_path: Path) -> None:
    for name in ["alice"] * 5 + ["bob"] * 2:
        worker.ask(name)
    for written in ("bob", "account=bob"):
        (one,) = told(tmp_path, "--reveal", written)
        assert (one["shed"], one["given"]) == (2, "bob")
    assert told(tmp_path, "--reveal", "carol") == []


def test_people_read_a_table(worker: Worker, tmp_path: Path) -> None:
    result = run("show", "shed", tmp_path / "policy.toml")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Nothing was shed on this host within the last hour." in result.stderr
    for name in ["alice"] * 6 + ["bob"]:
        worker.ask(name)
    result = run("show", "shed", tmp_path / "policy.toml")
    assert result.exit_code == 0
    alice = short_hash(worker.limiter.current.extractor.value_hash("account", "alice"))
    assert f"interactive  {alice}" in result.stdout
    assert "in shadow" not in result.stdout

    assert "alice" not in result.output
    assert (
        json.loads(run("top", tmp_path / "policy.toml", "--json").stdout)["shed"]["default"]["interactive"]
        == 3
    )


@pytest.mark.parametrize(
    ("shed", "would_shed", "head"), [(1200, 0, "shed"), (0, 1200, "in shadow"), (9, 9, "shed")]
)
def test_each_account_has_a_line_of_a_narrow_terminal(shed: int, would_shed: int, head: str) -> None:
    heavy = ShedPriority(0, 2, lighter=0.95, account=7)
    one = ShedAccount(
        "default", 0, "interactive", 7 << 40, shed, would_shed, 1100, 0, 0, 60 * SECOND, heavy, None
    )
    console = Console(width=80, force_terminal=False)
    with console.capture() as captured:
        console.print(_table([one, one], "account", has_groups=False, has_given=False, is_wide=False))
    lines = captured.get().splitlines()
    assert sum("interactive" in line for line in lines) == 2
    assert any(head in line for line in lines)
    if not (shed and would_shed):  # both columns are there while the mode has changed within the hour
        assert len(lines) == 3
        assert all("heavier than 95%" in line for line in lines[1:])


def test_policy_that_tells_no_accounts_apart(tmp_path: Path) -> None:
    file = policy(tmp_path)
    text = file.read_text().replace('per = "account"', "per = []")
    file.write_text(text.replace('account = { from = "header:x-api-key" }\n', ""))
    worker = Worker(file)
    assert [worker.ask("alice") for _ in range(6)] == [None] * 4 + [503, 503]
    (one,) = told(tmp_path)
    assert (one["hash"], one["shed"]) == (None, 2)
    assert "interactive  no account" in run("show", "shed", file).stdout
    worker.close()


def test_wrong_class_and_policy_without_one_are_told(worker: Worker, tmp_path: Path) -> None:
    result = run("show", "shed", tmp_path / "policy.toml", "--class", "bach")
    assert (result.exit_code, "Did you mean `batch`?" in result.stderr) == (2, True)
    plain = tmp_path / "plain.toml"
    plain.write_text('version = 1\n[[limit]]\nname = "a"\nper = "ip"\nrate = "5/hour"\n')
    result = run("show", "shed", plain)
    assert (result.exit_code, "it has no [adaptive]" in result.stderr) == (2, True)


def test_without_a_worker_it_says_so(tmp_path: Path) -> None:
    assert run("show", "shed", policy(tmp_path)).exit_code == 4


def test_a_flood_of_accounts_pushes_out_none_that_is_shed_much() -> None:
    shed = ShedAccounts(flight())
    for _ in range(1000):
        shed.note(7, 3, SECOND, False, True, 2, 0.25, 0.5)
    for account in range(100, 100 + 3 * MOST_SHED):
        shed.note(account << 20, 3, SECOND, False, False, 0, 1.0, 0.0)
    found = shed.accounts(SECOND)
    assert len(found) <= MOST_SHED
    most = max(found, key=lambda each: each[4])
    assert most[:6] == (7, 3, False, True, 1000, 0)
    assert most[6:9] == (SECOND, SECOND, 2)
    assert most[9:] == (pytest.approx(0.25, abs=1e-4), pytest.approx(0.5, abs=1e-4))
    assert shed.accounts(3602 * SECOND) == []


def test_memory_that_holds_anything_is_read_without_a_fault() -> None:
    made = flight()
    shed = ShedAccounts(made)
    shed.note(7, 3, SECOND, True, False, 9, float("nan"), -1.0)
    ((_, _, in_shadow, _, _, _, _, _, verdict, factor, lighter),) = shed.accounts(SECOND)
    assert (in_shadow, verdict, factor, lighter) == (True, 9, 0, 0)
    with pytest.raises(ValueError, match="counter"):
        shed.note(7, 1 << 20, SECOND, True, False, 0, 1.0, 0.0)
    made.close()
    with pytest.raises(ValueError, match="closed"):
        shed.accounts(SECOND)
