"""A policy's servers examined: are they there, are they what limits need, what may go wrong.

Asks what any client may ask, changes no setting and keeps no data. It takes a few hundred
round trips.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from ratelimit.environment.finding import Finding, unseen
from ratelimit.errors import StoreError
from ratelimit.stores.redis.doctor import vitals
from ratelimit.stores.redis.doctor.permission import (
    hosts_key,
    try_acts,
    try_correlation,
    try_script,
)
from ratelimit.stores.redis.doctor.topology import Master, find_cluster, find_master
from ratelimit.stores.redis.doctor.trial import (
    Timer,
    compare_clocks,
    compare_keys,
    time_round_trips,
)
from ratelimit.stores.redis.fallback.fair_share import signs_key
from ratelimit.stores.redis.transport.connect import connect, resolve
from ratelimit.stores.redis.transport.symptom import explain

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

PATIENCE_S = 2.0
"""The longest wait for an answer here; taking longer than `timeout` is a finding, not an end."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of a policy from its servers.

    Attributes:
        longest_ns: the longest period of its limits.
        correlates: whether hosts correlate by way of the server.
        key: the hash key, which running workers' are compared with; None if it cannot be had.
    """

    longest_ns: int
    correlates: bool
    key: bytes | None = field(repr=False)


async def examine(spec: RemoteSpec, needs: Needs, *, timer: Timer, wall: Timer) -> list[Finding]:
    """Return what is found about all servers of a policy.

    Args:
        spec: how they are reached.
        needs: what for.
        timer: a steady clock; times round trips.
        wall: civil time, which the servers' is compared with.

    Raises:
        StoreError: no connection can be made for reasons on this host; see `connect`.
    """
    spec = resolve(spec)
    findings: list[Finding] = []
    masters = [Master(spec, "", None)]
    try:
        if spec.topology == "cluster":
            findings, masters = await find_cluster(spec, PATIENCE_S)
        elif spec.topology == "sentinel":
            findings, masters = await find_master(spec, PATIENCE_S)
    except StoreError:
        raise
    except Exception as error:
        return [_senseless(error)]
    for master in masters:
        seen = await _examine_one(master, spec, needs, timer, wall)
        where = master.address if len(masters) > 1 else ""
        findings += [replace(finding, where=where) for finding in seen]
    return findings


async def _examine_one(
    master: Master, spec: RemoteSpec, needs: Needs, timer: Timer, wall: Timer
) -> list[Finding]:
    client = connect(master.spec, timeout_s=PATIENCE_S, name=None)
    if not isinstance(client, Redis):
        raise TypeError("one server, and not a cluster, was meant")
    async with aclosing(client):
        may_ping = True
        try:
            await client.ping()
        except NoPermissionError:
            may_ping = False
        except (RedisError, OSError) as error:
            says, advice = explain(error, has_tls=spec.tls is not None)
            return [Finding("reachable", "fail", says, advice)]
        except StoreError:
            raise
        except Exception as error:
            return [_senseless(error)]
        findings = [transport(master.spec, await _peer(master.spec))]
        try:
            if may_ping:
                findings.append(await time_round_trips(client, timer, spec.timeout_ns))
            else:
                findings.append(unseen("round trip", "PING", "Workers do without."))
            info, settings = await _info(client), await _settings(client)
            findings += _read(info, settings, spec, needs.longest_ns)
            # A replica refuses what the script writes, a cluster's node half of all keys: that was said.
            if not any(each.check in ("role", "cluster") and each.status == "fail" for each in findings):
                findings += await try_script(client, master.spec, master.slots)
                if _has(master, hosts_key(spec.prefix)):
                    findings.append(await try_acts(client, master.spec))
                    if needs.correlates:
                        findings.append(await try_correlation(client, master.spec))
            with suppress(NoPermissionError):  # of TIME, which scripts call as well
                findings.append(await compare_clocks(client, wall))
            signs = signs_key(spec)
            if needs.key is not None and _has(master, signs):
                findings += await compare_keys(client, signs, needs.key)
        except (RedisError, OSError) as error:
            says, advice = explain(error)
            findings.append(Finding("reachable", "fail", f"in the middle of it: {says}", advice))
        except Exception as error:
            findings.append(_senseless(error))
        return findings


def _senseless(error: Exception) -> Finding:
    """Return the finding for a server whose answers cannot be read."""
    return Finding(
        "answers",
        "fail",
        f"the server's answer makes no sense ({type(error).__name__})",
        "Is it a Redis or Valkey, and does a proxy on the way change its answers?",
    )


def _has(master: Master, name: str | bytes) -> bool:
    """Return whether a key would be on this server."""
    return master.slots is None or key_slot(name.encode() if isinstance(name, str) else name) in master.slots


def _read(
    info: Mapping[str, Any] | None, settings: Mapping[str, str] | None, spec: RemoteSpec, longest_ns: int
) -> list[Finding]:
    findings = [
        vitals.software(info),
        vitals.role(info),
        vitals.replication(info, settings, fails_over=spec.topology != "server"),
        vitals.memory(info),
        vitals.persistence(info, settings, longest_ns),
    ]
    connections = vitals.clients(info)
    if connections is not None:
        findings.append(connections)
    if spec.topology == "server" and info is not None and info.get("cluster_enabled"):
        findings.append(
            Finding(
                "cluster",
                "fail",
                "this is a node of a cluster, and holds a part of all keys only",
                "Write `redis+cluster://` in the URL.",
            )
        )
    return findings


async def _info(client: Redis) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = await client.info()
    except ResponseError:
        return None
    return found


async def _settings(client: Redis) -> Mapping[str, str] | None:
    found: dict[str, str] = {}
    for name in ("save", "min-replicas-to-write"):
        try:
            # By its parts, so that the library makes no dict of one version's shape of it.
            answer = await client.execute_command("CONFIG", "GET", name)  # type: ignore[no-untyped-call]
        except ResponseError:
            return None
        texts = [part.decode("utf-8", "replace") for part in answer]
        found |= dict(zip(texts[::2], texts[1::2], strict=False))
    return found


def transport(spec: RemoteSpec, peer: str | None) -> Finding:
    """Return whether others could listen on the way to a server that was reached at an address."""
    facts = {"tls": spec.tls is not None}
    if spec.path is not None:
        return Finding("reachable", "ok", f"by its socket file {spec.path}", facts=facts)
    address = "" if peer is None else f" at {peer}"
    if spec.tls is not None:
        if not spec.tls.check_hostname:
            return Finding(
                "reachable",
                "warn",
                f"over TLS{address}, from any host with a certificate of this authority",
                "Remove `check_hostname = false` once the certificate is for the URL's host.",
                facts=facts,
            )
        return Finding("reachable", "ok", f"over TLS{address}", facts=facts)
    if peer is None or not _is_loopback(peer):
        return Finding(
            "reachable",
            "warn",
            f"without TLS{address}: a listener on this network can read the password, "
            "and can lift or exhaust limits",
            "Use `rediss` where the server speaks TLS; if the network is private, that is your decision.",
            facts=facts,
        )
    return Finding("reachable", "ok", f"on this host{address}", facts=facts)


async def _peer(spec: RemoteSpec) -> str | None:
    """Return the address that a server's name leads to; None for a socket file and for what cannot be had."""
    if spec.path is not None:
        return None
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(*spec.nodes[0])
    except OSError:  # a time-out is one
        return None
    writer.close()
    name = writer.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
