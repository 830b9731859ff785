"""The operator's acts: in force in every worker, confirmed, lapsing by themselves, and kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ratelimit.events import Event
from ratelimit.inspection.access.deployment import deployment_of
from ratelimit.inspection.acts import acting
from ratelimit.inspection.acts.acting import act_named, do
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.stores.acts.act import MOST_ACTS, Act, in_force, kept, read_acts
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.journal import events_of
from ratelimit.worker.acts import ActFollower
from ratelimit.worker.upkeep import Upkeep
from tests.cli.running import in_group, run, write_policy
from tests.support.acting import BOTS, END_NS, Actor, caught
from tests.support.campaign import policy_text
from tests.support.policy_lines import events_to
from tests.support.redis.patience import until
from tests.support.redis.port import free_port
from tests.support.stopwatch import Stopwatch
from tests.support.time import stop_host

NS = 10**9
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "2/hour"
[store]
keys = 1000
memory = "{}"
"""
WORKER = """\
import sys, time
from ratelimit import Limiter
from ratelimit.worker.upkeep import Upkeep
limiter = Limiter(sys.argv[1])
upkeep = Upkeep(limiter, 2.0)
upkeep.start()
print("up", flush=True)
for line in sys.stdin:
    print(sum(limiter.decide(identities={"account": line.strip()}).allowed for _ in range(9)), flush=True)
upkeep.stop()
limiter.close()
"""


class Worker:
    """A worker process; it is asked how many of nine requests of an account it admits."""

    def __init__(self, policy: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, policy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "up"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def admits(self, account: str) -> int:
        assert self._process.stdin is not None
        print(account, file=self._process.stdin, flush=True)
        return int(self._answer())

    def end(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return write_policy(tmp_path, POLICY.format(tmp_path / "table"))


@pytest.fixture
def start(policy: Path, patient_commands: None) -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def new() -> Worker:
        workers.append(Worker(policy))
        return workers[-1]

    yield new
    for worker in workers:
        worker.end()


def told(policy: Path, command: str, *more: str) -> dict[str, Any]:
    sure = () if command in ("acts", "undo", "top") else ("--yes",)
    result = run(*in_group(command), policy, *more, *sure, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_exempt_is_confirmed_by_all_workers_and_undone(policy: Path, start: Callable[[], Worker]) -> None:
    first, second = start(), start()
    assert first.admits("acct-17") == 2
    with Stopwatch() as watch:
        act = told(policy, "exempt", "acct-17", "--for", "2h", "--reason", "night")
    assert watch.s < acting.PATIENCE_S / 2  # not as long as it would wait for a worker
    assert [(each["workers"], each["applied"]) for each in act["hosts"]] == [(2, True)]
    assert (act["kind"], act["identity"], act["reason"]) == ("exempt-limits", "account", "night")
    assert (first.admits("acct-17"), second.admits("acct-17")) == (9, 9)
    assert second.admits("acct-18") == 2
    live = ["explain", policy, "--live", "-r", "GET /x account=acct-17 ip=192.0.2.1"]
    assert f"exempt by act {act['act']}, made by" in run(*live).stdout
    found = json.loads(run(*live, "--json").stdout)
    assert (found["action"], found["reason"], found["act"]) == ("allow", "allow-list", act["act"])
    undone = told(policy, "undo", act["act"])
    assert [each["applied"] for each in undone["hosts"]] == [True]
    assert (first.admits("acct-17"), second.admits("acct-17")) == (0, 0)
    found = json.loads(run(*live, "--json").stdout)
    assert (found["action"], found["limit"], found["act"]) == ("refuse", "requests", None)
    listed = told(policy, "acts")["acts"]
    assert [(each["kind"], each["in_force"]) for each in listed] == [
        ("exempt-limits", False),
        ("undo", False),
    ]


def test_stop_refuses_a_caller_in_every_worker(policy: Path, start: Callable[[], Worker]) -> None:
    first, second = start(), start()
    assert first.admits("acct-17") == 2
    act = told(policy, "stop", "acct-18", "--for", "2h")
    assert [(each["workers"], each["applied"]) for each in act["hosts"]] == [(2, True)]
    assert (act["kind"], act["identity"]) == ("stop", "account")
    assert (first.admits("acct-18"), second.admits("acct-18")) == (0, 0)
    assert second.admits("acct-19") == 2
    live = ["explain", policy, "--live", "-r", "GET /x account=acct-18 ip=192.0.2.1"]
    assert f"stopped by act {act['act']}, made by" in run(*live).stdout
    assert told(policy, "exempt", "acct-18")["does"][0].startswith("no limit applies")
    assert first.admits("acct-18") == 9  # whom an act exempts, none stops
    assert run("act", "stop", policy, "acct-18").exit_code == 3  # it is stopped already
    told(policy, "undo", "2")
    told(policy, "undo", "1")
    assert second.admits("acct-18") == 2


def test_an_act_outlives_restarts_and_holds_in_a_worker_that_starts(
    policy: Path, start: Callable[[], Worker]
) -> None:
    start().end()
    result = run("act", "exempt", policy, "acct-17", "--yes")
    assert result.exit_code == 0, result.output
    assert "No worker runs" in result.stderr
    worker = start()
    until(lambda: worker.admits("acct-17") == 9, "the act in a worker that starts")


def test_no_value_is_kept(policy: Path, start: Callable[[], Worker], tmp_path: Path) -> None:
    start()
    run("act", "exempt", policy, "acct-17", "--yes", "--reason", "because")
    for path in tmp_path.iterdir():
        if path != policy:
            assert b"acct-17" not in path.read_bytes(), path


def test_an_act_lapses_by_itself(policy: Path) -> None:
    limiter = Limiter(policy)
    run("act", "exempt", policy, "acct-17", "--yes", "--for", "1s")
    follower = ActFollower(limiter.store.place)
    follower.look(limiter)
    assert limiter.current.has_lists

    def has_lapsed() -> bool:
        follower.look(limiter)
        return not limiter.runtime.acts

    until(has_lapsed, "the end of the act")
    assert not limiter.current.has_lists
    follower.resign()
    limiter.close()


def test_a_reboot_ends_no_act_and_gives_no_number_again(policy: Path, tmp_path: Path) -> None:
    """Hazard: shared memory goes with a boot, and with it the log of a host without a server."""
    key = '[hashing]\nkey = "00112233445566778899aabbccddeeff"\n'
    policy.write_text(events_to(f"{policy.read_text()}{key}", tmp_path / "events"))
    labels, held = [], []
    for account in range(3):
        limiter = Limiter(policy)
        follower = ActFollower(limiter.store.place)
        follower.begin(limiter)
        with deployment_of(limiter.policy) as there:
            made = do(there, "exempt-limits", accounts=[account], identity="account", for_ns=7200 * NS)
            labels.append(made.label)
            if account == 1:
                do(there, "undo", undoes=act_named(there, "1"))
        follower.look(limiter)
        held.append([act.number for act in limiter.runtime.acts])
        follower.resign()
        limiter.close()
        for each in tmp_path.glob("table*"):
            each.unlink()
    assert labels == ["1", "2", "4"]  # the third took back the first
    assert held == [[1], [2], [2, 4]]


def test_another_keys_acts_and_damaged_lines_are_left_out(policy: Path, tmp_path: Path) -> None:
    limiter = Limiter(policy)
    run("act", "exempt", policy, "acct-17", "--yes")
    file = ActFile(tmp_path / "table")
    (act,) = file.read()
    log = file.path
    other = act.line().replace(act.key.encode(), b"f" * 32).replace(b'"number":1', b'"number":2')
    log.write_bytes(log.read_bytes() + other + b'\n{"number":3}\n\xff\xfe\n' + b"x" * 100_000 + b"\n")
    assert [each.number for each in file.read()] == [1, 2]
    assert [each.number for each in in_force(file.read(), act.key, act.at_ns)] == [1]
    limiter.close()


def test_the_log_is_bounded_and_keeps_what_holds() -> None:
    acts = [
        Act(number, "clear", number, "me@here", "k", [number], until_ns=None if number == 3 else number + 5)
        for number in range(1, MOST_ACTS + 10)
    ]
    left = kept(acts, 10**6)
    assert len(left) == MOST_ACTS
    assert left[0].number == 3
    assert read_acts(act.line() for act in left) == left


def test_undo_of_one_stop_says_which_other_act_still_refuses(policy: Path) -> None:
    limiter = Limiter(policy)
    assert run("act", "stop", policy, "acct-17", "--yes").exit_code == 0
    assert run("act", "stop", policy, "acct-17", "--yes", "--for", "2d").exit_code == 0
    until = json.loads(run("show", "acts", policy, "--json").stdout)["acts"][1]["until"].replace("T", " ")[
        :16
    ]
    for option in ("--dry-run", "--json"):
        said = run("act", "undo", policy, "1", option).output
        assert f"is still refused by act 2 until {until}" in said
        assert "no longer refused" not in said
    assert "is no longer refused by act" in run("act", "undo", policy, "2", "--dry-run").output
    limiter.close()


def test_acts_that_are_over_say_how_they_ended(policy: Path, unattended: None) -> None:
    """Hazard: an act that was taken back looks as if it held, and its undo's number is a riddle."""
    limiter = Limiter(policy)
    ActFollower(limiter.store.place).look(limiter)
    for account in ("acct-17", "acct-18"):
        assert run("act", "stop", policy, account, "--yes").exit_code in (0, 4)
    ActFollower(limiter.store.place).look(limiter)
    assert not limiter.decide(identities={"account": "acct-17"}, client="192.0.2.1").allowed
    assert run("act", "undo", policy, "1", "--by", "ann").exit_code in (0, 4)
    shown = run("show", "acts", policy, "--all").stdout
    words = " ".join(shown.split())
    assert words.count("undone by") == 1
    assert words.count("in force") == 1
    assert "in force" not in run("show", "acts", policy).stdout  # where all are
    ended = " ".join(run("who", policy, "acct-17").stdout.split())
    assert re.search(r"ended 1 stopped, by account: every request is refused, by \S+; undone by ann", ended)
    assert "until" not in ended.partition("ended 1")[2].partition("undone")[0]
    said = run("act", "undo", policy, "1").stderr
    assert "no act 1 is in force: it was undone by ann, " in " ".join(said.split())
    said = run("act", "undo", policy, "3").stderr
    assert "no act 3 is in force: it is the undo of act 1" in " ".join(said.split())
    assert run("act", "undo", policy, "9").stderr.startswith("error: no act 9 is in force\n")
    limiter.close()


def test_undo_says_that_an_act_lapsed_and_when(policy: Path) -> None:
    limiter = Limiter(policy)
    with deployment_of(Policy.load(policy)) as there:
        assert there.file is not None
        now_ns = limiter.clock.now_ns()
        act = Act(1, "stop", now_ns - 2 * NS, "Ann", there.key, [1], "account", until_ns=now_ns - NS)
        there.file.append(partial(_as_it_is, act), act.at_ns)
    said = " ".join(run("act", "undo", policy, "1").stderr.split())
    assert re.search(r"no act 1 is in force: it lapsed \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", said)
    limiter.close()


def _as_it_is(act: Act, number: int) -> Act:
    return act


def test_undo_names_the_act_with_its_letters(policy: Path) -> None:
    limiter = Limiter(policy)
    with deployment_of(Policy.load(policy)) as there:
        assert there.file is not None
        far = Act(8, "stop", limiter.clock.now_ns(), "Ann", there.key, [1], "account", tag="580f")
        near = Act(8, "stop", limiter.clock.now_ns() + 1, "Ann", there.key, [2], "account")
        for act in (far, near):
            there.file.append(partial(_as_it_is, act), act.at_ns)
    said = run("act", "undo", policy, "8-580f").output
    assert "act 8-580f is taken back" in said
    assert "act 8-580f is taken back" in run("show", "acts", policy, "--all").stdout
    limiter.close()


def test_dry_run_shows_when_an_act_would_end(policy: Path) -> None:
    limiter = Limiter(policy)
    stop = ("act", "stop", policy, "acct-17", "--dry-run", "--for", "10m")
    found = json.loads(run(*stop, "--json").stdout)
    ends_ns = datetime.fromisoformat(found["until"]).timestamp() * NS
    assert 0 < ends_ns - limiter.clock.now_ns() <= 600 * NS
    assert run(*stop).stdout.startswith("until 2")
    assert "write 10m, 10h or 10d" in run("act", "stop", policy, "acct-17", "--for", "10").stderr
    limiter.close()


def test_name_of_no_identity_is_said_and_a_colon_names_one(policy: Path) -> None:
    limiter = Limiter(policy)
    stop = ("act", "stop", policy, "--dry-run", "--json")
    wrong = run(*stop, "user=acct-17")
    assert wrong.exit_code == 2
    assert "no identity `user`; there are account, ip" in wrong.stderr
    assert "account=user=acct-17" in " ".join(wrong.stderr.split())
    prefixed = run(*stop, "user:acct-17")  # hazard: it was a value, of an account that nobody has
    assert prefixed.exit_code == 2
    assert "no identity `user`; there are account, ip" in prefixed.stderr
    assert "Did you mean `account=acct-17`?" in " ".join(prefixed.stderr.split())
    meant = json.loads(run(*stop, "account=user:acct-17").stdout)["does"]
    same = [json.loads(run(*stop, name).stdout)["does"] for name in ("account=acct-17", "account:acct-17")]
    assert same[0] == same[1] != meant
    swapped = run("act", "budget", "add", policy, "requests=1", "acct-7")
    line = f"Write: ratelimit act budget add {policy} acct-7 requests=1"
    assert line in " ".join(swapped.stderr.split())
    limiter.decide(identities={"account": "user:17"}, client="203.0.113.9")  # which is known from now on
    for own in ("account=user=acct-17", "user:17", "2001:db8::1"):
        assert run(*stop, own).exit_code == 0, own
    limiter.close()


def test_journal_finds_acts_by_who_made_them(policy: Path) -> None:
    limiter = Limiter(policy)
    ring, now_ns = events_of(limiter.store.place), limiter.clock.now_ns()
    for number, by in enumerate(("Ann, as ann@web-1", "bob@web-1")):
        fields = {"act": str(number), "kind": "stop", "identity": "account", "of": [], "by": by}
        ring.append([Event("act-made", now_ns - number, "web-1", 7, fields).json().encode()])
    for name, wanted in (("Ann", "0"), ("ann", "0"), ("bob@web-1", "1")):
        (line,) = run("journal", policy, "--of", name, "--json").stdout.splitlines()
        assert json.loads(line)["fields"]["act"] == wanted
    limiter.close()


def test_wrong_use_is_said(policy: Path) -> None:
    assert run("act", "exempt", policy, "acct-17", "--yes").exit_code == 4  # no worker has run
    limiter = Limiter(policy)
    for asked in (
        ("exempt", policy, "acct-17", "--for", "soon"),
        ("exempt", policy, "acct-17", "--for", "90d"),
        ("exempt", policy, "acct-17", "--for", "10"),
        ("stop", policy, "acct-17", "--for", "1.5"),
        ("exempt", policy, "acct-17", "--identity", "acount"),
        ("merge", policy, "acct-17", "acct-18"),  # it correlates nothing
        ("merge", policy, "acct-17"),
        ("declare", "organisation", policy, "Acme"),
    ):
        assert run("act", *asked).exit_code == 2, asked
    assert run("act", "undo", policy, "7").exit_code == 3
    limiter.close()


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Actor]:
    stop_host(monkeypatch, END_NS)
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000'))
    found = caught(path)
    yield found
    found.limiter.close()


def applied(actor: Actor, *command: object) -> None:
    result = run("act", *command)
    assert result.exit_code == 0, result.output
    follower = ActFollower(actor.limiter.store.place)
    follower.look(actor.limiter)
    follower.resign()
    actor.tick()


def test_acts_on_actors_are_what_the_policy_would_declare(actor: Actor, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    (name,) = actor.clusters(BOTS)
    applied(actor, "exempt", path, "bot7", "--for", "2h")
    assert actor.cluster("bot7") == -1
    assert actor.clusters(bot for bot in BOTS if bot != "bot7") == {name}
    applied(actor, "undo", path, "1")
    applied(actor, "clear", path, "bot3")
    assert actor.clusters(BOTS) == {-1}
    applied(actor, "undo", path, "3")
    applied(actor, "merge", path, "person1", "person2")
    assert actor.cluster("person1") == actor.cluster("person2") != -1
    applied(actor, "split", path, "person1", "person2")
    assert actor.cluster("person1") == -1 or actor.cluster("person1") != actor.cluster("person2")


def test_upkeep_follows_acts(policy: Path) -> None:
    limiter = Limiter(policy)
    upkeep = Upkeep(limiter, 0)
    upkeep.start()
    assert told(policy, "exempt", "acct-17")["hosts"][0]["applied"]
    assert len(limiter.runtime.acts) == 1
    upkeep.stop()
    assert told(policy, "exempt", "acct-18")["hosts"] == []
    limiter.close()


def test_check_and_top_show_what_holds_beside_the_file(policy: Path) -> None:
    limiter = Limiter(policy)
    assert "operator" not in run("check", policy).output
    told(policy, "exempt", "acct-17")
    assert "1 act of the operator's in force on this host" in run("check", policy).stderr
    assert json.loads(run("top", policy, "--json").stdout)["acts"] == 1
    assert "1 of the operator's in force" in run("top", policy).stdout
    limiter.close()


def test_who_made_an_act_is_the_account_that_logged_in_whatever_variables_say(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: by whom an act was made is any text."""
    limiter = Limiter(policy)
    plain = told(policy, "exempt", "acct-17")["by"]
    for name in ("USER", "LOGNAME", "SUDO_USER", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    assert told(policy, "exempt", "acct-18")["by"] == plain
    assert (
        told(policy, "exempt", "acct-19", "--by", "root@web-9\nact 7")["by"] == f"root@web-9act 7, as {plain}"
    )
    limiter.close()


def test_workers_that_were_killed_are_not_counted(policy: Path) -> None:
    """Hazard: `workers 5` of 2 a minute after a restart."""
    killed = (
        "import os, signal, sys; from ratelimit import Limiter; Limiter(sys.argv[1]); os.kill(os.getpid(), 9)"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", killed, policy], timeout=60, check=False)
    limiter = Limiter(policy)
    limiter.store.heartbeat(limiter.now_ns() + 11 * NS)
    assert json.loads(run("top", policy, "--json").stdout)["workers"] == 1
    limiter.close()


def test_only_an_act_that_was_not_made_is_said_not_to_be_in_force(tmp_path: Path) -> None:
    """Hazard: while the server is away, a list of acts ends with "the act is not in force"."""
    url = f'url = "redis://127.0.0.1:{free_port()}"\n[hashing]\nkey = "{"0f" * 16}"\n'
    policy = write_policy(tmp_path, POLICY.format(tmp_path / "table") + url)
    for words in (("show", "acts"), ("act", "undo")):
        looked = run(*words, policy, *(["1"] if "undo" in words else []))
        assert looked.exit_code == 4
        assert "redis-unreachable" in looked.stderr
        assert "not in force" not in looked.stderr
        assert "`ratelimit doctor` shows more." in looked.stderr
    stopped = run("act", "stop", policy, "acct-17", "--for", "1h", "--yes")
    assert stopped.exit_code == 4
    assert "`ratelimit doctor` shows more; the act is not in force." in stopped.stderr
