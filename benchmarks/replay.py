"""The speed of a replay: recorded requests decided a second.

A generated NDJSON trace (20,000 accounts, a few of them eager) under a policy of three
limits, read, decided and counted as `ratelimit replay` does it; once more with a line
of NDJSON written for each decision. One core; the progress bar is off. Then a campaign
among people (`benchmarks.correlation.families`, the world *base*) under the policy of
`examples/llm-api`, with correlation and without. With `--data`, recorded traces as well.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from pathlib import Path

from benchmarks.report import Answer, Row, number
from benchmarks.scenarios import requests, write_trace
from benchmarks.settings import Settings
from ratelimit.clock import ManualClock
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import open_reader
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store

NAME = "replay"
AIM = 300.0
LLM_API = Path(__file__).absolute().parents[1] / "examples" / "llm-api" / "policy.toml"
POLICY = """\
version = 1

[identities]
account = { from = "header:x-api-key" }
ip      = { from = "client" }
network = { from = "client/24/48" }

[[limit]]
name  = "requests"
match = "POST /v1/*"
per   = "account"
rate  = "50/minute"
burst = 20

[[limit]]
name = "address"
per  = "ip"
rate = "600/hour"
algorithm = "sliding-window"

[[limit]]
name = "network"
per  = "network"
rate = "100000/day"
algorithm = "fixed-window"
"""
ONLY_WINDOWS = """\
version = 1

[identities]
account = { from = "header:x-api-key" }

[[limit]]
name = "requests"
per  = "account"
rate = "20/minute"
algorithm = "fixed-window"
"""
ADDRESSES = """\
version = 1

[identities]
ip      = { from = "client" }
network = { from = "client/24/48" }
agent   = { from = "header:user-agent" }

[[limit]]
name = "address"
per  = "ip"
rate = "60/minute"

[[limit]]
name = "network"
per  = "network"
rate = "600/minute"

[[limit]]
name = "agent"
per  = ["network", "agent"]
rate = "300/minute"
"""


def answer(settings: Settings) -> Answer:
    """Time replays of one trace."""
    found = Answer(NAME, f"{settings.trace_lines:,} recorded requests, three limits: how many a second?")
    trace = settings.scratch / "trace.ndjson"
    size = write_trace(trace, settings.trace_lines)
    try:
        _check_exact(trace)
        found.columns = ("trace", "requests", "refused", "thousand requests a second")
        for title, output, aim in (
            ("", None, AIM),
            (", decisions written", settings.scratch / "decisions.ndjson", None),
        ):
            replays = [_replay(POLICY, trace, output) for _ in range(2 if settings.quick else 5)]
            rate = statistics.median(rate for _, rate in replays)
            found.rows.append(Row(f"three limits{title}", rate, "thousand/s", aim, more_is_better=True))
            found.measured.append(_measured(f"generated{title}", replays[0][0], rate))
    finally:
        trace.unlink()
    found.notes.append(f"{size / settings.trace_lines:.0f} bytes a line")
    _correlated(found, settings)
    for path in _recorded(settings.data):
        replay, rate = _replay(ADDRESSES, path, None)
        found.measured.append(_measured(path.name, replay, rate))
    return found


def _correlated(found: Answer, settings: Settings) -> None:
    """Time replays of a campaign among people under the policy for an LLM API."""
    try:
        from benchmarks.correlation.families.catalogue import NAMED
        from benchmarks.correlation.families.world import LARGE, SMALL
        from benchmarks.correlation.written import write
    except ModuleNotFoundError as error:
        found.notes.append(f"not measured with correlation: {error.name} is not installed")
        return
    trace = settings.scratch / "campaign.ndjson"
    write(NAMED["base"].world(1, SMALL if settings.quick else LARGE).trace, trace)
    policy = LLM_API.read_text()
    turns = range(2 if settings.quick else 5)
    try:
        # In turn, so that both see the same machine.
        pairs = [
            [_replay(policy, trace, None, correlates=correlates) for correlates in (True, False)]
            for _ in turns
        ]
    finally:
        trace.unlink()
    for at, (title, aim) in enumerate((("correlation", AIM), ("correlation off", None))):
        rate = statistics.median(pair[at][1] for pair in pairs)
        found.rows.append(Row(f"examples/llm-api, {title}", rate, "thousand/s", aim, more_is_better=True))
        found.measured.append(_measured(f"campaign among people, {title}", pairs[0][at][0], rate))


def _measured(title: str, replay: Replay, rate: float) -> tuple[str, str, str, str]:
    return title, f"{replay.requests:,}", f"{replay.refused:,}", number(rate)


def _replay(
    policy: str, trace: Path, output: Path | None, *, correlates: bool = True
) -> tuple[Replay, float]:
    """Return a finished replay, and its thousand requests a second."""
    loaded = Policy.from_toml(policy)
    file = output.open("wb") if output is not None else None
    begin = time.process_time()
    replay = Replay(
        loaded.compiled,
        lambda now_ns: private_store(loaded, ManualClock(now_ns)),
        None if file is None else file.write,
        correlates=correlates,
    )
    for batch in open_reader(str(trace), replay.fields, format="auto"):
        replay.take(batch)
    taken_s = time.process_time() - begin
    replay.close()
    if file is not None and output is not None:
        file.close()
        written = output.read_bytes().count(b"\n")
        output.unlink()
        if written != replay.requests:
            raise AssertionError(f"{written} decisions for {replay.requests} requests")
    return replay, replay.requests / taken_s / 1000


def _check_exact(trace: Path) -> None:
    """Raise unless fixed windows refuse what counting by hand refuses."""
    seen: Counter[tuple[str, int]] = Counter()
    refused = 0
    for request in requests(trace):
        window = request["account"], int(float(request["time"])) // 60
        seen[window] += 1
        refused += seen[window] > 20
    replay, _ = _replay(ONLY_WINDOWS, trace, None)
    if replay.refused != refused:
        raise AssertionError(f"the replay refuses {replay.refused}, by hand it is {refused}")


def _recorded(data: Path | None) -> list[Path]:
    """Return the access logs and request traces of a folder."""
    if data is None:
        return []
    return sorted(path for path in data.rglob("*") if path.suffix in (".log", ".ndjson"))
