"""A worker that ends gives back what it leased, and closes its connections, whenever that is."""

from __future__ import annotations

import asyncio

import pytest

from ratelimit import Limiter, Policy
from ratelimit.stores.redis import leases as lease_client
from ratelimit.stores.redis.transport.batch import MOST_ASKS, Call
from ratelimit.stores.redis.transport.client import BatchClient
from ratelimit.stores.redis.transport.dial import Dialer
from ratelimit.stores.redis.transport.node import ServerClient
from tests.support.redis.cluster import Cluster
from tests.support.redis.fixtures import StartServer
from tests.support.redis.live import Live, LiveLimiter, eventually, rules, turns
from tests.support.redis.patience import until
from tests.support.redis.policies import spec_of
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch

POLICY = """
version = 1

[identities]
account = {{ from = "header:x-api-key" }}

[hashing]
key = "00112233445566778899aabbccddeeff"

[store]
url = "{url}"
mode = "leased"
memory = "private"
timeout = "5s"

[[limit]]
name = "requests"
per = "account"
rate = "100000/year"
algorithm = "fixed-window"
"""

LOG = 'per = "account"\nrate = "100/day"\nalgorithm = "sliding-log"'


async def test_more_leases_than_one_call_takes_are_given_back(server: Server) -> None:
    limiter = Limiter(Policy.from_toml(POLICY.format(url=server.url)))
    accounts = [f"account-{number}" for number in range(4 * MOST_ASKS)]
    lease_client = limiter.store.lease_client  # type: ignore[attr-defined]
    rounds = 0
    while lease_client.leases.held() < 4 * MOST_ASKS:  # until it has seen for long enough how busy they are
        await asyncio.gather(*(limiter.adecide(identities={"account": account}) for account in accounts))
        rounds += 1
    for _ in range(5):  # round trips, in which what is under way is answered
        await limiter.apeek(identities={"account": accounts[0]})
    await limiter.aclose_connections()
    assert lease_client.leases.held() == 0
    other = Limiter(Policy.from_toml(POLICY.format(url=server.url)))
    decision = await other.adecide(identities={"account": accounts[0]})
    assert decision.verdicts[0].remaining == 100_000 - rounds - 1  # what was used, and this one
    await other.aclose_connections()
    for each in (limiter, other):
        each.close()


async def test_closing_between_a_connection_and_its_first_batch_leaves_none_open(server: Server) -> None:
    opened: list[ServerClient] = []
    closing: list[asyncio.Task[None]] = []

    class Hasty(ServerClient):
        """Has all closed in the turn that comes before its pipeline's first."""

        async def check(self, call: Call) -> None:
            await super().check(call)
            opened.append(self)
            closing.append(asyncio.create_task(batch_client.aclose_connections()))

    dialer = Dialer(spec_of(server.url))
    batch_client = BatchClient(dialer, worker=1, timeout_s=5, new_node_client=lambda: Hasty(dialer.dial))
    await eventually(lambda: closing, "a connection")
    await closing[0]
    assert opened
    assert not any(node_client.is_open for node_client in opened)


async def test_worker_that_ends_in_order_is_missed_no_longer(
    server: Server, open_limiter: LiveLimiter
) -> None:
    one, other = [open_limiter(server.url, 'per = "account"\nrate = "100/day"') for _ in range(2)]
    for limiter in (one, other):
        await limiter.look()
        await limiter.connected()
    await one.store.fair_share.beat(one.batch_client)
    assert one.store.fair_share.workers == 2
    await other.store.aclose_connections()
    await one.store.fair_share.beat(one.batch_client)
    assert one.store.fair_share.workers == 1
    # It may come back: with its first decision.
    await other.look()
    await other.connected()
    await one.store.fair_share.beat(one.batch_client)
    assert one.store.fair_share.workers == 2


def workers_of(cluster: Cluster) -> int:
    name = "ratelimit:{workers}"
    return int(cluster.owner(name).client.hlen(name))


async def test_worker_leaves_a_cluster_at_once(cluster: Cluster, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(cluster.cluster_url, 'per = "account"\nrate = "100/day"')
    await limiter.look()
    await limiter.connected()
    assert workers_of(cluster) == 1
    await limiter.aclose()
    assert workers_of(cluster) == 0


async def test_worker_of_two_event_loops_stays_until_both_have_ended(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, 'per = "account"\nrate = "100/day"')
    await limiter.look()
    await limiter.connected()

    async def elsewhere() -> None:
        await limiter.look()
        await limiter.store.aclose_connections()

    await asyncio.to_thread(asyncio.run, elsewhere())
    assert server.client.hlen("ratelimit:workers") == 1
    await limiter.store.aclose_connections()
    assert server.client.hlen("ratelimit:workers") == 0


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_what_is_settled_last_is_settled(server: Server, open_limiter: LiveLimiter, mode: str) -> None:
    limits = 'per = "account"\nrate = "1000/year"\nalgorithm = "fixed-window"', 'per = "ip"\nconcurrent = 5'
    limiter = open_limiter(server.url, *limits, mode=mode)
    found = await limiter.ask()
    found.settle(requests=31)
    found.release()
    await limiter.store.aclose_connections()
    other = open_limiter(server.url, *limits, mode=mode)
    assert await other.left() == [1000 - 31, 5]


async def test_leases_that_are_asked_for_at_the_end_are_given_back(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limits = 'per = "account"\nrate = "100000/year"\nalgorithm = "fixed-window"'
    limiter = open_limiter(server.url, limits, mode="leased")
    lease_client = limiter.store.lease_client
    assert lease_client is not None
    used = 0
    while not limiter.batch_client.pending.count:  # until a lease was just asked for
        await turns(1)
        assert (await limiter.ask()).allowed
        used += 1
        await asyncio.sleep(0)
    await limiter.store.aclose_connections()
    assert lease_client.leases.held() == 0
    other = open_limiter(server.url, limits)
    assert await other.left() == [100_000 - used]


async def test_server_that_hangs_does_not_keep_a_worker_from_ending(
    start_server: StartServer, open_limiter: LiveLimiter
) -> None:
    server = start_server()
    limiter = open_limiter(server.url, 'per = "account"\nrate = "1000/day"', timeout="25ms")
    await limiter.look()
    await limiter.connected()
    found = await limiter.ask()
    server.pause()
    found.settle(requests=3)
    with Stopwatch() as watch:
        await limiter.store.aclose_connections()
    assert watch.s < 1.0  # not as long as for a sign of life
    server.resume()


def connected(server: Server) -> int:
    """Return how many connections of limiters a server has."""
    return sum(each["name"] == "ratelimit" for each in server.client.client_list())


async def test_closing_while_a_batch_waits_says_nothing_about_it_later(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, 'per = "account"\nrate = "100/day"', timeout="50ms")
    await limiter.look()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    batch_client = limiter.batch_client
    asking = asyncio.create_task(limiter.ask())
    await asyncio.sleep(0)
    await batch_client.aclose_connections()
    assert (await asking).allowed  # here
    await turns(60)  # until after the batch's deadline
    assert not complaints


def test_loop_that_ends_without_a_word_leaves_no_connection_open(server: Server) -> None:
    limiters: list[Live] = []

    async def serve(turns_taken: int) -> None:
        limiters.append(Live(rules(server.url, LOG)))
        asking = asyncio.create_task(limiters[-1].ask())
        for _ in range(turns_taken):
            await asyncio.sleep(0)
        asking.cancel()

    for turns_taken in range(60):  # before, while and after it connects
        asyncio.run(serve(turns_taken))
    # Else a warning of it would come in some other test.
    until(lambda: not connected(server), "all connections to be closed")
    for limiter in limiters:
        limiter.store.close()


async def test_tasks_that_were_all_cancelled_are_begun_anew(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, LOG)
    await limiter.ask()
    mine = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    for each in mine:
        each.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
    await limiter.ask()
    assert await limiter.left() == [98]
    assert not limiter.watcher.faults


def test_leases_are_renewed_in_another_loop_than_they_were_asked_for_in(server: Server) -> None:
    limiter = Live(rules(server.url, 'per = "account"\nrate = "20000/hour"', mode="leased"))
    lease_client = limiter.store.lease_client
    assert lease_client is not None

    async def busy() -> None:
        while lease_client.leases.held() < 100:  # until it has seen for long enough how busy the key is
            await limiter.ask()
            await turns(1)

    async def spend() -> None:
        while lease_client.leases.held() > 20:  # what is due is asked for in a turn that this loop never has
            assert (await limiter.ask()).allowed

    async def ask_on() -> int:
        await limiter.look()
        begun = limiter.batch_client.round_trips
        for _ in range(200):
            await limiter.ask()
        return limiter.batch_client.round_trips - begun

    asyncio.run(busy())
    asyncio.run(spend())
    asyncio.run(busy())
    assert asyncio.run(ask_on()) < 20
    limiter.store.close()


async def test_leases_that_nobody_uses_are_given_back_while_the_worker_lives(
    server: Server, open_limiter: LiveLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_client, "QUIET_NS", 100_000_000)
    limits = 'per = "account"\nrate = "100000/year"\nalgorithm = "fixed-window"'
    limiter, other = open_limiter(server.url, limits, mode="leased"), open_limiter(server.url, limits)
    assert limiter.store.lease_client is not None
    leases = limiter.store.lease_client.leases
    used = 0
    while not leases.held():  # until it has seen for long enough how busy the key is
        assert (await limiter.ask()).allowed
        used += 1
        await turns(1)
    assert (await other.left())[0] < 100_000 - used
    await eventually(lambda: not leases.held(), "the leases to be given back")
    await limiter.store.aclose_connections()  # in which the last of them arrives
    assert await other.left() == [100_000 - used]
