"""The policies that hosts go by: one for all, or which host has which, and since when."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.access.host_state import HostState, state_of
from ratelimit.policy import Policy

BRIEF = 68
"""Characters beside what a line of `top` begins with, at a terminal of 80."""


def by_policy(hosts: Sequence[HostState]) -> dict[str, list[HostState]]:
    """Return the hosts that run, by the digest of their policy; those that do not say are left out."""
    found: dict[str, list[HostState]] = {}
    for each in sorted(hosts, key=lambda each: (each.policy_since_s, each.host)):
        if each.policy and each.workers and not each.silent_s and not each.late_s:
            found.setdefault(each.policy, []).append(each)
    return found


def policy_words(hosts: Sequence[HostState]) -> list[str]:
    """Return for each policy which hosts go by it, and since when, the latest last."""
    return [
        f"{digest} {', '.join(f'on {each.host} since {_instant(each)}' for each in same)}"
        for digest, same in by_policy(hosts).items()
    ]


def brief_policy_words(hosts: Sequence[HostState]) -> list[str]:
    """Return the same in lines of at most `BRIEF` characters: hosts are counted that have no room by name."""
    found = []
    for digest, same in by_policy(hosts).items():
        first, last = _instant(same[0]), _instant(same[-1])
        said = f"since {first}" if first == last else f"since {first.removesuffix(' UTC')} to {last}"
        named = f"{digest} on {', '.join(each.host for each in same)} {said}"
        counted = f"{digest} on {formatting.count(len(same), 'host')} {said}"
        found.append(named if len(named) <= BRIEF else counted)
    return found


def different_policies(hosts: Sequence[HostState]) -> str:
    """Return a sentence if hosts go by different policies, empty if by one."""
    words = policy_words(hosts)
    return f"Hosts go by different policies: {'; '.join(words)}." if len(words) > 1 else ""


def different_on_server(policy: Policy) -> str:
    """Return the same of the hosts that share a policy's server; empty where it does not answer."""
    remote = policy.compiled.remote
    if remote is None:
        return ""
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.acts import ServerActs

    server = ServerActs(remote)
    try:
        return different_policies([state_of(each) for each in server.hosts().values()])
    except StoreError:
        return ""
    finally:
        server.close()


def _instant(host: HostState) -> str:
    return f"{formatting.instant(host.policy_since_s * 10**9)} UTC" if host.policy_since_s else "its start"
