"""An operator's number for a payer, in place of what it earned: told, in force, undone, lapsing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit.cli import acts
from ratelimit.clock import SystemClock
from ratelimit.inspection.access.deployment import Deployment
from ratelimit.inspection.acts.acting import Confirmation, confirmed
from ratelimit.limiter import Limiter
from ratelimit.stores.acts.act import Act
from ratelimit.worker.acts import ActFollower
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch
from tests.cli.running import run
from tests.support.policy_lines import events_to
from tests.support.time import HostClock, stop_host

SHIPPED = Path(__file__).parents[2] / "examples" / "llm-api" / "policy.toml"
A_DAY = "a day of a payment method"
BEYOND = "a day of an account beyond what is paid"
DAY_NS = 86_400 * 10**9
MINUTE_S = 60
MINUTES = 24 * 60


class Operated:
    """The shipped policy on one host, with what its worker does each minute; time is virtual."""

    def __init__(self, folder: Path, clock: HostClock) -> None:
        self.policy, self._events = folder / "policy.toml", folder / "events"
        text = SHIPPED.read_text()
        store = f'[store]\nmemory = "{folder}/table"\n'
        assert text.count("\n[identities]\n") == 1
        text = text.replace("\n[identities]\n", f"\n{store}[identities]\n")
        self.policy.write_text(events_to(text, self._events))
        self.clock = clock
        self.limiter = Limiter(self.policy)
        self._acts = ActFollower(self.limiter.store.place)
        self._reporter = Reporter(self.limiter.store.place, self.limiter.policy.file.events)
        self._watch = EventWatch(self._reporter)

    def close(self) -> None:
        self._acts.resign()
        self.limiter.close()

    def ask(self, account: int, **state: Any) -> bool:
        address = (
            f"203.{account // 200}.{account % 200}.7" if "spread" in state else f"203.0.113.{account % 250}"
        )
        facts = {"account": f"seat-{account}", "payment": "card-1", "account_created": 1.7e9, **state}
        return self.limiter.decide(
            method="POST", path="/v1/chat/completions", client=address, state=facts
        ).allowed

    def look(self) -> None:
        """Do what a worker does from time to time."""
        clustering = self.limiter.clustering
        assert clustering is not None
        for _ in range(3000):
            if not clustering.tick(self.clock.now_ns()):
                break
        self._watch.look(self.limiter)
        self._acts.look(self.limiter)

    @property
    def told(self) -> list[dict[str, Any]]:
        """The groups that the operator was told of."""
        self._reporter.wait_until_written()
        lines = self._events.read_text().splitlines() if self._events.exists() else []
        events = [json.loads(line) for line in lines]
        return [each["fields"] for each in events if each["event"] == "group-refused"]

    def does(self, *words: str, code: int = 0) -> Any:
        command = ("show", "budget") if words[0] == "show" else ("act", "budget", words[0])
        result = run(*command, self.policy, *words[1:], "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if result.stdout else result.output


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    """Return a host whose worker looks for acts when a command waits for it, not by a clock."""
    today_ns = SystemClock().now_ns() // DAY_NS * DAY_NS
    made = Operated(tmp_path, stop_host(monkeypatch, today_ns + 300 * 10**9))  # a day's windows begin

    def looked(deployment: Deployment, act: Act) -> Confirmation:
        made.look()
        return confirmed(deployment, act)

    monkeypatch.setattr(acts, "confirmed", looked)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("accounts", "a_day", "where"),
    [
        pytest.param(8, 16_000, {}, id="agent platform on one card"),
        pytest.param(200, 7_500, {}, id="hackathon on one card, its second day"),
        pytest.param(2000, 14_000, {"spread": True}, id="2,000 seats on one card"),
    ],
)
def test_operator_is_told_of_a_new_organisation_within_a_minute_and_one_line_opens_it(
    host: Operated, accounts: int, a_day: int, where: dict[str, Any]
) -> None:
    """On its worst day, a line that comes ten minutes after the event leaves 5 % refused or less."""
    refused, eighth, told_minute, line = 0, None, None, None
    for minute in range(MINUTES):
        for at in range(a_day * minute // MINUTES, a_day * (minute + 1) // MINUTES):
            if not host.ask(at % accounts, **where):
                refused += 1
                eighth = minute if refused == 8 else eighth
        host.clock.advance(MINUTE_S)
        if eighth is not None and told_minute is None:
            host.look()
            if host.told:
                told_minute = minute
                (fields,) = host.told
                assert (fields["limit"], fields["per"]) == (A_DAY, "payment")
                line = re.search(
                    rf"`ratelimit act budget set POLICY (\S+) '{A_DAY}=NUMBER'`", fields["opens"]
                )
                assert line is not None
        if line is not None and told_minute is not None and minute == told_minute + 10:
            host.does("set", line[1], f"{A_DAY}={2 * a_day}", "--for", "7d", "--yes")
    assert eighth is not None  # from then on a payer is told of
    assert told_minute is not None
    assert told_minute - eighth <= 1
    assert refused <= 0.05 * a_day


@pytest.mark.parametrize(
    ("accounts", "turns", "a_day", "group", "facts"),
    [
        pytest.param(
            40,
            40,
            16_000,
            "sponsor",
            {"payment": None, "sponsor": "programme-1"},
            id="start-ups of one sponsor",
        ),
        pytest.param(10, 20, 2900, "payment", {}, id="keys that an old customer adds, one of them busy"),
    ],
)
def test_operator_is_told_of_a_group_whose_accounts_are_refused_beyond_what_is_paid(
    host: Operated, accounts: int, turns: int, a_day: int, group: str, facts: dict[str, Any]
) -> None:
    """One line for the sponsor or the payer gives each of its accounts another number."""
    if group == "payment":
        for _ in range(40):  # it has been a customer for more than a month
            host.ask(1000, spread=1)
            host.clock.advance(86_400)
    refused, eighth, told_minute, line = 0, None, None, None
    for minute in range(MINUTES):
        for at in range(a_day * minute // MINUTES, a_day * (minute + 1) // MINUTES):
            created = host.clock.now_ns() / 1e9 if group == "payment" else 1.7e9
            more = {**facts, "account_created": created, "spread": 1}
            if not host.ask(min(at % turns, accounts - 1), **more):
                refused += 1
                eighth = minute if refused == 8 else eighth
        host.clock.advance(MINUTE_S)
        if eighth is not None and told_minute is None:
            host.look()
            if host.told:
                told_minute = minute
                (fields,) = host.told
                assert (fields["limit"], fields["per"]) == (BEYOND, group)
                line = re.search(
                    rf"`ratelimit act budget set POLICY (\S+) '{BEYOND}=NUMBER'`", fields["opens"]
                )
                assert line is not None
        if line is not None and told_minute is not None and minute == told_minute + 10:
            act = host.does("set", line[1], f"{BEYOND}={a_day}", "--for", "7d", "--yes")
            assert any("each account of" in words for words in act["does"])
    assert eighth is not None
    assert told_minute is not None
    assert told_minute - eighth <= 1
    assert refused <= 0.05 * a_day


def test_number_for_a_sponsor_is_of_its_accounts_alone_and_an_accounts_own_goes_before_it(
    host: Operated,
) -> None:
    one, other = {"payment": None, "sponsor": "one", "spread": 1}, {"sponsor": "other", "spread": 1}
    for sponsor in ("one", "other"):
        host.ask(9, payment=None, sponsor=sponsor, spread=1)
    host.does("set", "sponsor=one", f"{BEYOND}=500", "--yes")
    assert sum(host.ask(1, **one) for _ in range(700)) == 500
    assert sum(host.ask(2, **one) for _ in range(700)) == 500
    assert sum(host.ask(3, **{**other, "payment": None}) for _ in range(700)) == 300
    host.does("set", "account=seat-4", f"{BEYOND}=400", "--yes")
    assert sum(host.ask(4, **one) for _ in range(700)) == 400


def test_act_ends_with_an_undo_and_by_time(host: Operated) -> None:
    for at in range(6000):
        host.ask(at % 8)
    host.look()
    assert not host.ask(1)
    act = host.does("set", "payment=card-1", f"{A_DAY}=10000", "--for", "1h", "--yes")
    assert 10_000 <= act["numbers"][A_DAY] <= 11_000  # the next of eight steps to each doubling
    assert host.ask(1)
    shown = {each["limit"]: each for each in host.does("show", "payment=card-1")["limits"]}
    assert shown[A_DAY]["by"] == "an act"
    assert shown[A_DAY]["used"] == 3001
    assert run("act", "undo", host.policy, act["act"]).exit_code == 0
    host.look()
    assert not host.ask(1)
    host.does("set", "payment=card-1", f"{A_DAY}=10000", "--for", "1h", "--yes")
    assert host.ask(1)
    host.clock.advance(2 * 3600)
    assert not host.ask(1)


def test_number_of_another_payer_opens_nothing_and_one_goes_before_what_was_paid(host: Operated) -> None:
    host.does("set", "payment=card-2", f"{A_DAY}=50000", "--yes")
    assert sum(host.ask(1, spread=1) for _ in range(4000)) == 3000 + 300
    # It has paid for 60,000 a day, and the operator lets it have 4,000.
    host.does("set", "payment=card-3", f"{A_DAY}=3900", "--yes")
    facts = {"payment": "card-3", "paid_usd": 100, "spread": 1}
    assert 3900 + 300 <= sum(host.ask(2, **facts) for _ in range(6000)) <= 4300 + 300


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", f"{A_DAY}=100"), "3,000 at least"),
        (("set", f"{A_DAY}=900000000000"), "at most"),
        (("add", f"{A_DAY}=100"), "`ratelimit act budget set"),
        (("reset", A_DAY), "`ratelimit act budget set"),
    ],
)
def test_number_that_an_allowance_cannot_have_is_an_error(
    host: Operated, words: tuple[str, str], said: str
) -> None:
    result = run("act", "budget", words[0], host.policy, "payment=card-1", words[1], "--yes")
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_explanation_names_the_act(host: Operated) -> None:
    host.ask(1)
    request = "POST /v1/chat/completions account=seat-1 payment=card-1"

    def because() -> str:
        return str(run("explain", host.policy, "-r", request, "--live").output)

    assert "operator's act" not in because()
    host.does("set", "payment=card-1", f"{A_DAY}=10000", "--yes")
    assert "by an operator's act" in " ".join(because().split())
