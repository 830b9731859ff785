"""Names of what is counted where several hosts share a correlator: see `names` for the rules."""

from __future__ import annotations

from ratelimit.telemetry.metric import Label, Metric

HOSTS_CORRELATING = Metric(
    "ratelimit_hosts_correlating",
    "gauge",
    "1 where the correlator of all hosts is; two at once for more than a few seconds means two deployments.",
)
HOSTS_TERM = Metric(
    "ratelimit_hosts_term_timestamp_seconds",
    "gauge",
    "When the correlator of all hosts took over, by the server's clock; 0 before one was heard of.",
)
HOSTS_HEARD = Metric(
    "ratelimit_hosts_heard_timestamp_seconds",
    "gauge",
    "Time of the last sign of the correlator at this host, by the limits' clock: each second in normal "
    "operation.",
)
HOSTS_TAKEOVERS = Metric(
    "ratelimit_hosts_takeovers", "counter", "Changes of the correlator that this host noticed."
)
HOSTS_CATCH_UPS = Metric(
    "ratelimit_hosts_catch_ups",
    "counter",
    "Fetches of the whole table by this host: at its start, when the correlator changes, after a gap.",
)
HOSTS_OBSERVATIONS = Metric(
    "ratelimit_hosts_observations",
    "counter",
    "Decided requests on their way to the correlator of all hosts; dropped: the server was slow or gone.",
    (Label("result", ("sent", "dropped")),),
)
HOSTS_WAITING = Metric(
    "ratelimit_hosts_waiting", "gauge", "Entries of decided requests that wait for the server; 256 at most."
)
HOSTS_SERVER_FAULTS = Metric(
    "ratelimit_hosts_server_faults",
    "counter",
    "Calls for correlation that the server failed, or did not answer in time.",
)
HOSTS_STREAM_LAG = Metric(
    "ratelimit_hosts_stream_lag_seconds",
    "gauge",
    "Lag of the correlator of all hosts behind their sightings; 0 when it has read all.",
)
HOSTS_STREAM_LOST = Metric(
    "ratelimit_hosts_stream_lost",
    "counter",
    "Entries of decided requests that the present correlator never got: dropped by a host, or cut off.",
)

HOSTS_METRICS: tuple[Metric, ...] = (
    HOSTS_CORRELATING,
    HOSTS_TERM,
    HOSTS_HEARD,
    HOSTS_TAKEOVERS,
    HOSTS_CATCH_UPS,
    HOSTS_OBSERVATIONS,
    HOSTS_WAITING,
    HOSTS_SERVER_FAULTS,
    HOSTS_STREAM_LAG,
    HOSTS_STREAM_LOST,
)
"""Exported only where several hosts share a correlator."""
