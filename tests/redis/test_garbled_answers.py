"""Made-up reports of servers and hosts: they end in a finding or a refusal, never in a traceback."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratelimit.environment.finding import Finding
from ratelimit.stores.redis.doctor import vitals
from ratelimit.stores.redis.hosts.entries import AssignmentEntry, EntryRefused, Head, SightingEntry
from ratelimit.stores.redis.hosts.keys import Places
from ratelimit.stores.redis.hosts.queues import HostQueues
from ratelimit.stores.redis.hosts.stream_client import Failures, StreamClient
from tests.cli.running import run
from tests.redis.examining import POLICY as EXAMINED
from tests.support.redis.forger import Forger, bulk
from tests.support.redis.live import turns
from tests.support.redis.nonsense import EXTREMES, NOW

# -- what a server says of itself -------------------------------------------------------------------

INFO: dict[str, Any] = {
    "redis_version": "7.2.4",
    "role": "master",
    "connected_slaves": 1,
    "min_slaves_good_slaves": 1,
    "maxmemory": 100,
    "used_memory": 5,
    "maxmemory_policy": "noeviction",
    "evicted_keys": 0,
    "aof_enabled": 0,
    "rdb_last_save_time": 5,
    "rdb_last_bgsave_status": "ok",
    "connected_clients": 5,
    "maxclients": 100,
    "cluster_enabled": 0,
    "server_name": "valkey",
    "valkey_version": "8.0.0",
}
TOLD: tuple[Any, ...] = (
    *EXTREMES,
    1.5,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "nan",
    "-1",
    "9" * 5000,
    "\x1b[2J",
    "٣",
    None,
    True,
    [],
    {},
    {"x": 1},
    b"5",
    "1 2",
    "1" * 21,
    "0x10",
    "1e3",
)


def test_made_up_vitals_are_a_finding(faults: int) -> None:
    rng = random.Random(13)
    asked: list[Callable[[Any], Finding | None]] = [
        vitals.software,
        vitals.memory,
        vitals.role,
        vitals.clients,
        lambda info: vitals.persistence(info, {"save": rng.choice(TOLD)}, rng.choice((0, 10**18))),
        lambda info: vitals.replication(info, {"min-replicas-to-write": rng.choice(TOLD)}, fails_over=True),
        lambda info: vitals.replication(info, None, fails_over=False),
    ]
    for _ in range(faults):
        info = {
            key: rng.choice(TOLD) if rng.random() < 0.4 else value
            for key, value in INFO.items()
            if rng.random() < 0.9
        }
        for ask in asked:
            found = ask(info)
            assert found is None or found.says


@pytest.mark.parametrize("seed", range(4))
async def test_doctor_shows_made_up_answers_in_visible_lines(tmp_path: Path, seed: int, faults: int) -> None:
    rng = random.Random(seed)
    pieces = (
        b"+OK\r\n",
        b":1\r\n",
        b":-1\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"-ERR \x1b[2J\x9b\r\n",
        b"+PONG\r\n",
        b"$4\r\n\x1b[2J\r\n",
        b"*2\r\n:%d\r\n$1\r\nx\r\n" % 2**70,
        b"*2\r\n$3\r\nnan\r\n$3\r\ninf\r\n",
        b"-NOSCRIPT x\r\n",
        b"*2\r\n*3\r\n:0\r\n:99999999999\r\n*2\r\n$1\r\nx\r\n:1\r\n:5\r\n",
        b"-READONLY x\r\n",
        b"-MOVED 1 x:1\r\n",
        bulk([NOW, 1]),
        bulk([]),
    )

    def other(words: list[bytes]) -> bytes | None:
        if words[0] in (b"HELLO", b"CLIENT", b"SELECT", b"AUTH", b"COMMAND") and rng.random() < 0.9:
            return b"+OK\r\n"
        if words[0] == b"PING" and rng.random() < 0.9:
            return b"+PONG\r\n"
        if words[0] == b"INFO" and rng.random() < 0.7:
            info = {
                key: rng.choice(TOLD[:-8]) if rng.random() < 0.3 else value for key, value in INFO.items()
            }
            text = "\r\n".join(
                f"{key}:{str(value)[:60] if not isinstance(value, int) else 7}" for key, value in info.items()
            )
            raw = text.encode()
            return b"$%d\r\n%b\r\n" % (len(raw), raw)
        return rng.choice(pieces)

    async with Forger() as forger:
        forger.other = other
        for _ in range(max(3, faults // 130)):
            path = tmp_path / "policy.toml"
            url = (
                forger.url if rng.random() < 0.7 else forger.url.replace("redis://", "redis+cluster://")[:-2]
            )
            path.write_text(EXAMINED.format(url=url, more="", rate="5/day", folder=tmp_path))
            result = await asyncio.to_thread(run, "doctor", path, *(["--json"] if rng.random() < 0.5 else []))
            assert result.exit_code in (0, 1), result.output
            assert isinstance(result.exception, SystemExit | None), result.exception
            assert not {"\x1b", "\x9b", "\x00"} & set(result.stdout + result.stderr)
            if result.stdout.startswith("{"):
                json.loads(result.stdout)


# -- hosts ------------------------------------------------------------------------------------------


def test_made_up_entries_of_other_hosts_are_read_or_refused(faults: int) -> None:
    rng = random.Random(14)
    sound = [
        AssignmentEntry(7, 5, 3, 9, 0, (1, 2, 3), b"x" * 32).packed(),  # type: ignore[arg-type]
        Head(7, 5, 1, 2, 100, b"d" * 16, 3, b"5-1").packed(),
    ]
    for _ in range(faults * 5):
        entry = bytearray(rng.choice(sound))
        for _ in range(rng.randint(0, 4)):
            if entry:
                entry[rng.randrange(len(entry))] = rng.randrange(256)
        raw = bytes(entry[: rng.randint(0, len(entry))]) if rng.random() < 0.4 else bytes(entry)
        for read in (AssignmentEntry.from_entry, Head.from_stored, SightingEntry.from_entry):
            try:
                read(raw, 7)
            except EntryRefused:
                continue


class Babbler:
    """A client of a server that answers with whatever it pleases."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def _any(self, depth: int = 0) -> Any:
        rng = self._rng
        if depth < 3 and rng.random() < 0.5:
            return [self._any(depth + 1) for _ in range(rng.randint(0, 4))]
        return rng.choice(
            (*EXTREMES, None, b"", b"x", b"5-1", b"0-0", {b"e": b"x"}, {b"e": 5}, [], "text", 0.5)
        )

    async def execute_command(self, *words: Any) -> Any:
        found = self._any()
        if isinstance(found, Exception):
            raise found
        return found

    evalsha = eval = script_load = execute_command

    async def aclose(self) -> None: ...


async def test_made_up_replies_to_the_correlation_end_no_turn_and_no_thread(faults: int) -> None:
    rng = random.Random(15)
    box = HostQueues(is_candidate=True)
    stream_client = StreamClient(lambda: Babbler(rng), Places("ratelimit"), box, mark=7, key=b"0" * 16)
    for _ in range(faults):
        stream_client._lease_due_s = stream_client._table_due_s = 0.0
        try:
            await stream_client.turn()
        except Failures:
            continue
        assert box.term < 1 << 53
        box.news.clear()
        box.incoming.clear()
    await turns()
    await stream_client.aclose_connections()
