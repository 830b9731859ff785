"""Every counter, its columns, metric name and label, in one table; those of features are in their folders.

Pure data. The limiter imports it to know where to count, the collector to know what to export.
`docs/metrics.md` is generated from it. Tests hold the dashboard, the alert rules and the document to it.

Rules it keeps: a label's values are either listed here or come from the policy
file; nothing a client sends ever becomes one. Counters are integer cells in the
shared table (`Table.count(counter, column)`), so that any worker answers for all.

In one file, since a counter's number is its place in the table.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import chain

from ratelimit.decision import Reason
from ratelimit.environment.diagnoses import DIAGNOSES
from ratelimit.events import EVENTS as EVENTS
from ratelimit.features.parts import parts
from ratelimit.features.steps import LENIENT, STEPS
from ratelimit.telemetry.hosts import (
    HOSTS_CATCH_UPS as HOSTS_CATCH_UPS,
)
from ratelimit.telemetry.hosts import (
    HOSTS_CORRELATING as HOSTS_CORRELATING,
)
from ratelimit.telemetry.hosts import (
    HOSTS_HEARD as HOSTS_HEARD,
)
from ratelimit.telemetry.hosts import (
    HOSTS_METRICS as HOSTS_METRICS,
)
from ratelimit.telemetry.hosts import (
    HOSTS_OBSERVATIONS as HOSTS_OBSERVATIONS,
)
from ratelimit.telemetry.hosts import (
    HOSTS_SERVER_FAULTS as HOSTS_SERVER_FAULTS,
)
from ratelimit.telemetry.hosts import (
    HOSTS_STREAM_LAG as HOSTS_STREAM_LAG,
)
from ratelimit.telemetry.hosts import (
    HOSTS_STREAM_LOST as HOSTS_STREAM_LOST,
)
from ratelimit.telemetry.hosts import (
    HOSTS_TAKEOVERS as HOSTS_TAKEOVERS,
)
from ratelimit.telemetry.hosts import (
    HOSTS_TERM as HOSTS_TERM,
)
from ratelimit.telemetry.hosts import (
    HOSTS_WAITING as HOSTS_WAITING,
)
from ratelimit.telemetry.metric import Label, Metric
from ratelimit.telemetry.remote import REMOTE_METRICS

# -- shared counters ----------------------------------------------------------------------------------

# Columns of a counter of the core's table; a test holds this to `core.memory.table.COUNTER_COLUMNS`.
COUNTER_COLUMNS = 8

# A limit's own counter is named after its rule. The counters below start with a control character,
# which a policy cannot put into a name, so neither can shadow the other. Those with more
# columns than a counter has go on in further counters (`cells.WideCounter`).
COUNTER_LATENCY = "\x1fdecision time"
COUNTER_REQUESTS = "\x1frequests"
COUNTER_RUNTIME = "\x1fruntime"
COUNTER_DIAGNOSTICS = "\x1fdiagnostics"
DIAGNOSTIC_CODES: tuple[str, ...] = (*DIAGNOSES, "other")
"""Codes of likely mistakes, a column each; the last takes any code that is not listed."""
COUNTER_EVENTS = "\x1fevents"


class RuleColumn(IntEnum):
    """Columns of a limit's counter; the core's `Plan.decide` adds to these itself."""

    ALLOWED = 0
    REFUSED = 1
    REFUSED_IN_SHADOW = 2
    SKIPPED = 3
    UNITS_ADMITTED = 4
    UNITS_REFUSED = 5
    UNITS_FORGIVEN = 6
    ACTED = 7
    """Requests that had no room and were let through after a wait for the limit; added by the worker."""


class RuntimeColumn(IntEnum):
    """Columns of the `runtime` counter."""

    STORE_FAULTS = 0
    RELOADS_APPLIED = 1
    RELOADS_UNCHANGED = 2
    RELOADS_REJECTED = 3
    SHED = 4
    EVENTS_LOST_LOG = 5
    EVENTS_LOST_FILE = 6
    EVENTS_LOST_WEBHOOK = 7
    EVENTS_LOST_JOURNAL = 8


class BoardNumber(IntEnum):
    """Numbers of the board that correlation shares, written by whichever worker correlates.

    Where several hosts share a correlator: by the host's bridge, which is told most of them.
    """

    CLUSTERS = 0
    MEMBERS = 1
    CERTAIN_CLUSTERS = 2
    CERTAIN_MEMBERS = 3
    PRINCIPALS = 4
    IDENTIFIERS = 5
    PRINCIPAL_EVICTIONS = 6
    IDENTIFIER_EVICTIONS = 7
    REBUILDS = 8
    REBUILT_NS = 9
    REBUILD_SPENT_NS = 10
    LONGEST_SLICE_NS = 11
    SAVED_NS = 12
    # Only where several hosts share a correlator; the first two are the correlator's.
    STREAM_LAG_NS = 13
    STREAM_LOST = 14
    LEASE_TERM = 15
    IS_CORRELATOR = 16
    SENT = 17
    UNSENT = 18
    OUTGOING = 19
    HEARD_NS = 20
    CATCH_UPS = 21
    TAKEOVERS = 22
    SERVER_FAULTS = 23
    # Of any host that correlates.
    UNLABELLED = 24
    YOUNG = 25
    GROWN_UP_S = 26


# Upper bounds of the latency buckets in nanoseconds; one more column takes the rest (+Inf).
LATENCY_BOUNDS_NS: tuple[int, ...] = (
    500,
    1_000,
    2_000,
    3_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    # A decision may wait for a server as long as `store.timeout` says, 25 ms by default.
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
)
LATENCY_REST = len(LATENCY_BOUNDS_NS)
LATENCY_SUM_NS = LATENCY_REST + 1
LATENCY_WIDTH = LATENCY_SUM_NS + 1

ACTIONS: tuple[str, str] = ("allow", "refuse")
REASONS: tuple[str, ...] = tuple(reason.value for reason in Reason)

# What can become of a request, and the column of the `requests` counter where it is counted.
REQUEST_COLUMN: dict[tuple[bool, Reason], int] = {
    (True, Reason.LIMITS): 0,
    (False, Reason.LIMITS): 1,
    (True, Reason.UNLIMITED): 2,
    (True, Reason.ALLOW_LIST): 3,
    (False, Reason.DENY_LIST): 4,
    (False, Reason.IDENTITY): 5,
    (True, Reason.STORE): 6,
    (False, Reason.STORE): 7,
    (False, Reason.QUEUE): 8,
    (False, Reason.BODY): 9,
    (False, Reason.MODEL): 10,
}
CAPACITY_COLUMN = RuntimeColumn.SHED  # of the `runtime` counter
REQUESTS_WIDTH = 1 + max(REQUEST_COLUMN.values())
LIMITED_COLUMNS = (REQUEST_COLUMN[False, Reason.LIMITS], REQUEST_COLUMN[True, Reason.LIMITS])
"""Of what limits refused, and of what they allowed."""

# -- metrics --------------------------------------------------------------------------------------

LIMIT = Label(
    "limit", source="name of the limit in the policy file; `#2`, `#3` for further rates of its list"
)
UNIT = Label("unit", source="cost unit of the limit in the policy file")
MODE = Label("mode", ("enforce", "exposure", "shadow"))
VERDICT = Label("verdict", ("certain", "likely"))

DECISIONS = Metric(
    "ratelimit_decisions",
    "counter",
    "Verdicts, one for each limit a request met; skip: an identity it counts was absent. "
    "Mode exposure: what is in flight may use the rest.",
    (LIMIT, Label("action", ("allow", "refuse", "skip", *(step.name for step in LENIENT))), MODE),
)
LIMIT_PER_CLUSTER = Metric(
    "ratelimit_limit_per_cluster",
    "gauge",
    "1 for a limit per actor; other limits have no series. Alerts tell an actor's refusals by it.",
    (LIMIT,),
)
_COUNTED = [step for step in STEPS if step.counted]
ACTED = Metric(
    "ratelimit_acted",
    "counter",
    "Requests without room that a limit let through nevertheless. "
    + "; ".join(f"by {step.name}: {step.counted}" for step in _COUNTED).capitalize()
    + ".",
    (LIMIT, Label("action", tuple(step.name for step in _COUNTED))),
)
LIKELY_DECISIONS = Metric(
    "ratelimit_likely_decisions",
    "counter",
    "Decisions that limits per actor for certain members would have made about likely ones.",
    (LIMIT, Label("action", ACTIONS)),
)
COST_UNITS = Metric(
    "ratelimit_cost_units",
    "counter",
    "Cost units requested from each limit, by outcome; estimates, before settlement.",
    (LIMIT, UNIT, Label("action", ACTIONS)),
)
FORGIVEN_UNITS = Metric(
    "ratelimit_forgiven_units",
    "counter",
    "Cost units beyond the debt that a key may have, settled or carried to an actor: charged to no budget.",
    (LIMIT, UNIT),
)
REQUESTS = Metric(
    "ratelimit_requests",
    "counter",
    "Requests decided, and why: reason limits counts those that at least one limit applied to.",
    (Label("action", ACTIONS), Label("reason", REASONS)),
)
LATENCY = Metric(
    "ratelimit_decision_duration_seconds",
    "histogram",
    "Time from the request's arrival at the middleware to its decision; sampled: one in 64 of each worker.",
    bounds=LATENCY_BOUNDS_NS,
)
TABLE_ENTRIES = Metric(
    "ratelimit_table_entries",
    "gauge",
    "Entries of the shared table; idle ones could no longer refuse a request and are reused freely.",
    (Label("state", ("live", "idle")),),
)
TABLE_CAPACITY = Metric("ratelimit_table_capacity", "gauge", "Entries the shared table has room for.")
EVICTIONS = Metric(
    "ratelimit_evictions",
    "counter",
    "Live entries overwritten for want of room; each forgot the use of one key. Raise store.keys.",
)
BLOCKS = Metric(
    "ratelimit_blocks",
    "gauge",
    "Blocks that logs, concurrency slots and distinct counts are kept in.",
    (Label("state", ("used", "free")),),
)
BLOCK_EVICTIONS = Metric(
    "ratelimit_block_evictions", "counter", "Live blocks taken from one key for another. Raise store.keys."
)
STORE_FAULTS = Metric(
    "ratelimit_store_faults", "counter", "Decisions the store could not make; the limits' stance decided."
)
POLICY_GENERATION = Metric(
    "ratelimit_policy_generation",
    "gauge",
    "Policies this worker has put in force, the first included.",
    per_worker=True,
)
POLICY_RELOADS = Metric(
    "ratelimit_policy_reloads",
    "counter",
    "Reloads of the policy file; rejected: the old policy stayed in force.",
    (Label("result", ("applied", "unchanged", "rejected")),),
)
EVENTS_LOST = Metric(
    "ratelimit_events_lost",
    "counter",
    "Events that could not be passed on: the queue was full, the webhook failed five times, or the journal "
    "could not be written.",
    (Label("sink", ("log", "file", "webhook", "journal")),),
)
EVENTS_TOLD = Metric(
    "ratelimit_events",
    "counter",
    "Events, each counted on the host that reported it: docs/events.md has them.",
    (Label("event", tuple(EVENTS)),),
)
POLICY_RELOADED = Metric(
    "ratelimit_policy_last_reload_timestamp_seconds",
    "gauge",
    "When this worker last put a policy in force, in seconds since the epoch.",
    per_worker=True,
)
POLICY_RELOAD_SUCCESSFUL = Metric(
    "ratelimit_policy_last_reload_successful",
    "gauge",
    "0 while the policy file, as it was last read, is rejected and an older policy is in force; otherwise 1.",
    per_worker=True,
)
POLICY_DIGEST = Metric(
    "ratelimit_policy_digest",
    "gauge",
    "The policy in force as a number of 48 bits: the same for the same policy everywhere, apart from its "
    "[store] and [hashing].",
    per_worker=True,
)
CLOCK_DRIFT = Metric(
    "ratelimit_clock_drift_seconds",
    "gauge",
    "Steps of the civil clock away from the limits' clock since the store was made.",
)
WORKERS = Metric(
    "ratelimit_workers", "gauge", "Workers of the shared table that gave a sign of life within a minute."
)
DIAGNOSTICS = Metric(
    "ratelimit_diagnostics",
    "counter",
    "Mistakes in use or configuration that the library noticed; the log has the sentence.",
    (Label("code", DIAGNOSTIC_CODES),),
)

CLUSTERS = Metric(
    "ratelimit_clusters",
    "gauge",
    "Actors: accounts that are taken for one, by the highest verdict of their members.",
    (VERDICT,),
)
CLUSTERS_UNLABELLED = Metric(
    "ratelimit_clusters_unlabelled",
    "gauge",
    "Actors that the last rebuild found and had no room for: there were more than "
    "`clusters` of its tuning. Those that cost their owners least are left out, and count alone.",
)
CLUSTERS_YOUNG = Metric(
    "ratelimit_clusters_young",
    "gauge",
    "Certain actors of new accounts in their first days (`young_s` of its tuning). They have a budget "
    "for every few payment methods, until one is declared or its days are over.",
)
CLUSTER_MEMBERS = Metric(
    "ratelimit_cluster_members", "gauge", "Accounts that are in an actor, by their verdict.", (VERDICT,)
)
CORRELATED = Metric(
    "ratelimit_correlated",
    "gauge",
    "Accounts and identifiers that are remembered.",
    (Label("kind", ("principal", "identifier")),),
)
CORRELATION_EVICTIONS = Metric(
    "ratelimit_correlation_evictions",
    "counter",
    "Accounts and identifiers forgotten for want of room. Raise `principals` or `identifiers` of its tuning.",
    (Label("kind", ("principal", "identifier")),),
)
OBSERVATIONS = Metric(
    "ratelimit_observations",
    "counter",
    "Decided requests on their way to the correlator. Dropped: it was behind. "
    "Abandoned, torn: a worker was killed or stopped in the midst of passing one on.",
    (Label("result", ("taken", "dropped", "abandoned", "torn")),),
)
OBSERVATIONS_WAITING = Metric(
    "ratelimit_observations_waiting", "gauge", "Decided requests that the correlator has not seen yet."
)
ASSIGNMENTS_OVERFLOWED = Metric(
    "ratelimit_cluster_assignments_overflowed",
    "counter",
    "Members of actors that found no room in the shared table, and so count alone.",
)
REBUILDS = Metric("ratelimit_cluster_rebuilds", "counter", "Rebuilds of the actors.")
REBUILT = Metric(
    "ratelimit_cluster_last_rebuild_timestamp_seconds",
    "gauge",
    "When actors were last rebuilt, in seconds since the epoch; 0 before the first time.",
)
REBUILD_DURATION = Metric(
    "ratelimit_cluster_rebuild_duration_seconds", "gauge", "Processor time of the last rebuild."
)
LONGEST_SLICE = Metric(
    "ratelimit_cluster_longest_slice_seconds",
    "gauge",
    "Processor time of the longest slice of the last rebuild; above 0.002 the event loop may have waited.",
)
CORRELATION_SAVED = Metric(
    "ratelimit_correlation_last_snapshot_timestamp_seconds",
    "gauge",
    "When the evidence was last saved, in seconds since the epoch; 0 if it never was.",
)
CORRELATOR_HEARTBEAT = Metric(
    "ratelimit_correlator_heartbeat_timestamp_seconds",
    "gauge",
    "Time of the last sign of life of the worker that correlates, by the limits' clock.",
)
CORRELATOR_TERMS = Metric(
    "ratelimit_correlator_terms", "counter", "Workers that have taken correlating over, the first included."
)
ASSIGNMENT_GENERATION = Metric(
    "ratelimit_cluster_assignment_generation", "gauge", "Rebuilds with assignments that were put in force."
)

CORRELATION_METRICS: tuple[Metric, ...] = (
    CLUSTERS,
    CLUSTERS_UNLABELLED,
    CLUSTERS_YOUNG,
    CLUSTER_MEMBERS,
    CORRELATED,
    CORRELATION_EVICTIONS,
    OBSERVATIONS,
    OBSERVATIONS_WAITING,
    ASSIGNMENTS_OVERFLOWED,
    REBUILDS,
    REBUILT,
    REBUILD_DURATION,
    LONGEST_SLICE,
    CORRELATION_SAVED,
    CORRELATOR_HEARTBEAT,
    CORRELATOR_TERMS,
    ASSIGNMENT_GENERATION,
)
"""Exported only where the policy correlates."""

METRICS: tuple[Metric, ...] = (
    REQUESTS,
    DECISIONS,
    LIMIT_PER_CLUSTER,
    LIKELY_DECISIONS,
    COST_UNITS,
    FORGIVEN_UNITS,
    ACTED,
    LATENCY,
    TABLE_ENTRIES,
    TABLE_CAPACITY,
    EVICTIONS,
    BLOCKS,
    BLOCK_EVICTIONS,
    STORE_FAULTS,
    POLICY_GENERATION,
    POLICY_RELOADS,
    EVENTS_TOLD,
    EVENTS_LOST,
    POLICY_RELOADED,
    POLICY_RELOAD_SUCCESSFUL,
    POLICY_DIGEST,
    CLOCK_DRIFT,
    WORKERS,
    DIAGNOSTICS,
    *REMOTE_METRICS,
    *CORRELATION_METRICS,
    *HOSTS_METRICS,
    *chain.from_iterable(part.METRICS for part in parts("metrics")),
)
