"""Evidence of a trace: a correlator's memory for inspection, after it is replayed to its end.

It is apart from the evidence of what runs, which is read without the replay and the readers of traces.
"""

from __future__ import annotations

from ratelimit.clock import ManualClock
from ratelimit.inspection.actors.evidence import Source, spec_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import TraceUnreadable, open_reader
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store


def from_trace(policy: Policy, trace: str) -> Source:
    """Replay a trace to its end and look at what it left."""
    spec_of(policy)
    replay = Replay(policy.compiled, lambda now_ns: private_store(policy, ManualClock(now_ns)))
    try:
        for batch in open_reader(trace, replay.fields):
            replay.take(batch)
        replay.finish()
    except TraceUnreadable as error:
        raise InspectionFailure(str(error), "input") from error
    if replay.actors is None or replay.first_ns is None:
        raise InspectionFailure(f"{trace}: no request in it could be read", "input")
    correlator = replay.actors.correlator
    for _ in correlator.rebuild(replay.last_ns):
        pass
    source = Source(correlator, replay.bound, trace)
    replay.close()
    return source
