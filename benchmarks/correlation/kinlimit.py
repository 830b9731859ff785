"""The library itself, as people run it: `ratelimit replay` with a policy file.

The trace goes through a pipe and the decisions come back in a file; nothing of the
truth goes along. A replay that knows no `--no-correlation` cannot correlate either, and
says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.correlation.contender import NONE, Outcome
from benchmarks.correlation.numbers import Ints
from benchmarks.correlation.trace import Trace
from benchmarks.correlation.written import account_name, lines

POLICY = Path(__file__).absolute().parents[2] / "examples" / "llm-api" / "policy.toml"
_REFUSED = b'"refuse"'
_CLUSTER = re.compile(rb'"cluster":\s*"([^"]+)"')
_VERDICT = re.compile(rb'"verdict":\s*(?:"(likely|certain)"|null)')
_GRADES = {None: 0, b"likely": 1, b"certain": 2}


class Kinlimit:
    """Runs a policy over traces.

    Args:
        policy: its file; the one shipped for an LLM API by default.
        name: in results.
        tuning: the numbers of its file of tuning, of which it has none itself.
    """

    def __init__(self, policy: Path = POLICY, name: str = "kinlimit", tuning: str = "") -> None:
        self.name = name
        self._policy = policy
        self._tuning = tuning

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides."""
        return self._replay(trace, correlate=True)

    def control(self, trace: Trace) -> Outcome:
        """Return what the same policy decides without correlation."""
        return self._replay(trace, correlate=False)

    def _replay(self, trace: Trace, *, correlate: bool) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="kinlimit-correlation-") as folder:
            decisions, clusters = Path(folder, "decisions.ndjson"), Path(folder, "clusters.json")
            policy = self._policy
            if self._tuning:
                policy = Path(folder, policy.name)
                Path(folder, "tuning.toml").write_text(f"{self._tuning}\n")
                text = self._policy.read_text()
                policy.write_text(text.replace("version = 1\n", 'version = 1\ntuning = "tuning.toml"\n', 1))
            command = [
                sys.executable,
                "-c",
                "from ratelimit.cli.main import main; main()",
                "replay",
                str(policy),
                "-",
                "--format",
                "ndjson",
                "--decisions",
                str(decisions),
                "--no-progress",
                "--json",
            ]
            command += ["--clusters", str(clusters), "--reveal"] if correlate else ["--no-correlation"]
            with (
                Path(folder, "summary.json").open("w+b") as out,
                Path(folder, "complaints.txt").open("w+b") as err,
            ):
                running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=err)
                assert running.stdin is not None
                # A child that ends early has said why.
                with suppress(BrokenPipeError):
                    running.stdin.writelines(lines(trace))
                with suppress(BrokenPipeError):
                    running.stdin.close()
                _, status, used = os.wait4(running.pid, 0)
                running.returncode = os.waitstatus_to_exitcode(status)
                if running.returncode:
                    err.seek(0)
                    raise RuntimeError(f"ratelimit replay failed: {err.read().decode(errors='replace')}")
            # The child's own time: writing the trace is not the library's work, but reading it is.
            seconds = used.ru_utime + used.ru_stime
            cost = {
                "replay seconds": seconds,
                "replay requests a second": len(trace) / max(seconds, 1e-9),
                "replay MiB": used.ru_maxrss / 1024,
            }
            return _read(trace, decisions, clusters if correlate else None, cost)


def _read(trace: Trace, decisions: Path, clusters: Path | None, cost: dict[str, float]) -> Outcome:
    """Return an outcome as the replay's files tell it."""
    admitted = np.ones(len(trace), dtype=bool)
    cluster = np.full(len(trace), NONE)
    verdict: Ints | None = None
    numbers: dict[bytes, int] = {}
    count = 0
    with decisions.open("rb") as file:
        for row, line in enumerate(file):
            count = row + 1
            if _REFUSED in line:
                admitted[row] = False
            found = _CLUSTER.search(line)
            if found is not None:
                cluster[row] = numbers.setdefault(found[1], len(numbers))
            said = _VERDICT.search(line)
            if said is not None:
                # A replay that knows no verdicts says none: each of its clusters is certain.
                verdict = np.zeros(len(trace), dtype=np.int64) if verdict is None else verdict
                verdict[row] = _GRADES[said[1]]
    if count != len(trace):
        raise AssertionError(f"{count} decisions for {len(trace)} requests")
    final = _last(trace, cluster)
    if clusters is not None:
        final = _members(trace, json.loads(clusters.read_text()), numbers, final)
    return Outcome(admitted, cluster, final, cost=cost, verdict=verdict)


def _last(trace: Trace, cluster: Ints) -> Ints:
    """Return the cluster of each account's last request."""
    final = np.full(trace.accounts, NONE)
    final[trace.account] = cluster  # of repeated rows the last one stays
    return final


def _members(trace: Trace, report: dict[str, object], numbers: dict[bytes, int], last: Ints) -> Ints:
    """Return the cluster of each account as the report has it; its last one if that tells hashes only."""
    names = {account_name(number): number for number in np.unique(trace.account).tolist()}
    final = np.full(trace.accounts, NONE)
    known = False
    for entry in report["clusters"]:  # type: ignore[attr-defined]
        label = numbers.setdefault(str(entry["id"]).encode(), len(numbers))
        for member in entry["members"]:
            name = member if isinstance(member, str) else member.get("name", "")
            if name in names:
                final[names[name]] = label
                known = True
    return final if known or not report["clusters"] else last
