"""The screens of `ratelimit top`: all hosts in 80 columns, and a way by keys to what is wrong."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ratelimit import Limiter, Policy
from ratelimit.cli.moment import moment_json, overview
from ratelimit.cli.terminal import Text
from ratelimit.cli.top import QUESTION, Top, looked, named
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.hosts.moment import HostMoment, Moment, Refused, hosts_of
from ratelimit.telemetry.snapshot import LimitCounts, Snapshot
from tests.cli.running import run, write_policy

NS = 10**9
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
match = "/a"
per = "account"
rate = "2/hour"
[[limit]]
name = "trial"
match = "/b"
per = "account"
rate = "2/hour"
mode = "shadow"
[store]
keys = 1000
memory = "{}"
"""


def refused(
    limit: str, hashed: int, *, in_shadow: bool = False, now: int = 0, host: str = "web-1"
) -> Refused:
    return Refused(host, limit, "account", hashed, 7, 0, 0, 60 * NS, in_shadow, now=now)


def moment(at_s: float, **limits: tuple[int, int, int]) -> Moment:
    """Return two hosts, the first of which counted allowed, refused and refused in shadow."""
    found = {
        name: LimitCounts(allowed=allowed, refused=refused, refused_in_shadow=shadow, shadow=shadow > 0)
        for name, (allowed, refused, shadow) in limits.items()
    }
    requests = {("allow", "limit"): 900, ("refuse", "limit"): 100}
    hosts = [
        HostMoment("web-1", Snapshot(limits=found, requests=requests), HostState("web-1", 4, True)),
        HostMoment("web-2", None, HostState("web-2", 4, False, silent_s=75)),
    ]
    callers = [refused("calm", 1), refused("trial", 2, in_shadow=True), refused("wild", 3)]
    return Moment(round(at_s * NS), hosts, callers)


BEFORE = moment(0, calm=(100, 50, 0), wild=(100, 0, 0), trial=(100, 0, 20))
NOW = moment(2, calm=(150, 50, 0), wild=(120, 30, 0), trial=(150, 0, 26))


def text_of(navigation: Top, width: int = 80, height: int = 30) -> str:
    console = Console(width=width, height=height, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(navigation.shown(height))
    return captured.get()


@pytest.fixture
def navigation() -> Top:
    found = Top(
        "policy.toml",
        None,
        lambda caller: [Text(f"all about {caller.hash}"), *(Text(f"line {n}") for n in range(50))],
        lambda: [Text("the policy was reloaded")],
    )
    found.take(NOW, BEFORE)
    return found


def test_limits_in_trouble_come_first(navigation: Top) -> None:
    lines = [line.split() for line in text_of(navigation).splitlines()]
    names = [line[0] for line in lines if line and line[0] in ("calm", "wild", "trial")]
    assert names == ["wild", "trial", "calm"]  # refuses now; would refuse now; refused once
    assert ["wild", "0", "15.0", "0.0", "10.0", "30", "0"] in lines
    assert ["trial", "shadow", "0", "0.0", "3.0", "25.0", "0", "26"] in lines


@pytest.mark.parametrize("before", [None, BEFORE])
def test_what_was_refused_in_the_last_minute_goes_before_totals_and_rates(before: Moment | None) -> None:
    """Hazard: a limit that refused much long ago stands above the one that refuses now."""
    found = replace(
        NOW,
        callers=[
            refused("wild", 1, now=4),
            refused("calm", 2, now=3),
            refused("calm", 2, now=3, host="web-2"),
            refused("trial", 3, in_shadow=True, now=9),
        ],
    )
    console = Console(width=80, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(overview("policy.toml", found, before))
    text = captured.get()
    lines = [line.split() for line in text.splitlines()]
    rows = [line for line in lines if line and line[0] in ("calm", "wild", "trial")]
    assert [row[:2] for row in rows[:2]] == [["calm", "6"], ["wild", "4"]]  # of both hosts together
    assert rows[2][:3] == ["trial", "shadow", "(9)"]
    said = "most refused in the last minute first, (would refuse) in brackets; totals since the hosts' memory"
    assert said in " ".join(text.split())
    names = [each["limit"] for each in moment_json(found, "")["limits"]]
    assert names == ["calm", "wild", "trial"]


def test_every_host_has_a_line(navigation: Top) -> None:
    text = text_of(navigation)
    assert re.search(r"web-1 +answers +0 +1,000 +10 %", text)
    assert re.search(r"web-2 +silent +heard 75 s ago", text)
    assert "no answer from web-2" in text
    assert "totals since the hosts' memory began, without web-2" in " ".join(text.split())


def test_eighty_columns_are_enough(navigation: Top) -> None:
    long = {f"a limit whose name goes on and on, number {number}": (10**9, 10**9, 0) for number in range(40)}
    navigation.take(moment(2, **long), moment(0, **long))
    for key in ("", "enter", "enter", "back", "changes"):
        navigation.press(key)
        lines = text_of(navigation, height=24).splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) <= 24, lines
    wide = text_of(navigation, width=80)
    assert "…" not in "".join(re.findall(r"\d…", wide))  # numbers stay whole


def test_keys_lead_into_a_limit_a_caller_and_back(navigation: Top) -> None:
    navigation.press("down")
    navigation.press("enter")
    text = text_of(navigation)
    assert "limit trial" in text
    assert "would refuse" in text
    assert "00000000" in text
    navigation.press("enter")
    assert "all about 2" in text_of(navigation)
    for _ in range(5):
        navigation.press("down")
    assert "all about 2" not in text_of(navigation)
    assert "line 4" in text_of(navigation)
    navigation.press("back")
    navigation.press("changes")
    assert "the policy was reloaded" in text_of(navigation)
    for _ in range(4):
        navigation.press("back")
    assert "watching" in text_of(navigation)
    assert not navigation.is_over
    navigation.press("quit")
    assert navigation.is_over


def test_the_marked_limit_stays_marked_when_others_overtake_it(navigation: Top) -> None:
    """Hazard: the list moves between a look and a key, and another limit opens."""
    assert "wild" in text_of(navigation)
    navigation.take(moment(4, calm=(150, 950, 0), wild=(120, 31, 0), trial=(150, 0, 26)), NOW)
    navigation.press("enter")
    assert "limit wild" in text_of(navigation)


def test_a_limit_that_has_gone_leaves_nothing_open(navigation: Top) -> None:
    for _ in range(9):
        navigation.press("down")
    navigation.take(moment(4), NOW)
    assert "watching" in text_of(navigation)
    navigation.press("enter")
    assert "watching" in text_of(navigation)


def test_a_metrics_page_has_no_callers_to_open() -> None:
    navigation = Top("http://a/metrics")
    navigation.take(NOW, BEFORE)
    for key in ("changes", "enter", "enter"):
        navigation.press(key)
    assert "limit wild" in text_of(navigation)


def test_keys_of_all_terminals_are_known() -> None:
    assert named(b"\x1b[Bj\x1bOA\r\x7f\x1b[6~cq") == [
        "down", "down", "up", "enter", "back", "page down", "changes", "quit",
    ]  # fmt: skip
    assert named(b"\x1bz\xff\x1b[Z") == ["back", "back"]
    assert named(b"") == []


def test_json_has_what_screens_show() -> None:
    found = moment_json(NOW, "")
    assert [each["limit"] for each in found["limits"]] == ["calm", "wild", "trial"]
    assert [(each["host"], each["answered"], each["silent_seconds"]) for each in found["hosts"]] == [
        ("web-1", True, None),
        ("web-2", False, 75),
    ]
    assert [(each["limit"], each["in_shadow"]) for each in found["callers"]] == [
        ("calm", False),
        ("trial", True),
        ("wild", False),
    ]
    assert found["missing"] == ["web-2"]


class Terminal:
    """A program in a terminal of 80 columns."""

    def __init__(self, *arguments: object) -> None:
        self.fd, other = pty.openpty()
        termios.tcsetwinsize(self.fd, (30, 80))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ratelimit.cli.main", *map(str, arguments)],
            stdin=other,
            stdout=other,
            stderr=other,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "30"},
        )
        os.close(other)
        self.seen = ""

    def wait_for(self, words: str) -> None:
        """Read until some words were written since the last key."""
        while words not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen):
            assert select.select([self.fd], [], [], 60)[0], f"{words!r} did not come: {self.seen[-2000:]}"
            self.seen += os.read(self.fd, 65536).decode("utf-8", "replace")

    def press(self, keys: bytes) -> None:
        self.seen = ""
        os.write(self.fd, keys)

    def close(self) -> int:
        code = self.process.wait(60)
        os.close(self.fd)
        return code


@pytest.fixture
def policy(tmp_path: Path) -> Iterator[Path]:
    path = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    limiter = Limiter(path)
    for _ in range(9):
        for route in ("/a", "/b"):
            limiter.decide(path=route, headers={"x-api-key": "eve"}, client="192.0.2.1")
    yield path
    limiter.close()


def acts_of(policy: Path) -> list[tuple[str, bool]]:
    found = json.loads(run("show", "acts", policy, "--json").stdout)["acts"]
    return [(each["kind"], each["in_force"]) for each in found]


@pytest.fixture
def acting(policy: Path) -> Top:
    """Return the screens over a real deployment, at the callers of `requests`."""
    found = Top("policy.toml", Policy.load(policy))
    with hosts_of(Policy.load(policy)) as hosts:
        found.take(hosts.look(), None)
    found.press("enter")
    return found


def test_an_act_is_shown_first_and_one_key_alone_makes_it(acting: Top, policy: Path) -> None:
    acting.press("stop")
    text = text_of(acting)
    assert "Stop account=hash:" in text
    assert "for 2h, then it lapses by itself" in text
    assert "Refuses every request of account" in text
    for key in ("enter", "stop", "exempt", "changes", "undo", "down", "back"):
        acting.press(key)
    assert acts_of(policy) == []  # a person who goes back has done nothing
    acting.press("stop")
    for _ in range(9):
        acting.press("longer")
    assert "for 7d" in text_of(acting)
    acting.press("shorter")
    acting.press("yes")
    assert "act 1" in text_of(acting)
    assert acts_of(policy) == [("stop", True)]
    acting.press("yes")  # pressed once too often
    assert acts_of(policy) == [("stop", True)]
    acting.press("undo")
    assert "Undo act 1" in text_of(acting)
    acting.press("yes")
    assert acts_of(policy) == [("stop", False), ("undo", False)]
    acting.press("undo")
    assert len(acts_of(policy)) == 2


@pytest.mark.parametrize("key", ["stop", "exempt"])
def test_each_act_is_asked_in_the_same_way_and_back_does_nothing(acting: Top, policy: Path, key: str) -> None:
    """Hazard: one key acts at once where another one asks."""
    acting.press("enter")
    for place in ("a line", "the caller's page"):
        if place == "the caller's page":
            acting.press("enter")
        acting.press(key)
        shown = text_of(acting)
        assert QUESTION in shown, place
        assert "refused it" in shown, place
        assert acts_of(policy) == []
        acting.press("back")
        assert QUESTION not in text_of(acting)
    acting.press(key)
    acting.press("yes")
    ((_, is_in_force),) = acts_of(policy)
    assert is_in_force
    acting.press("undo")
    assert QUESTION in text_of(acting)
    assert acts_of(policy)[0][1]


def test_a_callers_page_is_shown_as_it_is_now() -> None:
    """Hazard: a page that stays as it was when it was opened, beside a table that moves."""
    looks = iter(range(1, 9))
    navigation = Top("policy.toml", None, lambda _: [Text(f"{next(looks)} refused"), Text("end")])
    navigation.take(NOW, BEFORE)
    for _ in range(2):
        navigation.press("enter")
    navigation.press("down")
    assert "end" in text_of(navigation)
    screen = navigation.screen
    assert screen.look is not None
    screen.lines = looked(screen.look)
    navigation.press("up")
    assert "2 refused" in text_of(navigation)
    navigation.press("back")
    assert navigation.screen.look is None


def test_what_changed_before_the_key_is_shown_again_and_nothing_is_done(acting: Top, policy: Path) -> None:
    acting.press("exempt")
    assert run("act", "stop", policy, "eve").exit_code == 0  # a colleague
    acting.press("yes")
    text = text_of(acting)
    assert "Something changed. Nothing was done" in text
    assert acts_of(policy) == [("stop", True)]
    acting.press("yes")
    assert acts_of(policy) == [("stop", True), ("exempt-limits", True)]


def test_an_act_that_cannot_be_made_says_why(acting: Top, policy: Path) -> None:
    acting.press("clear")
    assert "no correlation" in text_of(acting)
    assert acts_of(policy) == []


def test_a_metrics_page_and_a_pipe_make_no_acts(policy: Path, navigation: Top) -> None:
    for key in ("enter", "stop", "yes", "exempt"):
        navigation.press(key)
    assert "limit wild" in text_of(navigation)
    ended = run("top", policy)
    assert "stop" not in ended.stdout
    assert acts_of(policy) == []


def test_a_person_stops_a_caller_in_a_real_terminal(policy: Path) -> None:
    terminal = Terminal("top", policy)
    terminal.wait_for("18 decided, 7 refused")
    terminal.press(b"\r")
    terminal.wait_for("s stop")
    terminal.press(b"s")
    terminal.wait_for("y do it")
    terminal.press(b"y")
    terminal.wait_for("u undo")
    terminal.press(b"q")
    assert terminal.close() == 0
    assert acts_of(policy) == [("stop", True)]


def test_a_person_finds_the_caller_in_a_real_terminal(policy: Path) -> None:
    terminal = Terminal("top", policy)
    terminal.wait_for("18 decided, 7 refused")
    terminal.press(b"\x1b[B\r")
    terminal.wait_for("would refuse")
    terminal.press(b"\r")
    terminal.wait_for("refused by")
    terminal.press(b"\x1b[D")
    terminal.wait_for("would refuse")
    terminal.press(b"c")
    terminal.wait_for("changes, the latest first")
    terminal.press(b"q")
    assert terminal.close() == 0
