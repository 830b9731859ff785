"""A server's settings and state (`INFO`, `CONFIG GET`), and their meaning for limits kept there.

Pure: each function takes what was read and returns a finding. `None` stands for
what the server would not tell, as managed services often do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ratelimit.algorithms import FOREVER_NS
from ratelimit.environment.finding import Fact, Finding, unseen

Info = Mapping[str, Any]

LONGEST_VERSION = 64
OLDEST = (6, 2)
"""The first release in which scripts may do all that ours do, tested here or not."""
_OTHERS = {
    "dragonfly_version": "Dragonfly",
    "kvrocks_version": "Kvrocks",
    "keydb_version": "KeyDB",
    "garnet_version": "Garnet",
}
_HOUR_NS = 3600 * 10**9
_CONSOLE = "Look into the service's console instead."


def software(info: Info | None) -> Finding:
    """Return which server it is, and whether it is new enough."""
    if info is None:
        return unseen("version", "INFO", f"{_CONSOLE} It has to be Redis 6.2, Valkey 7.2 or newer.")
    claimed = str(info.get("redis_version", "0"))[:LONGEST_VERSION]
    for key, name in _OTHERS.items():
        if key in info:
            return Finding(
                "version",
                "warn",
                f"{name} {str(info[key])[:LONGEST_VERSION]}, which is not Redis or Valkey",
                "It may work, but was not tested: put it under load first.",
                facts={"software": name.lower(), "version": str(info[key])[:LONGEST_VERSION]},
            )
    is_valkey = info.get("server_name") == "valkey" or "valkey_version" in info
    name = "Valkey" if is_valkey else "Redis"
    version = str(info.get("valkey_version", claimed))[:LONGEST_VERSION] if is_valkey else claimed
    facts = {"software": name.lower(), "version": version}
    if _numbers(claimed) < OLDEST:
        return Finding(
            "version",
            "fail",
            f"{name} {version} is too old",
            "Use Redis 6.2 or newer, or Valkey.",
            facts=facts,
        )
    return Finding("version", "ok", f"{name} {version}", facts=facts)


def memory(info: Info | None) -> Finding:
    """Return whether the server might drop counters for want of memory."""
    most = None if info is None else _whole(info.get("maxmemory"))
    if info is None or most is None:
        return unseen("memory", "INFO", f"{_CONSOLE} `maxmemory-policy` has to be `noeviction`.")
    used = _whole(info.get("used_memory")) or 0
    policy = str(info.get("maxmemory_policy", "noeviction"))
    evicted = _whole(info.get("evicted_keys")) or 0
    facts: dict[str, Fact] = {"maxmemory": most, "used": used, "policy": policy, "evicted": evicted}
    advice = (
        "`CONFIG SET maxmemory-policy noeviction`, and in its configuration file; "
        "give other data that may be evicted a server of its own."
    )
    if most == 0:
        return Finding(
            "memory",
            "ok",
            f"{_size(used)} used, no `maxmemory`, so no key is evicted",
            facts=facts,
        )
    share = used / most
    seen = f"{_size(used)} of {_size(most)} used, `maxmemory-policy` is `{policy}`"
    if policy != "noeviction":
        lost = f"; {evicted:,} keys were evicted so far" if evicted else ""
        return Finding(
            "memory",
            "warn",
            f"{seen}: when it is full, counters are thrown away, and who was limited begins afresh{lost}",
            advice,
            facts=facts,
        )
    if share > 0.9:
        return Finding(
            "memory",
            "warn",
            f"{seen}: when it is full, it refuses writes, and limits follow `on_store_error`",
            "Raise `maxmemory`, or move other data away.",
            facts=facts,
        )
    return Finding("memory", "ok", seen, facts=facts)


def persistence(info: Info | None, settings: Mapping[str, str] | None, longest_ns: int) -> Finding:
    """Return what a restart of the server forgets.

    Args:
        settings: the configuration, as far as it was told.
        longest_ns: the longest period of any limit: what there is to lose.
    """
    if info is None or "aof_enabled" not in info:
        return unseen(
            "persistence", "INFO", f"{_CONSOLE} Without an append-only file a restart resets all limits."
        )
    has_log = bool(info["aof_enabled"])
    facts = {"aof": has_log, "rdb_last_save_s": _whole(info.get("rdb_last_save_time")) or 0}
    if info.get("aof_last_write_status", "ok") != "ok" and has_log:
        return Finding(
            "persistence",
            "fail",
            "the append-only file cannot be written, so the server refuses writes",
            "Make room on its disk.",
            facts=facts,
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return Finding(
            "persistence",
            "warn",
            "the last snapshot failed: with `stop-writes-on-bgsave-error` the server refuses writes",
            "Make room on its disk and in its memory (`vm.overcommit_memory = 1`).",
            facts=facts,
        )
    if has_log:
        return Finding(
            "persistence",
            "ok",
            "append-only file: a restart loses a second at most with `appendfsync everysec`",
            facts=facts,
        )
    points = (settings or {}).get("save")
    words = (
        "no append-only file: a restart forgets what was charged since the last snapshot, if there are any"
    )
    if points is not None:
        words = (
            "snapshots: a restart forgets what was charged since the last"
            if points
            else "none: a restart forgets all that was charged"
        )
    if longest_ns == FOREVER_NS:
        return Finding(
            "persistence",
            "fail",
            f"{words}, and the policy has limits of a lifetime: their callers would have it anew "
            "if the hosts lose their memory, too",
            "`appendonly yes` with `appendfsync everysec`; `always` loses not even a second.",
            facts=facts,
        )
    if longest_ns > _HOUR_NS:
        return Finding(
            "persistence",
            "warn",
            f"{words}, and the policy has limits over more than an hour",
            "`appendonly yes` with `appendfsync everysec`, if long limits are to outlive a restart.",
            facts=facts,
        )
    return Finding("persistence", "ok", f"{words}; no limit is longer than an hour", facts=facts)


def role(info: Info | None) -> Finding:
    """Return whether the server takes writes."""
    if info is None or "role" not in info:
        return unseen("role", "INFO", "The script's trial below shows whether it takes writes.")
    if info["role"] == "master":
        return Finding("role", "ok", "master", facts={"role": "master"})
    state = "" if info.get("master_link_status") == "up" else ", cut off from its master"
    return Finding(
        "role",
        "fail",
        f"read-only replica of {info.get('master_host')}:{info.get('master_port')}{state}",
        "Name the master, or name Sentinels in the URL: they know which it is at the time.",
        facts={"role": "replica"},
    )


def replication(info: Info | None, settings: Mapping[str, str] | None, *, fails_over: bool) -> Finding:
    """Return what is lost when the server is.

    Args:
        settings: the configuration, as far as it was told.
        fails_over: whether a Sentinel or a cluster would make a replica the master.
    """
    replicas = None if info is None else _whole(info.get("connected_slaves"))
    if info is None or replicas is None:
        return unseen("replication", "INFO", f"{_CONSOLE} A failover forgets what no replica had received.")
    facts: dict[str, Fact] = {"replicas": replicas}
    if replicas == 0:
        if fails_over:
            return Finding(
                "replication",
                "warn",
                "no replica: when this master is lost, no replica takes over",
                "Give it a replica.",
                facts=facts,
            )
        return Finding(
            "replication",
            "ok",
            "no replica: when the server is lost, limits follow `on_store_error`",
            facts=facts,
        )
    least = _least_replicas(info, settings)
    facts["min_replicas_to_write"] = least
    words = "1 replica" if replicas == 1 else f"{replicas} replicas"
    good = _whole(info.get("min_slaves_good_slaves"))
    if good is not None and good < least:
        return Finding(
            "replication",
            "fail",
            f"{words}, fewer of them in step than `min-replicas-to-write` ({least}): writes are refused",
            "Bring replicas back, or lower it.",
            facts=facts,
        )
    if least:
        return Finding(
            "replication",
            "ok",
            f"{words}, {least} in step or no writes: a failover loses about `min-replicas-max-lag` at most",
            facts=facts,
        )
    return Finding(
        "replication",
        "warn" if fails_over else "ok",
        f"{words}, in step or not: a failover forgets what had not arrived, and a master that is "
        "cut off goes on counting apart",
        "`min-replicas-to-write 1` and `min-replicas-max-lag 2` bound that." if fails_over else "",
        facts=facts,
    )


def clients(info: Info | None) -> Finding | None:
    """Return whether connections run out; None where there is nothing to say."""
    if info is None:
        return None
    now, most = _whole(info.get("connected_clients")), _whole(info.get("maxclients"))
    if now is None or not most:
        return None
    facts = {"connected": now, "most": most}
    if now > 0.8 * most:
        return Finding(
            "connections",
            "warn",
            f"{now:,} of {most:,} are taken",
            "Raise `maxclients`, or find who holds them (`CLIENT LIST`).",
            facts=facts,
        )
    return Finding("connections", "ok", f"{now:,} of {most:,}", facts=facts)


def _least_replicas(info: Info, settings: Mapping[str, str] | None) -> int:
    written = _whole((settings or {}).get("min-replicas-to-write"))
    if written is not None:
        return written
    # Where CONFIG is not allowed: this member is there only while the setting is in force.
    return 1 if "min_slaves_good_slaves" in info else 0


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part[:9]) for part in re.findall(r"[0-9]+", version)[:3])


def _whole(told: object) -> int | None:
    """Return a count as a server tells it, None for what is none: less than nothing, beyond 64 bits."""
    if isinstance(told, str) and told.isascii() and told.isdecimal() and len(told) < 20:
        told = int(told)
    if isinstance(told, float) and told.is_integer():
        told = int(told)
    return told if isinstance(told, int) and 0 <= told < 1 << 63 else None


def _size(octets: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if octets >= size:
            return f"{octets / size:.3g} {unit}"
    return f"{octets / 1024:.3g} KiB"
