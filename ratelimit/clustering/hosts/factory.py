"""The factory of a host's part in correlating for several hosts, from a policy."""

from __future__ import annotations

from ratelimit.clustering.hosts.agent import Hosts, StreamClient
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.hosts.entries import mark_of
from ratelimit.stores.redis.hosts.keys import Places
from ratelimit.stores.redis.hosts.queues import HostQueues


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

    def start(box: HostQueues) -> StreamClient:
        # The client's library is only there where a policy needs it.
        from ratelimit.stores.redis.hosts.stream_client import PATIENCE_S, StreamClient
        from ratelimit.stores.redis.hosts.stream_thread import StreamThread
        from ratelimit.stores.redis.transport.connect import connect

        stream_client = StreamClient(
            lambda: connect(remote, timeout_s=PATIENCE_S),
            Places(remote.prefix),
            box,
            mark=mark_of(fingerprint_of(key)),
            key=key,
        )
        return StreamThread(stream_client, box)

    return Hosts(start, correlates or spec.workers_correlate)
