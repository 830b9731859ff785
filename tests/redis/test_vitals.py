"""The doctor's words about servers' settings and state: also of servers that are not at hand to test with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError
from redis.crc import key_slot

from ratelimit.environment.finding import Finding, Status
from ratelimit.stores.redis.doctor import vitals
from ratelimit.stores.redis.doctor.checkup import transport
from ratelimit.stores.redis.doctor.permission import (
    ACTING,
    CORRELATING,
    DECIDING,
    JOURNALLING,
    RECORDING,
    STRIKING,
    TRIAL,
    scratch_key,
)
from ratelimit.stores.redis.transport.symptom import explain, is_forbidden, state_of
from tests.support.redis.policies import spec_of

STORE = Path(vitals.__file__).parents[1]
HOSTS = STORE / "hosts"
DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9


@pytest.mark.parametrize(
    ("info", "status", "says"),
    [
        ({"redis_version": "8.0.2"}, "ok", "Redis 8.0.2"),
        ({"redis_version": "6.2.0"}, "ok", "Redis 6.2.0"),
        ({"redis_version": "6.0.20"}, "fail", "Redis 6.0.20 is too old"),
        ({"redis_version": "2.8.19"}, "fail", "too old"),
        ({"redis_version": "255.255.255"}, "ok", "Redis 255.255.255"),
        ({"redis_version": 7.2}, "ok", "Redis 7.2"),
        (
            {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"},
            "ok",
            "Valkey 9.1.2",
        ),
        ({"redis_version": "7.4.0", "dragonfly_version": "df-1.23.0"}, "warn", "Dragonfly df-1.23.0"),
        (None, "warn", "could not be seen"),
    ],
)
def test_software(info: dict[str, Any] | None, status: Status, says: str) -> None:
    found = vitals.software(info)
    assert (found.check, found.status) == ("version", status)
    assert says in found.says


MIB = 1 << 20


@pytest.mark.parametrize(
    ("most", "used", "policy", "status"),
    [
        (0, 5 * MIB, "allkeys-lru", "ok"),
        (10 * MIB, 5 * MIB, "noeviction", "ok"),
        (10 * MIB, 5 * MIB, "allkeys-lru", "warn"),
        (10 * MIB, 5 * MIB, "volatile-ttl", "warn"),
        (10 * MIB, 9 * MIB + 900_000, "noeviction", "warn"),
    ],
)
def test_memory(most: int, used: int, policy: str, status: Status) -> None:
    found = vitals.memory(
        {"maxmemory": most, "used_memory": used, "maxmemory_policy": policy, "evicted_keys": 7}
    )
    assert found.status == status
    assert bool(found.advice) == (status == "warn")
    assert ("7 keys were evicted" in found.says) == (policy != "noeviction" and most > 0)


@pytest.mark.parametrize(
    ("info", "settings", "longest_ns", "status", "says"),
    [
        ({"aof_enabled": 1}, {}, DAY_NS, "ok", "a second at most"),
        ({"aof_enabled": 0}, {"save": ""}, DAY_NS, "warn", "none:"),
        ({"aof_enabled": 0}, {"save": "3600 1"}, DAY_NS, "warn", "snapshots:"),
        ({"aof_enabled": 0}, None, DAY_NS, "warn", "if there are any"),
        ({"aof_enabled": 0}, {"save": ""}, MINUTE_NS, "ok", "no limit is longer"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, {}, MINUTE_NS, "fail", "refuses writes"),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, {}, MINUTE_NS, "warn", "snapshot failed"),
        (None, {}, MINUTE_NS, "warn", "could not be seen"),
    ],
)
def test_persistence(
    info: dict[str, Any] | None, settings: dict[str, str] | None, longest_ns: int, status: Status, says: str
) -> None:
    found = vitals.persistence(info, settings, longest_ns)
    assert found.status == status
    assert says in found.says


@pytest.mark.parametrize(
    ("info", "settings", "fails_over", "status", "says"),
    [
        ({"connected_slaves": 0}, {}, False, "ok", "on_store_error"),
        ({"connected_slaves": 0}, {}, True, "warn", "no replica takes over"),
        ({"connected_slaves": 1}, {"min-replicas-to-write": "0"}, False, "ok", "1 replica,"),
        ({"connected_slaves": 2}, {"min-replicas-to-write": "0"}, True, "warn", "2 replicas"),
        (
            {"connected_slaves": 2, "min_slaves_good_slaves": 1},
            {"min-replicas-to-write": "1"},
            True,
            "ok",
            "1 in step",
        ),
        (
            {"connected_slaves": 1, "min_slaves_good_slaves": 0},
            {"min-replicas-to-write": "1"},
            True,
            "fail",
            "writes are refused",
        ),
        ({"connected_slaves": 1, "min_slaves_good_slaves": 0}, None, True, "fail", "writes are refused"),
        (None, None, True, "warn", "could not be seen"),
    ],
)
def test_replication(
    info: dict[str, Any] | None,
    settings: dict[str, str] | None,
    fails_over: bool,
    status: Status,
    says: str,
) -> None:
    found = vitals.replication(info, settings, fails_over=fails_over)
    assert found.status == status
    assert says in found.says


def test_role() -> None:
    assert vitals.role({"role": "master"}).status == "ok"
    cut_off = {"role": "slave", "master_host": "h", "master_port": 1, "master_link_status": "down"}
    assert "cut off" in vitals.role(cut_off).says
    assert vitals.role(None).status == "warn"


def test_connections() -> None:
    few, many = (vitals.clients({"connected_clients": n, "maxclients": 100}) for n in (80, 81))
    assert isinstance(few, Finding)
    assert isinstance(many, Finding)
    assert (few.status, many.status) == ("ok", "warn")
    assert vitals.clients({}) is None
    assert vitals.clients(None) is None


@pytest.mark.parametrize(
    ("url", "peer", "status"),
    [
        ("redis://h", "127.0.0.1", "ok"),
        ("redis://h", "::1", "ok"),
        ("redis://h", "10.0.0.5", "warn"),
        ("redis://h", "fe80::1%eth0", "warn"),
        ("redis://h", None, "warn"),
        ("rediss://h", "10.0.0.5", "ok"),
        ("unix:///s", None, "ok"),
    ],
)
def test_who_can_listen(url: str, peer: str | None, status: Status) -> None:
    found = transport(spec_of(url), peer)
    assert found.status == status
    assert ("rediss" in found.advice) == (status == "warn")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (exceptions.AuthenticationError("WRONGPASS invalid username-password pair"), "refuses this user"),
        (
            exceptions.AuthenticationError("AUTH <password> called without any password"),
            "the server has none",
        ),
        (exceptions.AuthenticationError("Authentication required."), "requires a password"),
        (exceptions.ResponseError("NOAUTH Authentication required."), "requires a password"),
        (exceptions.NoPermissionError("this user has no permissions to run 'get'"), "may not do"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading its data"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "read-only replica"),
        (
            exceptions.ResponseError("OOM command not allowed when used memory > 'maxmemory'"),
            "memory is used",
        ),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB"), "cannot write its snapshot"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), "min-replicas-to-write"),
        (exceptions.ResponseError("BUSY Redis is busy running a script."), "busy with somebody's script"),
        (exceptions.ResponseError("MASTERDOWN Link with MASTER is down"), "lost its master"),
        (exceptions.ClusterDownError("CLUSTERDOWN The cluster is down"), "cluster is down"),
        (exceptions.ResponseError("ERR what is this"), "ERR what is this"),
        (exceptions.ConnectionError("DENIED Redis is running in protected mode"), "protected mode"),
        (exceptions.ConnectionError("max number of clients reached"), "no more connections"),
        (exceptions.ConnectionError("Connection closed by server."), "closes the connection"),
        (exceptions.TimeoutError("Timeout reading from h:6379"), "no answer in time"),
        (MasterNotFoundError("No master found for 'm' : <Redis(<ConnectionPool(...)>)>"), "names a master"),
        (ConnectionRefusedError(111, "Connection refused"), "nobody listens"),
        (PermissionError(13, "Permission denied"), "may not be used"),
    ],
)
def test_errors_in_words(error: Exception, says: str) -> None:
    told, advice = explain(error)
    assert says in told
    assert advice


def test_library_s_own_class_for_used_up_memory() -> None:
    kind = getattr(exceptions, "OutOfMemoryError", None)
    if kind is not None:
        assert "memory is used up" in explain(kind("command not allowed when used memory > 'maxmemory'."))[0]


def test_state_is_told_from_permission() -> None:
    assert state_of("SET OOM command not allowed when used memory > 'maxmemory'.") is not None
    assert state_of("ZADD NOPERM User me has no permissions to run the 'zadd' command") is None
    assert is_forbidden(exceptions.ResponseError("unknown command 'EVAL', with args beginning with: "))
    assert not is_forbidden(exceptions.ResponseError("OOM command not allowed"))


def test_trial_calls_whatever_the_deciding_script_calls() -> None:
    text = "\n".join(path.read_text() for path in sorted(STORE.glob("[df]*/scripts/*.lua")))
    needed = set(re.findall(r"call\w*\(\s*'([A-Z]+)'", text))
    tried = {words[0] for words in DECIDING}
    assert len(needed) > 10
    assert needed <= tried
    libraries = set(re.findall(r"\b(struct|cmsgpack|cjson|bit)\.\w+", text))
    assert libraries <= set(re.findall(r"\b(struct|cmsgpack|cjson|bit)\.\w+", TRIAL.decode()))


ACTS = {"act", "load", "report", "reports"}
"""The scripts of acts and of shared load; the others are the correlation's."""


def called_by(*scripts: Path) -> set[str]:
    """Return the commands that scripts call."""
    return {word for path in scripts for word in re.findall(r"redis\.call\(\s*'([A-Z]+)'", path.read_text())}


def called_alone(*modules: Path) -> set[str]:
    """Return the commands that modules call by themselves."""
    text = "\n".join(path.read_text() for path in modules)
    return set(re.findall(r"execute_command\(\s*\"([A-Z]+)\"", text)) - {"EVALSHA", "EVAL"}


def test_trial_calls_whatever_the_correlation_calls() -> None:
    scripts = [
        path
        for path in (HOSTS / "scripts").glob("*.lua")
        if path.stem not in {*ACTS, "conduct", "records", "journal"}
    ]
    alone = called_alone(*HOSTS.glob("*.py"))
    assert {"XADD", "XRANGE", "HGET"} <= alone
    assert called_by(*scripts) | alone == {words[0] for words in CORRELATING}


def test_trial_calls_whatever_acts_call() -> None:
    scripts = [HOSTS / "scripts" / f"{name}.lua" for name in ACTS]
    alone = called_alone(STORE / "acts.py")
    assert "LRANGE" in alone
    assert called_by(*scripts) | alone == {words[0] for words in ACTING}


def test_trial_calls_whatever_strikes_call() -> None:
    needed = called_by(HOSTS / "scripts" / "conduct.lua")
    assert needed == {words[0] for words in STRIKING} - {"DEL"}  # with which the trial ends


def test_trial_calls_whatever_the_journal_calls() -> None:
    needed = called_by(HOSTS / "scripts" / "journal.lua")
    assert needed == {words[0] for words in JOURNALLING} - {"DEL"}  # with which the trial ends


def test_trial_calls_whatever_records_of_payers_call() -> None:
    needed = called_by(HOSTS / "scripts" / "records.lua")
    assert needed == {words[0] for words in RECORDING} - {"DEL"}  # with which the trial ends


def test_scratch_key_lies_under_the_prefix_and_in_the_slots() -> None:
    assert scratch_key("shop").startswith("shop:")
    wanted = range(100, 200)
    assert key_slot(scratch_key("shop", wanted).encode()) in wanted
    assert scratch_key("shop") != scratch_key("shop")
