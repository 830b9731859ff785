"""Balances through a server that comes back empty: hosts remember payments and use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Budgets, StoreError
from ratelimit.inspection.access import asking
from ratelimit.limiter import Limiter
from ratelimit.worker.acts import ActFollower
from tests.cli.running import run
from tests.support.redis.binary import Binary
from tests.support.redis.live import turns
from tests.support.redis.server import Server

pytestmark = pytest.mark.usefixtures("unattended")

POLICY = """\
version = 1
[identities]
account = {{ from = "state:account" }}
[[limit]]
name = "credit"
per = "account"
rate = "0/lifetime"
[[limit]]
name = "trial"
match = "/trial"
per = "account"
rate = "20/lifetime"
[store]
keys = {keys}
url = "{url}"
prefix = "paid"
memory = "{table}"
timeout = "5s"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


class Hosts:
    """Two hosts with memory of their own, whose acts are followed when a test says so."""

    def __init__(self, server: Server, folder: Path, keys: int = 1000) -> None:
        self.server, self.folder = server, folder
        self.limiters: dict[str, Limiter] = {}
        self.followers: dict[str, ActFollower] = {}
        for name in ("a", "b"):
            text = POLICY.format(url=server.url, table=folder / name, keys=keys)
            self.policy(name).write_text(text)
            self.start(name)

    def policy(self, name: str) -> Path:
        return self.folder / f"{name}.toml"

    def start(self, name: str) -> None:
        """Start the worker of a host; its shared memory may be there."""
        limiter = self.limiters[name] = Limiter(self.policy(name))
        follower = self.followers[name] = ActFollower(limiter.store.place)
        follower.begin(limiter)
        follower.look(limiter)

    def stop(self, name: str) -> None:
        self.followers.pop(name).resign()
        self.limiters.pop(name).close()

    def look(self) -> None:
        """Have both hosts read the acts."""
        for name, follower in self.followers.items():
            follower.look(self.limiters[name])

    def uses(self, name: str, count: int, path: str = "/", account: str = "a") -> int:
        """Return how many of so many requests a host admits."""
        limiter = self.limiters[name]

        async def ask() -> int:
            found = 0
            for _ in range(count):
                found += (await limiter.adecide(path=path, state={"account": account})).allowed
            await turns(3)
            await limiter.aclose_connections()
            return found

        return asyncio.run(ask())

    def shows(self, limit: str = "credit", account: str = "a", on: str = "a") -> dict[str, Any]:
        result = run("show", "budget", self.policy(on), f"account={account}", "--json")
        assert result.exit_code == 0, result.output
        return next(each for each in json.loads(result.stdout)["limits"] if each["limit"] == limit)

    def budgets(self, name: str = "a") -> Budgets:
        return Budgets(str(self.policy(name)))

    def close(self) -> None:
        for name in list(self.limiters):
            self.stop(name)


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[Hosts]:
    found = Hosts(server, tmp_path)
    yield found
    found.close()


@pytest.fixture
def mortal(binary: Binary, tmp_path: Path) -> Iterator[Hosts]:
    """Return hosts of a server of their own, which keeps nothing on a disk."""
    with ExitStack() as stack:
        server = Server(binary)
        server.start()
        stack.callback(server.stop)
        found = Hosts(server, tmp_path)
        stack.callback(found.close)
        yield found


def plan_of(limiter: Limiter) -> Any:
    """Return what asks for the first limit."""
    rule = limiter.policy.compiled.rules[0]
    return limiter.runtime.generation_at(limiter.now_ns()).plan_of([rule])


def forget(hosts: Hosts) -> None:
    hosts.server.client.flushall()


def test_server_that_is_emptied_gives_nothing_back_and_takes_no_payment(hosts: Hosts) -> None:
    assert hosts.uses("a", 1) == 0
    hosts.budgets().add("a", {"credit": 20})
    assert hosts.uses("a", 5) + hosts.uses("b", 3) == 8
    forget(hosts)
    assert hosts.uses("a", 4) + hosts.uses("b", 30) == 12
    shown = hosts.shows()
    assert (shown["added"], shown["used"], shown["remaining"]) == (20, 20, 0)
    forget(hosts)
    assert hosts.uses("b", 5) + hosts.uses("a", 5) == 0


def test_trial_is_not_given_anew(hosts: Hosts) -> None:
    hosts.budgets().add("a", {"credit": 100})
    assert hosts.uses("a", 15, "/trial") == 15
    forget(hosts)
    assert hosts.uses("a", 15, "/trial") == 5
    forget(hosts)
    assert hosts.uses("b", 15, "/trial") == 0 or hosts.uses("a", 15, "/trial") == 0


def test_host_that_knows_less_asks_first(hosts: Hosts) -> None:
    """Hazard: what the host with less knowledge used meanwhile must count beside what the other one knows."""
    hosts.budgets().add("a", {"credit": 20})
    assert hosts.uses("a", 3) == 3
    assert hosts.uses("b", 7) == 7  # which only `b` knows
    forget(hosts)
    assert hosts.uses("a", 4) == 4
    assert hosts.uses("b", 30) == 6
    assert hosts.uses("a", 5) == 0


def test_each_order_of_losses_and_requests_ends_at_what_was_paid(hosts: Hosts) -> None:
    hosts.budgets().add("a", {"credit": 40})
    hosts.look()
    used = hosts.uses("a", 1) + hosts.uses("b", 1)
    for turn in range(8):
        forget(hosts)
        first, second = ("a", "b") if turn % 3 else ("b", "a")
        used += hosts.uses(first, 2) + hosts.uses(second, 1)
    assert used == 26
    assert hosts.shows()["used"] == 26
    assert hosts.uses("b", 60) == 14


def test_server_is_killed_and_a_host_restarts_meanwhile(mortal: Hosts) -> None:
    mortal.budgets().add("a", {"credit": 20})
    assert mortal.uses("a", 5) + mortal.uses("b", 5) == 10
    mortal.server.kill()
    mortal.stop("b")
    mortal.server.start()
    mortal.start("b")
    assert mortal.uses("b", 30) + mortal.uses("a", 30) == 10
    assert mortal.shows(on="b")["used"] == 20


def test_payment_that_no_request_followed_is_there_again(hosts: Hosts) -> None:
    """Hazard: the server alone had seen it."""
    hosts.budgets("a").add("a", {"credit": 20})
    hosts.look()
    forget(hosts)
    assert hosts.uses("b", 30) == 20


def test_payment_is_undone_after_the_loss(hosts: Hosts) -> None:
    (act,) = hosts.budgets().add("a", {"credit": 20})
    hosts.look()
    assert hosts.uses("a", 5) == 5
    forget(hosts)
    hosts.look()  # the acts are there again
    hosts.budgets("b").undo(act)
    hosts.look()
    assert hosts.uses("a", 5) + hosts.uses("b", 5) == 0
    forget(hosts)
    hosts.budgets().add("a", {"credit": 7})  # of which five pay what was used
    assert hosts.uses("b", 1) + hosts.uses("a", 9) == 2
    shown = hosts.shows()
    assert (shown["added"], shown["used"], shown["remaining"]) == (7, 7, 0)


def test_payment_into_the_empty_server_counts_beside_those_before(hosts: Hosts) -> None:
    hosts.budgets().add("a", {"credit": 20})
    assert hosts.uses("a", 15) == 15
    forget(hosts)
    hosts.budgets("b").add("a", {"credit": 3})
    assert hosts.uses("a", 30) == 8


def test_payment_while_the_server_is_away_is_refused_and_repeated_once(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.budgets().add("a", {"credit": 20})
    assert hosts.uses("a", 20) == 20
    with monkeypatch.context() as brief:
        for module in ("stores.redis.caller", "inspection.access.asking"):
            brief.setattr(f"ratelimit.{module}.PATIENCE_S", 0.5)
        hosts.server.pause()
        try:
            with pytest.raises(StoreError):
                hosts.budgets().add("a", {"credit": 5}, once="invoice 4711")
        finally:
            hosts.server.resume()
    for name in ("a", "b", "a"):
        hosts.budgets(name).add("a", {"credit": 5}, once="invoice 4711")
    assert hosts.uses("a", 20) == 5


def test_payment_whose_answer_was_lost_is_done_once(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: the server has it, the log of acts has not, and the billing job repeats its call."""
    move = asking._moved
    lost: list[int] = []
    times = 1

    async def unheard(*asked: Any) -> Any:
        answer = await move(*asked)
        if len(lost) < times:
            lost.append(answer[0])
            raise StoreError("no answer came in time", code="redis-unreachable", transient=True)
        return answer

    with monkeypatch.context() as deaf:
        deaf.setattr(asking, "_moved", unheard)
        hosts.budgets().add("a", {"credit": 5}, once="invoice 4711")
        assert lost == [-5]
        assert hosts.uses("a", 20) == 5
        lost.clear()
        times = 10**6
        with monkeypatch.context() as brief:
            brief.setattr(asking, "PATIENCE_S", 1.0)
            with pytest.raises(StoreError):
                hosts.budgets().add("a", {"credit": 6}, once="invoice 4712")
        assert set(lost) == {-6}
    hosts.budgets("b").add("a", {"credit": 6}, once="invoice 4712")
    assert hosts.uses("b", 20) == 6


def test_server_that_comes_back_older_gives_nothing_back(hosts: Hosts) -> None:
    """Hazard: a replica that lagged, or a file that is written each second, has less than hosts saw."""
    hosts.budgets().add("a", {"credit": 20})
    assert hosts.uses("a", 2) == 2
    (key,) = [one for one in hosts.server.client.keys("paid*") if hosts.server.client.type(one) == "string"]
    older = hosts.server.client.execute_command("DUMP", key, NEVER_DECODE=True)
    assert hosts.uses("b", 8) == 8
    hosts.server.client.restore(key, 0, older, replace=True)
    assert hosts.uses("b", 1) == 1
    assert hosts.uses("a", 30) == 9


def test_host_that_dies_with_the_server_takes_what_it_alone_knew(mortal: Hosts) -> None:
    """The bound: what requests of the dead host used since the living one last asked, or a payment."""
    mortal.budgets().add("a", {"credit": 20})
    mortal.look()
    assert mortal.uses("b", 2) + mortal.uses("a", 6) == 8
    mortal.server.kill()
    mortal.stop("a")
    for path in mortal.folder.glob("a*"):
        if path != mortal.policy("a"):
            path.unlink()
    mortal.server.start()
    mortal.start("a")
    assert mortal.uses("a", 3) == 0  # which knows nothing: it is refused
    assert mortal.uses("b", 30) == 18  # 2 and the payment are known, 6 are not


def test_reboot_alone_and_the_server_alone_lose_nothing(mortal: Hosts) -> None:
    mortal.budgets().add("a", {"credit": 20})
    mortal.look()
    assert mortal.uses("a", 6) == 6
    mortal.stop("a")
    for path in mortal.folder.glob("a*"):
        if path != mortal.policy("a"):
            path.unlink()
    mortal.start("a")
    assert mortal.uses("a", 4) == 4
    mortal.server.kill()
    mortal.server.start()
    assert mortal.uses("a", 30) == 10


def test_old_payments_do_not_come_from_a_log_alone(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: a host that begins reads a payment of last week, and knows of no use since."""
    hosts.budgets().add("a", {"credit": 20})
    hosts.look()
    assert hosts.uses("a", 20) == 20
    hosts.stop("b")
    for path in hosts.folder.glob("b*"):
        if path != hosts.policy("b"):
            path.unlink()
    monkeypatch.setattr("ratelimit.budgets.keeping.RECENT_NS", -1)
    hosts.start("b")
    hosts.look()
    hosts.server.client.delete(*[one for one in hosts.server.client.keys("paid*") if len(one) < 20])
    assert hosts.uses("b", 5) == 0


def test_full_memory_forgets_payments_and_gives_no_balance(server: Server, tmp_path: Path) -> None:
    """Hazard: of the numbers of a balance, the use alone is evicted."""
    hosts = Hosts(server, tmp_path, keys=200)
    try:
        limiter = hosts.limiters["a"]
        plan: Any = limiter.runtime.generation_at(limiter.now_ns()).plan_of(
            [limiter.policy.compiled.rules[0]]
        )
        now_ns = limiter.now_ns()
        for key in range(1, 2000):
            plan.rules.remember(0, key, [7, 1000 + key, 1100 + key, 0], now_ns)
        known = [found for key in range(1, 2000) if (found := plan.rules.balance(0, key)) is not None]
        assert 0 < len(known) < 300
        assert all(paid <= charged + 100 for _, charged, paid, _ in known)
    finally:
        hosts.close()


def test_ten_thousand_customers_are_remembered_in_four_keys_each(server: Server, tmp_path: Path) -> None:
    hosts = Hosts(server, tmp_path, keys=50_000)
    try:
        limiter = hosts.limiters["a"]
        plan: Any = limiter.runtime.generation_at(limiter.now_ns()).plan_of(
            [limiter.policy.compiled.rules[0]]
        )
        now_ns = limiter.now_ns()
        for key in range(1, 10_001):
            plan.rules.remember(0, key, [7, key, key + 5, 0], now_ns)
        found = [plan.rules.balance(0, key) for key in range(1, 10_001)]
        assert found == [(7, key, key + 5, 0) for key in range(1, 10_001)]
    finally:
        hosts.close()


@pytest.mark.parametrize(
    "said", [[], [1], [-1, 0, 0, 0], [1, 2**60, 0, 0], [1, "2", 0, 0]], ids=lambda said: str(said)
)
def test_what_is_no_balance_is_not_remembered(hosts: Hosts, said: list[Any]) -> None:
    limiter = hosts.limiters["a"]
    plan = plan_of(limiter)
    with pytest.raises((ValueError, IndexError, TypeError, OverflowError)):
        plan.rules.remember(0, 5, said, limiter.now_ns())
    assert plan.rules.balance(0, 5) is None
