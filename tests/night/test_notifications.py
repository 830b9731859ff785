"""The notifications of a night: six outages, a campaign and a strict policy on two hosts, one alert each.

The series are those of two hosts with two workers each, scraped every half minute; promtool evaluates the
rules, and counts how often each alert begins and ends. Alerts of the severity `info` notify nobody.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.telemetry.test_alert_rules import ALERTS, RULES, healthy, promtool

STEP_S = 30
HOURS = 6
STEPS = HOURS * 3600 // STEP_S
MINUTE = 60
WORKERS = 2
HOSTS = {name: f'job="api",instance="{name}"' for name in "ab"}


@dataclass(frozen=True)
class Outage:
    """One absence of the server: when it begins, how long each lasts, and how often it comes and goes."""

    begin_s: float
    length_s: float
    hosts: str = "ab"
    times: int = 1
    apart_s: float = 0

    def spans(self, host: str) -> list[tuple[float, float]]:
        """Return when a host is without the server; the second one notices three seconds later."""
        if host not in self.hosts:
            return []
        late_s = 0 if host == "a" or self.length_s < 4 else 3
        return [
            (self.begin_s + at * self.apart_s + late_s, self.begin_s + at * self.apart_s + self.length_s)
            for at in range(self.times)
        ]


HICCUP = Outage(10 * MINUTE + 7, 0.4)
SHORT = Outage(25 * MINUTE + 14, 8)
OUTAGES = (
    HICCUP,
    SHORT,
    Outage(40 * MINUTE + 21, 25),
    Outage(60 * MINUTE + 4, 70, hosts="b"),  # a partition
    Outage(80 * MINUTE + 11, 300),
    Outage(110 * MINUTE + 2, 1.5, times=12, apart_s=40),  # it comes and goes for eight minutes
)
FOUND_S, GREW_S, RELEASED_S = 150 * MINUTE, (154 * MINUTE, 159 * MINUTE), 205 * MINUTE
ATTACK_S = (149 * MINUTE, 165 * MINUTE)
STRICT_S = (240 * MINUTE, 262 * MINUTE)
USUAL, USUALLY_REFUSED = 100.0, 1.0
"""Requests a second of each host."""


def integral(spans: list[tuple[float, float]], at_s: float) -> float:
    return sum(max(0.0, min(at_s, end) - begin) for begin, end in spans)


def drawn(value: Callable[[float], float]) -> str:
    return " ".join(f"{value(at * STEP_S):.3f}" for at in range(STEPS))


def night(
    outages: tuple[Outage, ...],
    strict_s: tuple[float, float] = STRICT_S,
    attack_s: tuple[float, float] = ATTACK_S,
) -> dict[str, str]:
    """Return the series of both hosts."""
    series = healthy(STEPS)
    for name, host in HOSTS.items():
        spans = [span for outage in outages for span in outage.spans(name)]

        def gone(at_s: float, spans: list[tuple[float, float]] = spans) -> bool:
            return any(begin <= at_s < end for begin, end in spans)

        def begun(at_s: float, spans: list[tuple[float, float]] = spans) -> int:
            return sum(begin <= at_s for begin, _ in spans)

        # The campaign's: half of all. The strict policy's: 83 %.
        def refused_actor(at_s: float) -> float:
            return USUAL * integral([attack_s], at_s)

        def refused_others(at_s: float) -> float:
            return USUALLY_REFUSED * at_s + 0.82 * USUAL * integral([strict_s], at_s)

        def refused(at_s: float) -> float:
            return refused_actor(at_s) + refused_others(at_s)

        def allowed(at_s: float) -> float:
            return (USUAL - USUALLY_REFUSED) * at_s - 0.82 * USUAL * integral([strict_s], at_s)

        def decisions(limit: str, host: str = host) -> str:
            labels = f'limit="{limit}",action="refuse",mode="enforce"'
            return f"ratelimit_decisions_total{{{host},{labels}}}"

        def heard(at_s: float, spans: list[tuple[float, float]] = spans) -> float:
            return max((begin for begin, end in spans if begin <= at_s < end), default=at_s)

        series |= {
            f'ratelimit_requests_total{{{host},action="allow",reason="limits"}}': drawn(allowed),
            f'ratelimit_requests_total{{{host},action="refuse",reason="limits"}}': drawn(refused),
            decisions("requests"): drawn(refused_others),
            decisions("one actor"): drawn(refused_actor),
            f'ratelimit_limit_per_cluster{{{host},limit="one actor"}}': drawn(lambda at_s: 1),
            f"ratelimit_store_away{{{host}}}": drawn(lambda at_s, gone=gone: WORKERS * gone(at_s)),
            f"ratelimit_store_away_seconds_total{{{host}}}": drawn(
                # Each sign of life adds to it, so absences of less than a few seconds may be missing.
                lambda at_s, spans=spans: (
                    WORKERS * integral([each for each in spans if each[1] - each[0] > 2], at_s)
                )
            ),
            f"ratelimit_store_breaker_trips_total{{{host}}}": drawn(
                lambda at_s, begun=begun: WORKERS * begun(at_s)
            ),
            f"ratelimit_store_faults_total{{{host}}}": drawn(lambda at_s, begun=begun: 40 * begun(at_s)),
            f"ratelimit_hosts_heard_timestamp_seconds{{{host}}}": drawn(heard),
            f"ratelimit_hosts_takeovers_total{{{host}}}": drawn(lambda at_s, begun=begun: 1 + begun(at_s)),
            f'ratelimit_hosts_observations_total{{{host},result="dropped"}}': drawn(
                lambda at_s, spans=spans: 50 * integral(spans, at_s)
            ),
            f'ratelimit_diagnostics_total{{{host},code="hosts-unreachable"}}': drawn(
                lambda at_s, begun=begun: WORKERS * (begun(at_s) > 0)
            ),
        }
    events = {
        "actor-found": lambda at_s: at_s >= FOUND_S,
        "actor-contained": lambda at_s: at_s >= FOUND_S + 5,
        "actor-grew": lambda at_s: sum(at_s >= each for each in GREW_S),
        "actor-released": lambda at_s: at_s >= RELEASED_S,
    }
    for event, times in events.items():
        series[f'ratelimit_events_total{{{HOSTS["a"]},event="{event}"}}'] = drawn(times)
    return series


NOTIFYING = 'ALERTS{alertstate="firing",severity!="info"}'
SEVERITIES = {rule["alert"]: rule["labels"]["severity"] for rule in ALERTS}
BEFORE = f"{NOTIFYING} offset {STEP_S}s"
BEGINS, ENDS = f"{NOTIFYING} unless {BEFORE}", f"{BEFORE} unless {NOTIFYING}"


def counted(what: str) -> str:
    """Return the query for how often something of each alert was so in the whole night."""
    return f"sum by (alertname, severity) (sum_over_time(({what})[{HOURS}h:{STEP_S}s]))"


def look(expr: str, at_s: float, found: Mapping[str, float]) -> dict[str, object]:
    samples = [
        {"labels": f'{{alertname="{name}", severity="{SEVERITIES[name]}"}}', "value": value}
        for name, value in found.items()
    ]
    return {"expr": expr, "eval_time": f"{at_s:.0f}s", "exp_samples": samples}


def judged(
    tmp_path: Path,
    outages: tuple[Outage, ...],
    looks: list[dict[str, object]],
    strict_s: tuple[float, float] = STRICT_S,
) -> tuple[int, str]:
    return run_rules(tmp_path, night(outages, strict_s), looks)


def run_rules(
    tmp_path: Path, drawn_series: Mapping[str, str], looks: list[dict[str, object]]
) -> tuple[int, str]:
    """Return how promtool ended, and what it said, of some series and what is to be seen."""
    series = [{"series": name, "values": values} for name, values in drawn_series.items()]
    test = {"interval": f"{STEP_S}s", "input_series": series, "promql_expr_test": looks}
    path = tmp_path / "night.yml"
    path.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": f"{STEP_S}s", "tests": [test]})
    )
    ran = subprocess.run(
        [promtool(), "test", "rules", str(path)], capture_output=True, text=True, timeout=240, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_each_of_the_night_is_one_notification_and_one_resolution(tmp_path: Path) -> None:
    """Hazard: one outage, several alerts."""
    notified = {"RatelimitStoreAway": len(OUTAGES) - 2, "RatelimitCampaign": 1, "RatelimitRefusingMuch": 1}
    end_s = (STEPS - 1) * STEP_S
    code, said = judged(
        tmp_path,
        OUTAGES,
        [
            look(counted(BEGINS), end_s, notified),
            look(counted(ENDS), end_s, notified),
            look(f"sum by (alertname, severity) ({NOTIFYING})", FOUND_S - STEP_S, {}),
            look(f"sum by (alertname, severity) ({NOTIFYING})", FOUND_S + MINUTE, {"RatelimitCampaign": 1}),
            look(f"sum by (alertname, severity) ({NOTIFYING})", STRICT_S[0], {}),
            look(
                f"sum by (alertname, severity) ({NOTIFYING})",
                STRICT_S[0] + 3 * MINUTE,
                {"RatelimitRefusingMuch": 1},
            ),
            # The longest outage is told within a minute and a half.
            look(
                f"sum by (alertname, severity) ({NOTIFYING})",
                OUTAGES[4].begin_s + 1.5 * MINUTE,
                {"RatelimitStoreAway": 1},
            ),
        ],
    )
    assert code == 0, said


def test_a_campaign_hides_no_strict_policy(tmp_path: Path) -> None:
    """Hazard: whoever is found refused makes silent for a quarter of an hour what tells of refusals."""
    strict_s = FOUND_S + 2 * MINUTE, FOUND_S + 12 * MINUTE
    notified = f"sum by (alertname, severity) ({NOTIFYING})"
    code, said = judged(
        tmp_path,
        (),
        [
            # The campaign is half of all requests, and its refusals are its own alert's.
            look(notified, strict_s[0], {"RatelimitCampaign": 1}),
            look(notified, strict_s[0] + 3 * MINUTE, {"RatelimitCampaign": 1, "RatelimitRefusingMuch": 1}),
            look(counted(BEGINS), (STEPS - 1) * STEP_S, {"RatelimitCampaign": 1, "RatelimitRefusingMuch": 1}),
        ],
        strict_s,
    )
    assert code == 0, said


@pytest.mark.parametrize("outage", [HICCUP, SHORT], ids=["0.4 s", "8 s"])
def test_what_ends_within_ten_seconds_notifies_nobody(tmp_path: Path, outage: Outage) -> None:
    """Hazard: a hiccup, a critical page."""
    quiet = look(counted(BEGINS), FOUND_S - MINUTE, {})
    code, said = judged(tmp_path, (outage,), [quiet])
    assert code == 0, said


BEGIN_S, END_S = 40 * MINUTE, 80 * MINUTE


def between(usual: float, odd: float, hosts: str = "ab") -> Callable[[str], str]:
    """Return what draws a gauge that is odd on some hosts for forty minutes."""
    return lambda host: drawn(lambda at_s: odd if host in hosts and BEGIN_S <= at_s < END_S else usual)


def grown(a_second: float, hosts: str = "ab") -> Callable[[str], str]:
    """Return what draws a counter that rises on some hosts for forty minutes."""
    return lambda host: drawn(
        lambda at_s: a_second * integral([(BEGIN_S, END_S)], at_s) if host in hosts else 0
    )


def slowed(share: float) -> Callable[[str], str]:
    """Return what draws the round trips within a bound, of which so many are left for forty minutes."""
    return lambda host: drawn(
        lambda at_s: 100 * at_s - 100 * (1 - share) * integral([(BEGIN_S, END_S)], at_s)
    )


def since(begin_s: float) -> Callable[[str], str]:
    """Return what draws an event of one host."""
    return lambda host: drawn(lambda at_s: float(host == "a" and at_s >= begin_s))


ROUND_TRIPS = "ratelimit_store_round_trip_duration_seconds_bucket"
GONE = {
    "ratelimit_store_away": between(0, WORKERS),
    "ratelimit_store_away_seconds_total": grown(WORKERS),
    "ratelimit_store_breaker_trips_total": since(BEGIN_S),
    "ratelimit_store_faults_total": since(BEGIN_S),
}
KINDS: dict[str, tuple[str, dict[str, Callable[[str], str]]]] = {
    "it hangs, and answers the first calls late": (
        "RatelimitStoreAway",
        GONE | {f'{ROUND_TRIPS}{{le="0.001"}}': slowed(0), f'{ROUND_TRIPS}{{le="0.025"}}': slowed(0.5)},
    ),
    "it answers, and refuses to write": (
        "RatelimitStoreAway",
        {"ratelimit_store_breaker_trips_total": grown(0.05), "ratelimit_store_faults_total": grown(2)},
    ),
    "it answers late": (
        "RatelimitStoreSlow",
        {f'{ROUND_TRIPS}{{le="0.001"}}': slowed(0.2)},
    ),
    "its memory was flushed": (
        "RatelimitStoreEmptied",
        {'ratelimit_events_total{event="store-emptied"}': since(BEGIN_S)},
    ),
    "one host's policy is rejected, the other's is new": (
        "RatelimitPolicyRejected",
        {
            "ratelimit_policy_last_reload_successful": between(1, 0, "b"),
            "ratelimit_policy_digest": between(4711, 8, "a"),
        },
    ),
    "every host's policy is rejected": (
        "RatelimitPolicyRejected",
        {"ratelimit_policy_last_reload_successful": between(1, 0)},
    ),
    "one host's worker decides without its memory": (
        "RatelimitStoreFailing",
        {"ratelimit_store_faults_total": grown(0.5, "b")},
    ),
    "the memory is full": (
        "RatelimitTableEvicting",
        {
            "ratelimit_evictions_total": grown(5, "b"),
            'ratelimit_table_entries{state="live"}': between(100, 990, "b"),
        },
    ),
    "nothing correlates": (
        "RatelimitHostsWithoutCorrelator",
        {
            "ratelimit_hosts_heard_timestamp_seconds": lambda host: drawn(
                lambda at_s: BEGIN_S if BEGIN_S <= at_s < END_S else at_s
            )
        },
    ),
}
"""What else goes wrong in a night: the alert that tells of it, and the series of each host."""


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_trouble_is_one_notification_and_one_resolution(tmp_path: Path, kind: str) -> None:
    alert, changed = KINDS[kind]
    series = night((), (0, 0), (0, 0))
    for host, labels in HOSTS.items():
        for bound, share in (("0.001", 1), ("0.025", 1), ("+Inf", 1)):
            series[f'{ROUND_TRIPS}{{{labels},le="{bound}"}}'] = slowed(share)(host)
        for name, drawing in changed.items():
            base, _, more = name.partition("{")
            series[f"{base}{{{labels}{',' if more else ''}{more or '}'}"] = drawing(host)
    quiet = {name: values for name, values in series.items() if "actor-" not in name}
    end_s = (STEPS - 1) * STEP_S
    looks = [look(counted(BEGINS), end_s, {alert: 1}), look(counted(ENDS), end_s, {alert: 1})]
    code, said = run_rules(tmp_path, quiet, looks)
    assert code == 0, said
