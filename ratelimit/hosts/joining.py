"""From a policy to a part in correlating for several hosts; the one place that knows both."""

from __future__ import annotations

from ratelimit.hosts.bridge import Carrier, Hosts
from ratelimit.policy.compiled import CompiledPolicy
from ratelimit.stores.boards import fingerprint_of
from ratelimit.stores.redis.hosts.entries import mark_of
from ratelimit.stores.redis.hosts.places import Places
from ratelimit.stores.redis.hosts.postbox import Postbox


def hosts_of(compiled: CompiledPolicy, key: bytes, *, correlates: bool) -> Hosts | None:
    """Return how to take part, None where the policy names no server or nothing is correlated.

    Args:
        compiled: the policy.
        key: the hash key.
        correlates: whether to compete for correlating whatever the policy says of workers.
    """
    remote, spec = compiled.remote, compiled.correlation
    if remote is None or spec is None:
        return None

    def start(box: Postbox) -> Carrier:
        # The client's library is only there where a policy needs it.
        from ratelimit.stores.redis.connect import connect
        from ratelimit.stores.redis.hosts.carrier import PATIENCE_S, Carrier
        from ratelimit.stores.redis.hosts.carrier_thread import CarrierThread

        carrier = Carrier(
            lambda: connect(remote, timeout_s=PATIENCE_S),
            Places(remote.prefix),
            box,
            mark=mark_of(fingerprint_of(key)),
            key=key,
        )
        return CarrierThread(carrier, box)

    return Hosts(start, correlates or spec.workers_correlate)
