"""The current masters, as a cluster's nodes or Sentinels report them, and whether they are well."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from ratelimit.environment.finding import Fact, Finding
from ratelimit.stores.redis.transport.connect import connect, sentinels
from ratelimit.stores.redis.transport.symptom import explain

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class Master:
    """One server that takes writes, and how it alone is reached."""

    spec: RemoteSpec
    address: str
    slots: frozenset[int] | None
    """Slots it owns; None where there are none to own."""


async def find_cluster(spec: RemoteSpec, patience_s: float) -> tuple[list[Finding], list[Master]]:
    """Return what is found about a cluster as a whole, and its masters."""
    findings: list[Finding] = []
    silent: list[str] = []
    for host, port in spec.nodes:
        client = connect(_node(spec, host, port), timeout_s=patience_s)
        async with aclosing(client):
            try:
                shares = await client.execute_command("CLUSTER", "SLOTS")
                told = await _cluster_info(client)
            except (RedisError, OSError) as error:
                if "cluster support disabled" in str(error):
                    return [
                        Finding(
                            "cluster",
                            "fail",
                            f"{host}:{port} is not part of a cluster",
                            "Write `redis://` in the URL.",
                        )
                    ], []
                says, advice = explain(error)
                silent.append(f"{host}:{port}")
                findings.append(Finding("node", "warn", f"{host}:{port}: {says}", advice))
                continue
        masters = _masters(spec, shares, host)
        findings.append(_cluster_state(told, shares, masters))
        return [*findings, *await _try_client(spec, patience_s)], masters
    return [replace(finding, status="fail") for finding in findings], []


def _node(spec: RemoteSpec, host: str, port: int) -> RemoteSpec:
    return replace(spec, topology="server", nodes=((host, port),), master=None, database=0)


def _masters(spec: RemoteSpec, shares: Any, asked: str) -> list[Master]:
    for first, last, *_ in shares:
        if not 0 <= int(first) <= int(last) < SLOTS:
            raise InvalidResponse(f"slots {first} to {last}, of {SLOTS}")
    owned: dict[tuple[str, int], list[int]] = {}
    for first, last, master, *_ in shares:
        # A node that knows no address of its own means the one it was asked at.
        host = (master[0] or b"").decode() or asked
        owned.setdefault((host, int(master[1])), []).extend(range(int(first), int(last) + 1))
    return [
        Master(_node(spec, host, port), f"{host}:{port}", frozenset(slots))
        for (host, port), slots in sorted(owned.items())
    ]


async def _cluster_info(client: Any) -> dict[str, str]:
    """Return what a node says of its cluster; nothing where it may not be asked."""
    try:
        told: bytes = await client.execute_command("CLUSTER", "INFO")
    except ResponseError:
        return {}
    pairs = (line.partition(":") for line in told.decode("utf-8", "replace").split())
    return {name: value for name, _, value in pairs}


async def _try_client(spec: RemoteSpec, patience_s: float) -> list[Finding]:
    """Return what keeps the client that workers use from learning the cluster; nothing if all is well."""
    client = connect(spec, timeout_s=patience_s)
    async with aclosing(client):
        try:
            await client.initialize()
            await client.execute_command("EVAL", "return 1", 1, f"{spec.prefix}:doctor")
        except (RedisError, OSError) as error:
            says, advice = explain(error)
            return [Finding("routing", "fail", f"the client cannot find its way: {says}", advice)]
    return []


def _cluster_state(told: dict[str, str], shares: Any, masters: list[Master]) -> Finding:
    covered = sum(int(last) - int(first) + 1 for first, last, *_ in shares)
    alone = len({bytes(share[2][2]) for share in shares if len(share) == 3})
    state = told.get("cluster_state", "unseen")
    facts: dict[str, Fact] = {
        "state": state,
        "masters": len(masters),
        "slots": covered,
        "alone": alone,
    }
    if state not in ("ok", "unseen") or covered < SLOTS:
        return Finding(
            "cluster",
            "fail",
            f"it is not well: {covered:,} of {SLOTS:,} slots are served, state `{state}`",
            "See `CLUSTER NODES` for masters that are gone, and `redis-cli --cluster check`.",
            facts=facts,
        )
    words = f"all {SLOTS:,} slots are served by {len(masters)} masters"
    if alone:
        return Finding(
            "cluster",
            "warn",
            f"{words}, {alone} of them without a replica: lost with its slots when it dies",
            "Give each master a replica.",
            facts=facts,
        )
    return Finding("cluster", "ok", f"{words}, each with a replica", facts=facts)


async def find_master(spec: RemoteSpec, patience_s: float) -> tuple[list[Finding], list[Master]]:
    """Return what is found about the Sentinels, and the master they name."""
    findings: list[Finding] = []
    named: dict[str, list[str]] = {}
    quorum = others = 0
    without_quorum: list[str] = []
    strangers: list[str] = []
    for (host, port), client in zip(spec.nodes, sentinels(spec, timeout_s=patience_s), strict=True):
        where = f"{host}:{port}"
        async with aclosing(client):
            try:
                address = await _ask(client, "GET-MASTER-ADDR-BY-NAME", spec.master)
                if address is None:
                    strangers.append(where)
                    continue
                named.setdefault(f"{address[0].decode()}:{address[1].decode()}", []).append(where)
                state = await _ask(client, "MASTER", spec.master)
                told = dict(zip(state[::2], state[1::2], strict=False))
                quorum = max(quorum, int(told.get(b"quorum", 0)))
                others = max(others, int(told.get(b"num-other-sentinels", 0)))
                try:
                    await _ask(client, "CKQUORUM", spec.master)
                except RedisError as error:
                    without_quorum.append(str(error).removeprefix("NOQUORUM "))
            except (RedisError, OSError) as error:
                says, advice = explain(error)
                findings.append(Finding("sentinel", "warn", f"{where}: {says}", advice))
    if not named:
        says = f"no Sentinel names a master `{spec.master}`" if strangers else "no Sentinel can be reached"
        advice = "Write the name that `SENTINEL MASTERS` shows." if strangers else ""
        return [*findings, Finding("sentinels", "fail", says, advice)], []
    master = max(named, key=lambda address: len(named[address]))
    facts: dict[str, Fact] = {
        "master": master,
        "quorum": quorum,
        "sentinels": others + 1,
        "asked": len(spec.nodes),
    }
    known = f"{others + 1} Sentinels, a quorum of {quorum}; the master is {master}"
    if strangers:
        findings.append(
            Finding("sentinel", "warn", f"{', '.join(strangers)}: no master `{spec.master}` is known there")
        )
    if len(named) > 1:
        findings.append(
            Finding(
                "sentinels",
                "warn",
                f"they do not agree who is master: {', '.join(sorted(named))}",
                "In the middle of a failover this passes; otherwise see `SENTINEL MASTER` on each.",
                facts=facts,
            )
        )
    elif without_quorum:
        findings.append(
            Finding(
                "sentinels",
                "warn",
                f"{known}; they could not fail over now: {without_quorum[0]}",
                "Start those that are gone; `SENTINEL CKQUORUM` shows it.",
                facts=facts,
            )
        )
    elif others + 1 < 3:
        findings.append(
            Finding(
                "sentinels",
                "warn",
                f"{known}: with one gone, the others may not fail over",
                "Run three.",
                facts=facts,
            )
        )
    else:
        findings.append(Finding("sentinels", "ok", known, facts=facts))
    return findings, [Master(spec, master, None)]


async def _ask(client: Redis, *words: str | None) -> Any:
    return await client.execute_command("SENTINEL", *words)  # type: ignore[no-untyped-call]
