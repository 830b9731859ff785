"""The operator's acts that hold, read from the file beside this host's table and from the server, if any."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.clock import SystemClock
from ratelimit.errors import StoreError
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.acts.act import Act, in_force, merged, undos
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.acts.kinds import Effect
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.factory import wish_of


def acts_in_force(policy: Policy) -> int:
    """Return how many acts hold beside a policy file; 0 where no worker has run here."""
    acts, now_ns = _read(policy), SystemClock().now_ns()
    return sum(len(in_force(acts, key, now_ns)) for key in {act.key for act in acts})


def known_log(policy: Policy) -> Sequence[Act]:
    """Return the acts that this host knows, with those that ended."""
    return _read(policy)


def acts_held(policy: Policy, key: bytes, now_ns: int) -> tuple[Act, ...]:
    """Return the acts that hold, of one hash key, in order: this host's, and the server's if it answers."""
    return in_force(merged_log(policy), fingerprint_of(key).hex(), now_ns)


def ended_since(log: Sequence[Act], key: bytes, since_ns: int, now_ns: int) -> list[Act]:
    """Return the acts of one hash key that were undone or lapsed since an instant."""
    name, undone = fingerprint_of(key).hex(), undos(log)
    found = []
    for act in log:
        undo = undone.get(act.identity_in_log)
        end_ns = act.until_ns if undo is None else undo.at_ns
        if act.key == name and not act.of.is_undo and end_ns is not None and since_ns <= end_ns <= now_ns:
            found.append(act)
    return found


def merged_log(policy: Policy) -> list[Act]:
    """Return all acts of this host, and the server's if it answers, with those that ended."""
    acts = _read(policy)
    remote = policy.compiled.remote
    if remote is not None:
        # Its client library is not there for every policy.
        from ratelimit.stores.redis.acts import ServerActs

        server = ServerActs(remote)
        try:
            acts = merged(acts, server.read())
        except StoreError:
            pass  # what this host has holds here
        finally:
            server.close()
    return acts


def listing(compiled: CompiledPolicy, acts: Sequence[Act], row: Sequence[int], effect: Effect) -> Act | None:
    """Return the first act that lists an identity of a request, as allowed or denied.

    Args:
        compiled: the policy.
        acts: those that hold.
        row: the request's identities, hashed, by position.
        effect: which list.
    """
    positions = {spec.name: spec.index for spec in compiled.identities}
    return next(
        (
            act
            for act in acts
            if act.of.effect == effect
            and act.identity in positions
            and row[positions[act.identity]] in act.accounts
        ),
        None,
    )


def _read(policy: Policy) -> list[Act]:
    try:
        place = wish_of(policy, needs_key=False).place
    except StoreError:
        return []
    return [] if place is None else ActFile(place).read()
