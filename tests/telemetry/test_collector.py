"""A scrape, from the scraper's side.

In one file, since all of it reads one page of metrics.
"""

from __future__ import annotations

import mmap

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ratelimit.core.memory.table import COUNTER_COLUMNS
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.load.metrics import METRICS as LOAD_METRICS
from ratelimit.load.metrics import WatchedLoad, shed_column, shed_counter
from ratelimit.telemetry import RateLimitCollector, names
from ratelimit.telemetry.counters import Counters, RemoteCounters
from ratelimit.telemetry.exposed import of_families
from ratelimit.telemetry.remote import REMOTE_METRICS
from ratelimit.telemetry.snapshot import LoadNumbers, Snapshot, total
from ratelimit.telemetry.watching import NoPolicy
from tests.support.boards import board
from tests.telemetry.fakes import NOW_NS, FakeLimiter, LimitSeen, Reload, new_table

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(limiter: FakeLimiter) -> Series:
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(limiter: FakeLimiter, name: str, **labels: str) -> float:
    return scrape(limiter)[name, frozenset(labels.items())]


def test_decisions_are_counted_by_action_and_mode(limiter: FakeLimiter) -> None:
    limiter.rules = [LimitSeen("requests"), LimitSeen("trial", shadow=True)]
    limiter.decide("requests", 13, quota=10)
    limiter.decide("trial", 14, quota=10, shadow=True)
    found = {
        (dict(labels)["limit"], dict(labels)["action"], dict(labels)["mode"]): count
        for (name, labels), count in scrape(limiter).items()
        if name == "ratelimit_decisions_total" and count
    }
    assert found == {
        ("requests", "allow", "enforce"): 10,
        ("requests", "refuse", "enforce"): 3,
        ("trial", "allow", "shadow"): 10,
        ("trial", "refuse", "shadow"): 4,
    }


def test_cost_units_are_counted_beside_decisions(limiter: FakeLimiter) -> None:
    limiter.rules = [LimitSeen("tokens", unit="output_tokens")]
    limiter.decide("tokens", 3, quota=1000, cost=400)
    units = {"limit": "tokens", "unit": "output_tokens"}
    assert value(limiter, "ratelimit_cost_units_total", action="allow", **units) == 800
    assert value(limiter, "ratelimit_cost_units_total", action="refuse", **units) == 400


def test_what_likely_actors_would_be_refused_is_apart_from_what_was(limiter: FakeLimiter) -> None:
    limiter.rules = [LimitSeen("actor"), LimitSeen("actor", shadow=True, is_twin=True)]
    limiter.decide("actor", 12)
    limiter.decide(limiter.rules[1].counter_name, 15, shadow=True)
    refused = {"limit": "actor", "action": "refuse"}
    assert value(limiter, "ratelimit_decisions_total", **refused, mode="enforce") == 2
    assert value(limiter, "ratelimit_decisions_total", **refused, mode="shadow") == 0
    assert value(limiter, "ratelimit_likely_decisions_total", **refused) == 5
    assert value(limiter, "ratelimit_likely_decisions_total", limit="actor", action="allow") == 10


def test_any_worker_answers_for_all(limiter: FakeLimiter, memory: mmap.mmap) -> None:
    other = FakeLimiter(new_table(memory), [LimitSeen("requests")])
    other.table.join(2, 2, NOW_NS)
    limiter.rules = [LimitSeen("requests")]
    limiter.decide("requests", 3)
    other.decide("requests", 4)
    Counters(other.table).decided(True, Reason.LIMITS)
    labels = {"limit": "requests", "action": "allow", "mode": "enforce"}
    for asked in (limiter, other):
        assert value(asked, "ratelimit_decisions_total", **labels) == 7
        assert value(asked, "ratelimit_requests_total", action="allow", reason="limits") == 1
        assert value(asked, "ratelimit_workers") == 2
    other.table.close()


@pytest.mark.parametrize(
    ("allowed", "reason"), list(names.REQUEST_COLUMN), ids=lambda part: getattr(part, "value", str(part))
)
def test_each_reason_has_a_series_of_its_own(limiter: FakeLimiter, allowed: bool, reason: Reason) -> None:
    Counters(limiter.table).decided(allowed, reason)
    counted = {
        (dict(labels)["action"], dict(labels)["reason"])
        for (name, labels), count in scrape(limiter).items()
        if name == "ratelimit_requests_total" and count
    }
    assert counted == {("allow" if allowed else "refuse", reason.value)}


@pytest.mark.parametrize(
    ("elapsed_ns", "bound"),
    [
        (0, "5e-07"),
        (500, "5e-07"),
        (501, "1e-06"),
        (5_000_000, "0.005"),
        (25_000_001, "0.05"),  # a server that was waited for in vain
        (1_000_000_001, "+Inf"),
        (-3, "5e-07"),
    ],
)
def test_latency_falls_into_the_bucket_that_holds_it(
    limiter: FakeLimiter, elapsed_ns: int, bound: str
) -> None:
    Counters(limiter.table).observe_latency(elapsed_ns)
    name = "ratelimit_decision_duration_seconds"
    buckets = {
        dict(labels)["le"]: count
        for (series, labels), count in scrape(limiter).items()
        if series == f"{name}_bucket"
    }
    assert min((le for le, count in buckets.items() if count), key=float) == bound
    assert value(limiter, f"{name}_count") == 1
    assert value(limiter, f"{name}_sum") == max(elapsed_ns, 0) / 1e9


def test_table_says_what_it_holds(limiter: FakeLimiter) -> None:
    limiter.decide("requests", 1)
    assert value(limiter, "ratelimit_table_entries", state="live") == 1
    assert value(limiter, "ratelimit_table_capacity") == limiter.table.capacity
    assert value(limiter, "ratelimit_evictions_total") == 0


def test_runtime_events_are_counted(limiter: FakeLimiter) -> None:
    counters = Counters(limiter.table)
    counters.store_fault()
    for result in ("applied", "rejected", "rejected", "unchanged"):
        counters.reloaded(result)
    counters.diagnosed("mounted-twice")
    counters.diagnosed("a code from the future")
    limiter.generation, limiter.drift = 2, -1_500_000_000
    assert value(limiter, "ratelimit_store_faults_total") == 1
    assert value(limiter, "ratelimit_policy_reloads_total", result="rejected") == 2
    assert value(limiter, "ratelimit_policy_generation") == 2
    assert value(limiter, "ratelimit_policy_last_reload_timestamp_seconds") == NOW_NS / 1e9
    assert value(limiter, "ratelimit_clock_drift_seconds") == -1.5
    assert value(limiter, "ratelimit_diagnostics_total", code="mounted-twice") == 1
    assert value(limiter, "ratelimit_diagnostics_total", code="other") == 1


@pytest.mark.parametrize("name", ['quote"d', "back\\slash", 'x"} 1\nforged_total{a="', "a{b=1}"])
def test_label_injection_by_a_limits_name(limiter: FakeLimiter, name: str) -> None:
    limiter.rules = [LimitSeen(name)]
    limiter.decide(name, 1)
    assert value(limiter, "ratelimit_decisions_total", limit=name, action="allow", mode="enforce") == 1
    assert not [series for series, _ in scrape(limiter) if "forged" in series]


def test_no_request_can_raise_the_number_of_series(limiter: FakeLimiter) -> None:
    limiter.rules = [LimitSeen("requests")]
    before = len(scrape(limiter))
    limiter.decide("requests", 50)
    limiter.decide("not in the policy", 5)
    for code in ("one", "two", "three"):
        Counters(limiter.table).diagnosed(code)
    assert len(scrape(limiter)) == before


def test_tiers_of_one_limit_are_one_series(limiter: FakeLimiter) -> None:
    limiter.rules = [LimitSeen("requests"), LimitSeen("requests")]
    limiter.decide("requests", 2)
    assert value(limiter, "ratelimit_decisions_total", limit="requests", action="allow", mode="enforce") == 2


def test_full_counter_rows_do_not_break_the_scrape(limiter: FakeLimiter) -> None:
    def fill() -> None:
        for number in range(100_000):
            limiter.table.counter(f"limit {number}")

    with pytest.raises(StoreError):
        fill()
    limiter.rules = [LimitSeen("limit 0"), LimitSeen("the one too many")]
    labels = {"action": "allow", "mode": "enforce"}
    assert value(limiter, "ratelimit_decisions_total", limit="the one too many", **labels) == 0


def test_registering_does_not_scrape(limiter: FakeLimiter) -> None:
    limiter.table.close()
    CollectorRegistry().register(RateLimitCollector(limiter))


def clustering() -> dict[str, int]:
    """Return a correlation's numbers, each different."""
    shared = board()
    named = [*shared.stats(), *(each.name.lower() for each in names.BoardNumber)]
    return {name: 1_000_000_000 * (number + 1) for number, name in enumerate(named)}


SERVER = {"is_away": 1.0, "workers": 3.0, "hosts": 2.0, "share": 0.5}


LOAD = {
    "answering": 5, "waiting": 2, "in flight bound": 400, "waiting bound": 9, "pressure": 0.5,
    "held": 1, "kept free": 0.25,
    "target_ns": 1e9, "stale": 1, "learned bound": 12, "still_ns": 2e9,
    "floor bound": 4, "enforced": True,
}  # fmt: skip


def test_nothing_is_said_of_load_where_no_limit_follows_it(limiter: FakeLimiter) -> None:
    ours = {series for metric in LOAD_METRICS for series in metric.series}
    assert not ours & {series for series, _ in scrape(limiter)}


def test_state_of_the_limit_that_follows_the_load_is_exported(limiter: FakeLimiter) -> None:
    limiter.watched_loads = [
        WatchedLoad("chat", ("paid", "free"), LOAD),
        WatchedLoad("search", ("free",), LOAD | {"waiting": 8}),
    ]
    row = limiter.table.counter(shed_counter("chat", "free"))
    limiter.table.count(row, shed_column("likely", in_shadow=True), 3)
    assert value(limiter, "ratelimit_load_requests", group="chat", state="waiting") == 2
    assert value(limiter, "ratelimit_load_requests", group="search", state="waiting") == 8
    assert value(limiter, "ratelimit_load_bound", group="chat", on="in flight") == 400
    seconds = [f"ratelimit_load_{one}_seconds" for one in ("target", "still")]
    assert [value(limiter, one, group="chat") for one in seconds] == [1, 2]
    assert value(limiter, "ratelimit_load_stale_reports_total", group="chat") == 1
    assert value(limiter, "ratelimit_load_enforced", group="chat") == 1
    assert value(limiter, "ratelimit_load_kept_free_ratio", group="chat") == 0.25
    shed = {"class": "free", "of": "likely", "mode": "shadow"}
    assert value(limiter, "ratelimit_load_shed_total", group="chat", **shed) == 3
    assert value(limiter, "ratelimit_load_shed_total", group="search", **shed) == 0
    seen = of_families(RateLimitCollector(limiter).collect()).loads
    assert seen == {
        "chat": LoadNumbers(5, 2, 1, 9, 12, 2, 0.5, 1, 1, {"paid": 0, "free": 3}, 0.25),
        "search": LoadNumbers(5, 8, 1, 9, 12, 2, 0.5, 1, 1, {"free": 0}, 0.25),
    }


def test_limits_of_several_hosts_are_added_up_by_name() -> None:
    mine, other = Snapshot(), Snapshot()
    mine.loads["chat"] = LoadNumbers(1, 2, 3, 4, 5, 6, 0.7, 8, 1, {"paid": 9})
    other.loads["chat"] = LoadNumbers(1, 2, 3, 4, 5, 7, 0.6, 8, 0, {"paid": 1, "free": 2})
    other.loads["search"] = LoadNumbers(answering=1)
    assert total([mine, other]).loads == {
        "chat": LoadNumbers(2, 4, 6, 8, 10, 7, 0.7, 8, 0, {"paid": 10, "free": 2}),
        "search": LoadNumbers(answering=1),
    }


def test_clusters_that_all_hosts_report_are_counted_once() -> None:
    mine, other, fresh = Snapshot(), Snapshot(), Snapshot()
    for each, members in ((mine, 60), (other, 59)):
        each.verdicts = {
            ("ratelimit_clusters", "certain"): 2,
            ("ratelimit_cluster_members", "certain"): members,
        }
    assert total([mine, other, fresh]).verdicts == mine.verdicts


def test_nothing_is_said_of_a_server_where_there_is_none(limiter: FakeLimiter) -> None:
    ours = {series for metric in REMOTE_METRICS for series in metric.series}
    assert not ours & {series for series, _ in scrape(limiter)}
    limiter.remote = SERVER
    assert ours <= {series for series, _ in scrape(limiter)}


def test_what_happens_on_the_way_to_a_server_is_counted_by_all_workers(
    limiter: FakeLimiter, memory: mmap.mmap
) -> None:
    limiter.remote = SERVER
    other = new_table(memory)
    other.join(2, 2, NOW_NS)
    for counters in (RemoteCounters(limiter.table), RemoteCounters(other)):
        counters.answered(7, 300_000)
        counters.answered(1, 80_000_000)
        counters.answered(1, -5)
        counters.tripped()
        counters.lost(3)
        counters.forgot(2)
    duration = "ratelimit_store_round_trip_duration_seconds"
    assert value(limiter, f"{duration}_count") == 6
    assert value(limiter, f"{duration}_sum") == pytest.approx(0.1606)
    assert value(limiter, f"{duration}_bucket", le="0.0005") == 4
    assert value(limiter, f"{duration}_bucket", le="0.0001") == 2
    assert value(limiter, "ratelimit_store_questions_total") == 18
    assert value(limiter, "ratelimit_store_breaker_trips_total") == 2
    assert value(limiter, "ratelimit_store_corrections_lost_total") == 6
    assert value(limiter, "ratelimit_store_counters_forgotten_total") == 4
    assert value(limiter, "ratelimit_store_away") == 1
    assert value(limiter, "ratelimit_store_share_ratio") == 0.5
    assert value(limiter, "ratelimit_store_hosts") == 2
    assert value(limiter, "ratelimit_store_workers") == 3
    other.close()


def test_workers_without_the_server_are_the_hosts_whichever_is_scraped(
    limiter: FakeLimiter, memory: mmap.mmap
) -> None:
    limiter.remote = {**SERVER, "is_away": 0.0}
    others = [new_table(memory), new_table(memory)]
    silent, silent_since_ns = new_table(memory), NOW_NS - 70 * 10**9
    silent.join(7, 7, silent_since_ns)
    silent.heartbeat(silent_since_ns, is_away=True)

    def away() -> float:
        return value(limiter, "ratelimit_store_away")

    for number, other in enumerate(others, 2):
        other.join(number, number, NOW_NS)
        other.heartbeat(NOW_NS)
    assert away() == 0
    for other in others:
        other.heartbeat(NOW_NS, is_away=True)
    assert away() == 2
    others[0].heartbeat(NOW_NS)
    assert away() == 1
    # One that ended is not away, nor is the next in its seat.
    others[1].leave()
    assert away() == 0
    others[1].join(9, 9, NOW_NS)
    assert away() == 0
    for other in (*others, silent):
        other.close()


def test_everything_exported_is_in_the_table_of_names(limiter: FakeLimiter) -> None:
    limiter.correlation = clustering()
    limiter.watched_loads = [
        WatchedLoad("default", ("all",), LOAD),
        WatchedLoad("default 1", (), LOAD, ("default", 0)),
    ]
    limiter.remote = SERVER
    limiter.rules = [
        LimitSeen("requests"),
        LimitSeen("tokens", unit="output_tokens"),
        LimitSeen("paced", waits=True),
        LimitSeen("step-up", first="challenge"),
        LimitSeen("actor", is_clustered=True),
        LimitSeen("actor", shadow=True, is_twin=True),
    ]
    known = {
        series: {label.name for label in metric.labels}
        for metric in names.METRICS
        for series in metric.series
    }
    seen: dict[str, set[str]] = {}
    for series, labels in scrape(limiter):
        seen.setdefault(series, set()).update(dict(labels).keys() - {"le"})
    assert seen == known


def test_nothing_is_said_of_correlation_where_there_is_none(limiter: FakeLimiter) -> None:
    ours = {series for metric in names.CORRELATION_METRICS for series in metric.series}
    assert not ours & {series for series, _ in scrape(limiter)}
    limiter.correlation = clustering()
    assert ours <= {series for series, _ in scrape(limiter)}


def test_numbers_of_the_correlation_are_exported_in_their_units(limiter: FakeLimiter) -> None:
    limiter.correlation = {
        **dict.fromkeys(clustering(), 0),
        "clusters": 3,
        "certain_clusters": 2,
        "members": 700,
        "certain_members": 640,
        "principals": 5000,
        "dropped": 12,
        "rebuilt_ns": 1_700_000_000_500_000_000,
        "longest_slice_ns": 1_500_000,
    }
    assert value(limiter, "ratelimit_clusters", verdict="certain") == 2
    assert value(limiter, "ratelimit_clusters", verdict="likely") == 1
    assert value(limiter, "ratelimit_cluster_members", verdict="certain") == 640
    assert value(limiter, "ratelimit_cluster_members", verdict="likely") == 60
    assert value(limiter, "ratelimit_correlated", kind="principal") == 5000
    assert value(limiter, "ratelimit_observations_total", result="dropped") == 12
    assert value(limiter, "ratelimit_cluster_last_rebuild_timestamp_seconds") == 1_700_000_000.5
    assert value(limiter, "ratelimit_cluster_longest_slice_seconds") == 0.0015


def test_label_values_are_those_listed(limiter: FakeLimiter) -> None:
    limiter.correlation = clustering()
    limiter.watched_loads = [
        WatchedLoad("default", ("all",), LOAD),
        WatchedLoad("default 1", (), LOAD, ("default", 0)),
    ]
    limiter.rules = [
        LimitSeen("requests"),
        LimitSeen("tokens", unit="output_tokens"),
        LimitSeen("paced", waits=True),
        LimitSeen("step-up", first="challenge"),
        LimitSeen("actor", is_clustered=True),
        LimitSeen("actor", shadow=True, is_twin=True),
    ]
    listed = {
        (series, label.name): set(label.values)
        for metric in names.METRICS
        for series in metric.series
        for label in metric.labels
        if label.values
    }
    seen: dict[tuple[str, str], set[str]] = {}
    for series, labels in scrape(limiter):
        for name, found in labels:
            seen.setdefault((series, name), set()).add(found)
    for key, values in listed.items():
        assert seen[key] <= values, key


def test_each_column_fits_its_counter() -> None:
    assert names.COUNTER_COLUMNS == COUNTER_COLUMNS
    assert max(names.LIMITED_COLUMNS) < names.COUNTER_COLUMNS  # those that compiled code counts
    assert max(names.RuleColumn) < names.COUNTER_COLUMNS
    assert len(set(names.REQUEST_COLUMN.values())) == len(names.REQUEST_COLUMN)


@pytest.mark.parametrize(
    ("last", "expected"), [(None, 1), ("applied", 1), ("unchanged", 1), ("rejected", 0)], ids=str
)
def test_rejected_file_is_told_for_as_long_as_it_is_broken(
    limiter: FakeLimiter, last: str | None, expected: int
) -> None:
    limiter.last_reload = None if last is None else Reload(last)
    for _ in range(2):
        assert value(limiter, "ratelimit_policy_last_reload_successful") == expected


def test_policy_in_force_is_told_by_its_number(limiter: FakeLimiter) -> None:
    limiter.policy = NoPolicy(digest=2**48 - 1)
    assert value(limiter, "ratelimit_policy_digest") == 2**48 - 1
