"""Alert rules: each fires for its cause, alone, and ends. Run by Prometheus' own `promtool test rules`.

Debian has it in the package `promtool`; `make .venv/.test` fetches it where there is one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ratelimit.cli.commands import GROUPS, TOP

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "docs" / "alerts.yml"
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text("utf-8")
FETCHED = ROOT / ".venv" / "promtool" / "usr" / "bin" / "promtool"
ALERTS = yaml.safe_load(RULES.read_text("utf-8"))["groups"][0]["rules"]
STEPS = 240
MINUTE = 2
"""Steps a minute: a scrape every 30 s."""

A, B = 'job="api",instance="a"', 'job="api",instance="b"'
"""A host with limits that a server keeps, and one that keeps them itself."""


def promtool() -> str:
    found = shutil.which("promtool") or (str(FETCHED) if FETCHED.exists() else None)
    if found is None:
        pytest.skip("promtool is not here; on Debian: apt-get install promtool")
    return found


def healthy(steps: int = STEPS) -> dict[str, str]:
    """Return every series that rules look at, of hosts that are well."""
    series: dict[str, str] = {}
    for host in (A, B):
        series |= {
            f'ratelimit_requests_total{{{host},action="allow",reason="limits"}}': rising(3000, steps),
            f'ratelimit_requests_total{{{host},action="refuse",reason="limits"}}': rising(30, steps),
            f'ratelimit_settled_total{{{host},certainty="exact",route="/v1/*"}}': rising(30, steps),
            f'ratelimit_settled_total{{{host},certainty="at_least",route="/v1/*"}}': rising(100, steps),
            f'ratelimit_settled_total{{{host},certainty="unknown",route="/v1/*"}}': rising(3, steps),
            f'ratelimit_forgiven_units_total{{{host},limit="tokens",unit="output_tokens"}}': rising(1, steps),
            f'ratelimit_cost_units_total{{{host},limit="tokens",action="allow"}}': rising(900, steps),
            f"ratelimit_evictions_total{{{host}}}": flat(7, steps),
            f"ratelimit_block_evictions_total{{{host}}}": flat(0, steps),
            f'ratelimit_table_entries{{{host},state="live"}}': flat(100, steps),
            f'ratelimit_table_entries{{{host},state="idle"}}': flat(800, steps),
            f"ratelimit_table_capacity{{{host}}}": flat(1000, steps),
            f"ratelimit_store_faults_total{{{host}}}": flat(0, steps),
            f"ratelimit_policy_last_reload_successful{{{host}}}": flat(1, steps),
            f"ratelimit_policy_digest{{{host}}}": flat(4711, steps),
            f'ratelimit_decision_duration_seconds_bucket{{{host},le="0.0005"}}': rising(100, steps),
            f'ratelimit_decision_duration_seconds_bucket{{{host},le="0.05"}}': rising(100, steps),
            f'ratelimit_decision_duration_seconds_bucket{{{host},le="+Inf"}}': rising(100, steps),
            f"ratelimit_clock_drift_seconds{{{host}}}": flat(0, steps),
            f'ratelimit_diagnostics_total{{{host},code="route-unseen"}}': flat(0, steps),
            f'ratelimit_diagnostics_total{{{host},code="hosts-unreachable"}}': flat(0, steps),
            f'ratelimit_diagnostics_total{{{host},code="serve-late"}}': flat(0, steps),
            f'ratelimit_diagnostics_total{{{host},code="serve-other-pair"}}': rising(100, steps),
            f"ratelimit_correlator_heartbeat_timestamp_seconds{{{host}}}": rising(30, steps),
            f"ratelimit_correlator_terms_total{{{host}}}": flat(1, steps),
            f'ratelimit_observations_total{{{host},result="taken"}}': rising(3000, steps),
            f'ratelimit_observations_total{{{host},result="dropped"}}': flat(0, steps),
            f'ratelimit_correlation_evictions_total{{{host},kind="principal"}}': flat(0, steps),
            f"ratelimit_correlation_last_snapshot_timestamp_seconds{{{host}}}": rising(30, steps),
            f"ratelimit_workers{{{host}}}": flat(2, steps),
            f'ratelimit_load_shed_total{{{host},class="batch",of="others",mode="enforce"}}': rising(
                30, steps
            ),
            f'ratelimit_load_shed_total{{{host},class="batch",of="others",mode="shadow"}}': rising(
                3000, steps
            ),
            f'ratelimit_load_bound{{{host},on="learned"}}': flat(12, steps),
            f'ratelimit_load_bound{{{host},on="floor"}}': flat(4, steps),
            f"ratelimit_load_still_seconds{{{host}}}": flat(0.2, steps),
            f"ratelimit_load_stale_reports_total{{{host}}}": flat(3, steps),
            f"ratelimit_clusters_unlabelled{{{host}}}": flat(0, steps),
            **{
                f'ratelimit_events_total{{{host},event="{name}"}}': flat(1, steps)
                for name in ("actor-found", "actor-grew", "actor-contained", "actor-released", "act-made")
            },
            **{
                f'ratelimit_events_lost_total{{{host},sink="{sink}"}}': flat(2, steps)
                for sink in ("webhook", "journal")
            },
        }
    return series | {
        f"ratelimit_store_workers{{{A}}}": flat(4, steps),
        f"ratelimit_store_away{{{A}}}": flat(0, steps),
        f"ratelimit_store_away_seconds_total{{{A}}}": flat(0, steps),
        f"ratelimit_store_breaker_trips_total{{{A}}}": flat(0, steps),
        f"ratelimit_store_corrections_lost_total{{{A}}}": flat(0, steps),
        f"ratelimit_store_counters_forgotten_total{{{A}}}": flat(0, steps),
        f'ratelimit_store_round_trip_duration_seconds_bucket{{{A},le="0.001"}}': rising(100, steps),
        f'ratelimit_store_round_trip_duration_seconds_bucket{{{A},le="0.025"}}': rising(100, steps),
        f'ratelimit_store_round_trip_duration_seconds_bucket{{{A},le="+Inf"}}': rising(100, steps),
        f"ratelimit_hosts_heard_timestamp_seconds{{{A}}}": rising(30, steps),
        f"ratelimit_hosts_takeovers_total{{{A}}}": flat(1, steps),
        f'ratelimit_hosts_observations_total{{{A},result="dropped"}}': flat(0, steps),
        f"ratelimit_hosts_stream_lost_total{{{A}}}": flat(0, steps),
        f"ratelimit_hosts_stream_lag_seconds{{{A}}}": flat(0, steps),
    }


def told(event: str) -> str:
    return f'ratelimit_events_total{{{A},event="{event}"}}'


def flat(value: float, steps: int = STEPS) -> str:
    return f"{value}x{steps}"


def rising(by: float, steps: int = STEPS) -> str:
    return f"0+{by}x{steps}"


def spell(usual: float, odd: float, begin: int = 20, end: int = 100) -> str:
    """Return a gauge that is odd between two steps."""
    return f"{usual}x{begin - 1} {odd}x{end - begin - 1} {usual}x{STEPS}"


def burst(by: float, begin: int = 20, end: int = 100) -> str:
    """Return a counter that rises between two steps."""
    return f"0x{begin - 1} {by}+{by}x{end - begin - 1} {by * (end - begin)}x{STEPS}"


def stopped(begin: int = 20, end: int = 100) -> str:
    """Return a time stamp that stands still between two steps."""
    return f"0+30x{begin - 1} {begin * 30}x{end - begin - 1} {end * 30}+30x{STEPS}"


SLOW = f"0+100x19 2000x80 2000+100x{STEPS}"
"""A bucket of quick ones that gets none for a while."""


@dataclass
class Case:
    """What happens, which alert fires, and at which steps it is looked for and gone."""

    alert: str
    series: Mapping[str, str]
    during: int = 95
    after: int = 235
    step_s: int = 30
    alone: bool = True
    """Whether it happens to hosts that are well otherwise."""
    what: str = ""
    """Which of several cases of the alert."""

    @property
    def name(self) -> str:
        return f"{self.alert} {self.what}".strip()


OUTAGE = {
    f"ratelimit_store_away{{{A}}}": spell(0, 2),
    f"ratelimit_store_away_seconds_total{{{A}}}": burst(60),
    f"ratelimit_store_breaker_trips_total{{{A}}}": burst(2, 20, 21),
    f"ratelimit_store_faults_total{{{A}}}": burst(40, 20, 22),
    f"ratelimit_hosts_heard_timestamp_seconds{{{A}}}": stopped(),
    f"ratelimit_hosts_takeovers_total{{{A}}}": f"1x98 6x{STEPS}",
    f'ratelimit_hosts_observations_total{{{A},result="dropped"}}': burst(100),
    f"ratelimit_hosts_stream_lost_total{{{A}}}": f"0x98 50x{STEPS}",
    f'ratelimit_diagnostics_total{{{A},code="hosts-unreachable"}}': f"0x20 2x{STEPS}",
    f'ratelimit_decision_duration_seconds_bucket{{{A},le="0.0005"}}': f"0+100x19 2000x{STEPS}",
    **{
        f'ratelimit_store_round_trip_duration_seconds_bucket{{{A},le="{bound}"}}': SLOW
        for bound in ("0.001", "0.025", "+Inf")
    },
}
"""Two workers' server is gone for 40 minutes, with all that this does to other numbers."""

CASES = [
    Case(
        "RatelimitRefusingMuch",
        {
            f'ratelimit_requests_total{{{host},action="refuse",reason="limits"}}': burst(1500)
            for host in (A, B)
        },
        what="a third for 40 minutes",
    ),
    Case(
        "RatelimitRefusingMuch",
        {
            f'ratelimit_requests_total{{{host},action="refuse",reason="limits"}}': burst(15000, 20, 40)
            for host in (A, B)
        },
        during=26,
        after=110,
        what="83 %, three minutes after it begins",
    ),
    Case(
        "RatelimitRefusingNothing",
        {
            f'ratelimit_requests_total{{{A},action="allow",reason="limits"}}': rising(3000),
            f'ratelimit_requests_total{{{A},action="refuse",reason="limits"}}': f"0x179 1x{STEPS}",
        },
        during=175,
        after=185,
        step_s=3600,
        alone=False,
    ),
    Case("RatelimitTableEvicting", {f"ratelimit_evictions_total{{{A}}}": burst(1)}),
    Case("RatelimitTableNearlyFull", {f'ratelimit_table_entries{{{A},state="live"}}': spell(100, 900)}),
    Case("RatelimitStoreFailing", {f"ratelimit_store_faults_total{{{B}}}": burst(3)}),
    Case("RatelimitPolicyRejected", {f"ratelimit_policy_last_reload_successful{{{A}}}": spell(1, 0)}),
    Case("RatelimitPoliciesDiffer", {f"ratelimit_policy_digest{{{A}}}": spell(4711, 8)}),
    Case(
        "RatelimitWorkersDisagree",
        {f"ratelimit_policy_digest{{{A}}}": " ".join(["4711x0 8x0"] * 50) + f" 4711x{STEPS}"},
    ),
    Case(
        "RatelimitDecisionsSlow",
        {
            f'ratelimit_decision_duration_seconds_bucket{{{B},le="0.0005"}}': SLOW,
        },
    ),
    Case("RatelimitClockStepped", {f"ratelimit_clock_drift_seconds{{{A}}}": spell(0, -3600)}),
    Case(
        "RatelimitMisconfigured",
        {f'ratelimit_diagnostics_total{{{A},code="route-unseen"}}': burst(1, 20, 22)},
    ),
    Case("RatelimitServeFailing", {f'ratelimit_diagnostics_total{{{A},code="serve-late"}}': burst(5)}),
    Case(
        "RatelimitCorrelatorSilent",
        {f"ratelimit_correlator_heartbeat_timestamp_seconds{{{B}}}": stopped()},
    ),
    Case(
        "RatelimitObservationsDropped",
        {f'ratelimit_observations_total{{{A},result="dropped"}}': burst(100)},
    ),
    *(
        Case(
            "RatelimitCorrelatorForgetting",
            {f'ratelimit_correlation_evictions_total{{{A},kind="{kind}"}}': f"0+100x{STEPS}"},
            during=235,
            after=5,
            what=kind,
        )
        for kind in ("principal", "identifier")
    ),
    Case(
        "RatelimitSnapshotOld",
        {f"ratelimit_correlation_last_snapshot_timestamp_seconds{{{B}}}": f"0+30x10 300x189 6000+30x{STEPS}"},
        during=195,
        after=235,
    ),
    Case("RatelimitHostsWithoutCorrelator", {f"ratelimit_hosts_heard_timestamp_seconds{{{A}}}": stopped()}),
    Case("RatelimitHostsCorrelatorChanging", {f"ratelimit_hosts_takeovers_total{{{A}}}": burst(1)}),
    Case(
        "RatelimitHostsObservationsLost",
        {f'ratelimit_hosts_observations_total{{{A},result="dropped"}}': burst(1)},
    ),
    Case("RatelimitHostsCorrelatorBehind", {f"ratelimit_hosts_stream_lag_seconds{{{A}}}": spell(0, 60)}),
    Case("RatelimitStoreAway", OUTAGE),
    Case(
        "RatelimitStoreAway",
        {f"ratelimit_store_breaker_trips_total{{{A}}}": burst(2)},
        what="in turns",
    ),
    Case(
        "RatelimitStoreAway",
        {
            f"ratelimit_store_away_seconds_total{{{A}}}": f"0x19 24x{STEPS}",
            f"ratelimit_store_faults_total{{{A}}}": f"0x19 40x{STEPS}",
        },
        during=22,
        after=80,
        what="for twelve seconds",
    ),
    Case(
        "RatelimitStoreSlow",
        {
            f'ratelimit_store_round_trip_duration_seconds_bucket{{{A},le="0.001"}}': SLOW,
        },
    ),
    Case("RatelimitStoreForgets", {f"ratelimit_store_corrections_lost_total{{{A}}}": burst(50)}),
    Case(
        "RatelimitShedding",
        {
            f'ratelimit_requests_total{{{B},action="refuse",reason="capacity"}}': burst(2000),
            f'ratelimit_load_shed_total{{{B},class="chat",of="likely",mode="enforce"}}': burst(2000),
        },
    ),
    Case("RatelimitLoadAtFloor", {f'ratelimit_load_bound{{{B},on="learned"}}': spell(12, 3)}),
    Case("RatelimitBackEndStill", {f"ratelimit_load_still_seconds{{{B}}}": spell(0.2, 45)}),
    Case("RatelimitReportsStale", {f"ratelimit_load_stale_reports_total{{{A}}}": burst(1)}),
    Case("RatelimitStoreEmptied", {told("store-emptied"): f"0x19 1x{STEPS}"}, during=22, after=80),
    Case("RatelimitCampaign", {told("actor-found"): f"0x19 1x{STEPS}"}, during=22, after=80, what="found"),
    Case("RatelimitCampaign", {told("actor-grew"): f"2x19 3x{STEPS}"}, during=22, after=80, what="grown"),
    Case("RatelimitActorReleased", {told("actor-released"): f"0x19 1x{STEPS}"}, during=22, after=80),
    Case("RatelimitActorsUnlabelled", {f"ratelimit_clusters_unlabelled{{{A}}}": spell(0, 7)}),
    Case(
        "RatelimitEventsLost",
        {f'ratelimit_events_lost_total{{{A},sink="webhook"}}': f"0x19 1x{STEPS}"},
        during=22,
        after=80,
    ),
    Case("RatelimitYoungActor", {f"ratelimit_clusters_young{{{A}}}": spell(0, 1)}),
    Case(
        "RatelimitUsageUnknown",
        {f'ratelimit_settled_total{{{B},certainty="unknown",route="/v1/*"}}': burst(3000)},
        after=300,
    ),
    Case(
        "RatelimitUnitsForgiven",
        {f'ratelimit_forgiven_units_total{{{A},limit="tokens",unit="output_tokens"}}': burst(200)},
        after=300,
    ),
]


def group(case: Case) -> dict[str, object]:
    """Return one group of promtool's tests."""
    series = ({} if not case.alone else healthy()) | dict(case.series)
    looks = [
        {
            # The last matcher does nothing but say in a failure which case it is of.
            "expr": f'count by (alertname) (ALERTS{{alertstate="firing",case!="{case.name}"}})',
            "eval_time": f"{step * case.step_s}s",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in wanted],
        }
        for step, wanted in ((case.during, [case.alert]), (case.after, []))
    ]
    return {
        "interval": f"{case.step_s}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": looks,
    }


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what promtool says of all cases: one run for each interval, as starting it takes long."""
    said = ""
    for step_s in sorted({case.step_s for case in CASES}):
        path = tmp_path_factory.mktemp("rules") / "test.yml"
        groups = [group(case) for case in CASES if case.step_s == step_s]
        # JSON is YAML. Rules are evaluated once a minute, as Prometheus does by itself.
        interval = f"{max(step_s, 60)}s"
        path.write_text(
            json.dumps({"rule_files": [str(RULES)], "evaluation_interval": interval, "tests": groups})
        )
        # It makes much garbage: collecting less often takes a quarter less time and 300 MB.
        ran = subprocess.run(
            [promtool(), "test", "rules", str(path)],
            capture_output=True,
            text=True,
            timeout=280,
            env={**os.environ, "GOGC": "800"},
        )
        output = ran.stdout + ran.stderr
        assert ("SUCCESS" in output) == (ran.returncode == 0), output
        assert ran.returncode == 0 or "case!=" in output, output
        said += output
    return said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_alert_fires_alone_and_ends(case: Case, failures: str) -> None:
    assert f'case!=\\"{case.name}\\"' not in failures, failures


def test_every_alert_has_a_case() -> None:
    assert list(dict.fromkeys(case.alert for case in CASES)) == [rule["alert"] for rule in ALERTS]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_limits_do_and_where_its_runbook_is(rule: dict[str, dict[str, str]]) -> None:
    said = rule["annotations"]
    assert said["summary"].endswith((".", "}}."))
    assert said["description"].endswith(".")
    assert said["stance"].endswith(".")
    assert said["runbook_url"] == f"docs/runbooks.md#{str(rule['alert']).lower()}"
    section = RUNBOOKS.split(f"\n## {rule['alert']}\n")[1].split("\n## ")[0]
    assert "**Means**" in section
    assert "**Do**" in section
    # The page says of the others that every limit stays enforced.
    assert "**Meanwhile**" in section or said["stance"].startswith("Every limit is enforced")
    commands = re.findall(r"^    ratelimit (\w+) (\w+)", section, re.MULTILINE)
    assert all(word in GROUPS[first] if first in GROUPS else first in TOP for first, word in commands)
    assert commands or "journalctl" in section or "timedatectl" in section


def test_inhibition_of_the_page_names_alerts_that_there_are() -> None:
    names = {rule["alert"] for rule in ALERTS}
    block = yaml.safe_load(RUNBOOKS.split("```yaml\n")[1].split("```")[0])
    for inhibition in block["inhibit_rules"]:
        for matcher in (*inhibition["source_matchers"], *inhibition["target_matchers"]):
            pattern = re.fullmatch(r'alertname =~? "(.*)"', matcher)
            assert pattern is not None
            for name in pattern[1].split("|"):
                assert any(re.fullmatch(name, alert) for alert in names), name


def test_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text("utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = [
        {"record": f"panel:{at}", "expr": query.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for at, query in enumerate(queries)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run(
        [promtool(), "check", "rules", str(path)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(queries)} rules found" in ran.stdout
