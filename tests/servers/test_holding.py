"""Two workers before one back end: what each holds, and what a killed one leaves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from ratelimit import Policy
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.load.memory import SharedInFlight
from ratelimit.stores.factory import open_store
from tests.servers.serving import serving
from tests.support.redis.live import turns

FOLDER = "RATELIMIT_TEST_BACK_END"

POLICY = """\
version = 1
[store]
memory = "{store}"
[hashing]
key = "0123456789abcdef0123456789abcdef"
[identities]
account = {{ from = "header:x-api-key" }}
[adaptive]
first_byte = "60s"
in_flight = [1, 20, 400]
match = ["/begun", "/held"]
[[limit]]
name = "requests"
match = ["/begun", "/held"]
per = "account"
rate = "100/year"
algorithm = "fixed-window"
"""


class Host:
    """What tests see of a host: its back end, what is in flight, and its clients."""

    def __init__(self, folder: Path, base: str, flight: InFlight, now_ns: object) -> None:
        self.folder = folder
        self.base = base
        self.flight = flight
        self.now_ns = now_ns
        self.tasks: dict[str, asyncio.Task[httpx.Response]] = {}

    def ask(self, name: str, path: str = "/held") -> None:
        """Send a request by a connection of its own, so that any worker may have it."""
        self.tasks[name] = asyncio.create_task(self._ask(name, path))

    async def _ask(self, name: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.base, timeout=60) as client:
            return await client.post(path, headers={"x-api-key": name[0], "x-name": name})

    @property
    def there(self) -> set[str]:
        """The requests that are in the back end."""
        return {place.name for place in self.folder.iterdir()}

    @property
    def answerable(self) -> set[str]:
        """Those of them that tests answer while others are held: `r1` and `r2` stay until the end."""
        return self.there - {"r1", "r2"}

    @property
    def held(self) -> int:
        return self.flight.held(self.now_ns())  # type: ignore[operator]

    def answer(self, name: str) -> None:
        (self.folder / name).unlink()

    async def answer_until(self, claim: Callable[[], bool]) -> None:
        """Answer what is in the back end, and what comes into it meanwhile, until the claim holds.

        A request that is no longer held is in the back end a moment later, so one round is not enough.
        """

        def answered() -> bool:
            for name in self.answerable:
                self.answer(name)
            return claim()

        await self.until("all are answered", answered, 50)

    async def until(self, what: str, claim: object, seconds: float = 50) -> None:
        for _ in range(int(seconds * 100)):
            if claim():  # type: ignore[operator]
                return
            await turns(10)
        raise AssertionError(f"{what}: {len(self.there)} in the back end, {self.held} held")


@asynccontextmanager
async def two_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    folder = tmp_path / "back-end"
    folder.mkdir()
    monkeypatch.setenv(FOLDER, str(folder))
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.format(store=tmp_path / "store"))
    with serving("uvicorn", policy, workers=2, app="tests.servers.holding:app") as port:
        store = open_store(Policy.load(policy))
        base = f"http://127.0.0.1:{port}"
        pids: set[str] = set()
        while len(pids) < 2:  # the one that starts last brings its bounds with it
            async with httpx.AsyncClient(base_url=base, timeout=60) as client:
                pids.add((await client.get("/pid")).text)
        flight = SharedInFlight.existing(store.place, store.hasher.key, "default")
        assert flight is not None
        host = Host(folder, base, flight, store.clock.now_ns)
        try:
            yield host
        finally:
            for place in folder.iterdir():
                place.unlink()
            for task in host.tasks.values():
                task.cancel()
            await asyncio.gather(*host.tasks.values(), return_exceptions=True)
            flight.close()
            store.close()


async def saturate(host: Host, held: int) -> None:
    """Take both places and the two behind them, one after the other, and hold some more."""
    for name in ("r1", "r2"):
        host.ask(name, "/begun")
        await host.until("it answers", lambda name=name: name in host.there)
    await host.until("both answer", lambda: host.flight.counts(host.now_ns()) == (2, 0))  # type: ignore[operator]
    for number in range(2):
        host.ask(f"s{number}")
        await host.until("it is sent", lambda number=number: f"s{number}" in host.there)
    for number in range(held):
        host.ask(f"h{number}")
        await host.until("it is held", lambda number=number: host.held == number + 1)


async def test_workers_keep_one_bound_and_none_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_workers(tmp_path, monkeypatch) as host:
        await saturate(host, 6)
        assert len(host.there) == 4
        for left in range(5, -1, -1):
            # A request ceases to be held a moment before it reaches the back end.
            await host.until("one can be answered", lambda: host.answerable)
            host.answer(min(host.answerable))
            # Two, where both workers ask at one instant.
            await host.until("another one goes on", lambda left=left: host.held <= left)
            assert len(host.there) <= 5  # two workers that ask at one instant are over by one
        held = [task for name, task in host.tasks.items() if name[0] == "h"]
        await host.answer_until(lambda: all(task.done() for task in held))
        assert {task.result().status_code for task in held} == {200}


async def test_killed_worker_takes_what_it_held_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_workers(tmp_path, monkeypatch) as host:
        await saturate(host, 6)
        async with httpx.AsyncClient(base_url=host.base, timeout=60) as client:
            os.kill(int((await client.get("/pid")).text), signal.SIGKILL)
        # The others go on, and six seconds later the dead one counts for nothing.
        await host.until("its clients are gone", lambda: any(task.done() for task in host.tasks.values()))
        await turns(500)
        alive = {name for name, task in host.tasks.items() if not task.done() and name[0] == "h"}
        await host.until("what it held is gone", lambda: host.held <= len(alive), 20)
        await host.answer_until(lambda: all(host.tasks[name].done() for name in alive))
        assert {host.tasks[name].result().status_code for name in alive} <= {200}
