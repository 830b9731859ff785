"""Findings about the hosts that share a server: their policies, and whether the server lost what it had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ratelimit.environment.finding import Finding
from ratelimit.errors import StoreError
from ratelimit.inspection.access.host_state import HostState, state_of
from ratelimit.inspection.hosts.policies import by_policy, policy_words
from ratelimit.inspection.journal.forgetting import DAY_NS, emptied_words, recently_emptied
from ratelimit.inspection.journal.rejections import rejection_words, rejections
from ratelimit.policy import Policy
from ratelimit.stores.factory import wish_of


def examine_hosts(policy: Policy) -> Iterator[Finding]:
    """Yield which host goes by which policy, and whether the server came back empty within a day."""
    remote = policy.compiled.remote
    place = wish_of(policy, needs_key=False).place
    if remote is None:
        return
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.acts import ServerActs

    server = ServerActs(remote)
    running: list[HostState] | None = None
    try:
        hosts = running = [state_of(each) for each in server.hosts().values()]
    except StoreError:
        hosts = []  # what does not answer has a finding of its own
    finally:
        server.close()
    found, words = by_policy(hosts), policy_words(hosts)
    facts = {each.host: digest for digest, same in found.items() for each in same}
    if len(found) > 1:
        advice = "Push one file to all hosts; `ratelimit journal` shows what changed, and by whom."
        yield Finding("policies", "warn", f"hosts differ: {'; '.join(words)}", advice, facts=facts)
    elif words and (own := f"{policy.digest:012x}") not in found:
        advice = "Workers take up a changed file within seconds; `ratelimit journal` shows why not."
        yield Finding("policies", "warn", f"{words[0]}; this file is {own}", advice, facts=facts)
    elif words:
        yield Finding("policies", "ok", words[0], facts=facts)
    if unheard := [each for each in running or () if each.workers and each.unheard]:
        said = "; ".join(f"{each.host}: {each.unheard}" for each in unheard)
        if all(each.is_gone for each in unheard):
            yield Finding("hosts", "ok", f"taken for gone: {said}")
        else:
            advice = "It was killed, hangs, or is cut off: then its own metrics say so (RatelimitStoreAway)."
            yield Finding("hosts", "warn", said, advice)
    yield from _rejected(place, running)
    emptied = emptied_words(recently_emptied(place, DAY_NS))
    if emptied:
        advice = "Is its append-only file on, and its memory policy `noeviction`? See docs/redis.md."
        yield Finding("memory", "warn", emptied.rstrip("."), advice)


def _rejected(place: Path | None, hosts: Sequence[HostState] | None) -> Iterator[Finding]:
    for host, entry in rejections(place, hosts).items():
        advice = f"`ratelimit check` there shows the mistake; {host} goes on by its older policy."
        yield Finding("policies", "warn", rejection_words(host, entry), advice)
