"""Descriptors of a service that counts on a server: exact over hosts, and bounded while it is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from envoy.service.ratelimit.v3 import rls_pb2

from ratelimit import Limiter, Policy
from ratelimit.serving.domains.counting import Counting
from ratelimit.serving.domains.files import DomainFiles
from ratelimit.serving.domains.service import DomainService
from ratelimit.serving.domains.settings import Settings
from ratelimit.serving.envoy import ByDomains
from tests.serving.domains.calling import OK, OVER, Entries
from tests.support.redis.fixtures import StartServer
from tests.support.redis.server import Server

TEXT = """
domain: d
descriptors:
- key: a
  rate_limit: { unit: year, requests_per_unit: 100 }
- key: b
  rate_limit: { unit: year, requests_per_unit: 4 }
- key: none
  rate_limit: { unit: year, requests_per_unit: 0 }
"""


class Host:
    """A process that answers calls."""

    def __init__(self, answering: ByDomains, limiter: Limiter) -> None:
        self._answering = answering
        self.limiter = limiter

    async def code(self, *descriptors: Entries, hits: int = 0) -> int:
        return int((await self.answer(*descriptors, hits=hits)).overall_code)

    async def answer(self, *descriptors: Entries, hits: int = 0) -> rls_pb2.RateLimitResponse:
        request = rls_pb2.RateLimitRequest(domain="d", hits_addend=hits)
        for entries in descriptors:
            made = request.descriptors.add()
            for key, value in entries:
                made.entries.add(key=key, value=value)
        return rls_pb2.RateLimitResponse.FromString(
            await self._answering.aanswer(request.SerializeToString())
        )


@asynccontextmanager
async def host(folder: Path, url: str, settings: Settings | None = None) -> AsyncIterator[Host]:
    place = folder / "r.yaml"
    place.write_text(TEXT)
    tree = {
        "version": 1,
        "store": {"url": url, "timeout": "5s", "memory": "private"},
        "hashing": {"key": "00" * 16},
    }
    limiter = Limiter(Policy.from_mapping(tree))
    service = DomainService(DomainFiles(str(place)).current, Counting(limiter), settings)
    try:
        yield Host(ByDomains(limiter, service, is_topped=False), limiter)
    finally:
        await limiter.aclose_connections()
        limiter.close()


async def test_two_hosts_get_the_limit_exactly_and_statuses_say_what_is_left(
    tmp_path: Path, server: Server
) -> None:
    async with host(tmp_path, server.url) as one, host(tmp_path, server.url) as other:
        calls = [each.code((("a", "1"),)) for each in (one, other) for _ in range(150)]
        assert Counter(await asyncio.gather(*calls)) == {OK: 100, OVER: 200}
        # It counts beyond the limit, and each descriptor by itself.
        answer = await one.answer((("b", "1"),), (("a", "1"),), (("b", "2"),), hits=3)
        assert [(each.code, each.limit_remaining) for each in answer.statuses] == [
            (OK, 1),
            (OVER, 0),
            (OK, 1),
        ]
        answer = await other.answer((("b", "1"),), (("b", "1"),))
        assert [(each.code, each.limit_remaining) for each in answer.statuses] == [(OK, 0), (OVER, 0)]
        assert 0 < answer.statuses[0].duration_until_reset.seconds <= 365 * 86_400


async def test_call_that_is_over_leaves_other_counters_alone_where_it_is_told_to(
    tmp_path: Path, server: Server
) -> None:
    async with host(tmp_path, server.url, Settings(stops_counting=True)) as one:
        codes = [await one.code((("b", "1"),), (("a", "1"),)) for _ in range(6)]
        assert codes == [OK] * 4 + [OVER] * 2
        answer = await one.answer((("a", "1"),))
        assert answer.statuses[0].limit_remaining == 95


async def test_host_without_its_server_goes_on_within_the_limit(
    tmp_path: Path, start_server: StartServer
) -> None:
    server = start_server()
    async with host(tmp_path, server.url) as one:
        assert await one.code((("b", "1"),)) == OK
        server.stop()
        codes = [await one.code((("b", "1"),)) for _ in range(9)]
        # It is the only host, so its share is the whole: four more at most, and no call is without an answer.
        assert codes == [OK] * 4 + [OVER] * 5
        assert await one.code((("none", "1"),)) == OVER
