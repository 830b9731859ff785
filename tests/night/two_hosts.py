"""Two hosts that share a server: applications on one refuse, and a person asks on the other.

Each host has memory of its own and one worker. A thread follows acts, answers inquiries
and writes the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.core.sharing.assignments import Assignments
from ratelimit.worker.acts import ActFollower
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch
from tests.asgi.driver import Client, ok
from tests.support.policy_lines import tuned

POLICY = """\
version = 1
events = []
[identities]
account = {{ from = "header:x-api-key" }}
payment = {{ from = "header:x-payment", missing = "skip" }}
plan = {{ from = "header:x-plan", missing = "skip" }}
client = {{ from = "header:user-agent", missing = "skip" }}
ip = {{ from = "client" }}
network = {{ from = "client/24/48" }}
block = {{ from = "client/16/32" }}
[[limit]]
name = "requests"
match = "/account"
per = "account"
rate = "2/year"
[[limit]]
name = "address"
match = "/address"
per = "ip"
rate = "2/year"
[[limit]]
name = "card"
match = "/payment"
per = "payment"
rate = "2/year"
[[limit]]
name = "one actor"
match = "/actor"
per = "cluster"
rate = "2/year"
algorithm = "fixed-window"
[[limit]]
name = "plans"
match = "/tier"
per = "account"
rate = "2/year"
tiers.plan = {{ pro = "3/year" }}
[[limit]]
name = "pair"
match = "/pair"
per = ["account", "ip"]
rate = "2/year"
[[limit]]
name = "all"
match = "/all"
per = []
rate = "2/year"
[[limit]]
name = "trial"
match = "/shadow"
per = "account"
rate = "2/year"
mode = "shadow"
[adaptive]
match = "/load"
first_byte = "1s"
mode = "shed"
in_flight = [1, 1, 1]
[correlation]
principal = "account"
network = ["ip", "network", "block"]
payment = "payment"
client = "client"
[store]
keys = 1000
url = "{url}"
prefix = "night"
timeout = "5s"
memory = "{table}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""
NUMBERS = "principals = 100\nidentifiers = 500\n"
ACTOR = 1001


class Host:
    """One host: its policy's file, and a worker."""

    def __init__(self, folder: Path, name: str, url: str, numbers: str = NUMBERS) -> None:
        self.path = folder / f"{name}.toml"
        self.path.write_text(tuned(POLICY.format(url=url, table=folder / name), numbers))
        self.limiter = Limiter(self.path)
        self.app: Any = ok
        self.middleware = RateLimitMiddleware(self._app, limiter=self.limiter, reload_interval_s=0)
        self.client = Client(self.middleware)
        self._ended = Event()
        self._follower = ActFollower(self.limiter.store.place)
        self._watch = EventWatch(Reporter(self.limiter.store.place, self.limiter.policy.file.events))
        self._thread = Thread(target=self._follow)
        if self.limiter.clustering is not None:
            self.limiter.clustering.is_kept_up = True  # which account belongs where is given
        self._thread.start()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    def _follow(self) -> None:
        self._follower.begin(self.limiter)
        while not self._ended.wait(0.05):
            self._follower.look(self.limiter)
            self._watch.look(self.limiter, self._follower.log, self._follower.epoch)

    @property
    def epoch(self) -> str:
        """The name of what the server remembers, as this host heard it."""
        return self._follower.epoch

    def be_one_actor(self, *accounts: str, actor: int = ACTOR) -> None:
        """Have some accounts be one actor, as a correlator assigns them."""
        bound = self.limiter.current
        assert bound.watch is not None
        found = bound.watch.assignments
        writer = Assignments(found.board, found.columns)
        writer.write(found.board.claim(found.board.term, 1, self.limiter.now_ns()))
        for account in accounts:
            row = bound.extractor.extract([(b"x-api-key", account.encode())], "192.0.2.1")
            principal = found.columns.key_of(row)
            assert principal is not None
            assert writer.assign(principal, actor)

    def close(self) -> None:
        self._ended.set()
        self._thread.join(30)
        self._follower.resign()
        self.limiter.close()


@contextmanager
def two_hosts(folder: Path, url: str, numbers: str = NUMBERS) -> Iterator[tuple[Host, Host]]:
    """Give two hosts of one deployment, with these numbers of the correlator's."""
    with ExitStack() as stack:
        hosts = []
        for name in ("web-1", "web-2"):
            hosts.append(Host(folder, name, url, numbers))
            stack.callback(hosts[-1].close)
        yield hosts[0], hosts[1]
