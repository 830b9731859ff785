"""`python -m benchmarks.adaptive`: the table of aims, with hits and misses; `--plots` draws them.

`--real` is a run of processes on loopback instead: a server, a gateway under uvicorn, and callers.
Else everything follows from the seeds, which are printed. The phase of bursts is made up from the seed
unless `--trace` names a file of the Azure public dataset (`azure_conv_2023.csv`).
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from benchmarks.adaptive.beside import WORLDS, Beside, compare
from benchmarks.adaptive.catalogue import BACK_ENDS, BY_NAME, HELD_OUT, JUDGES, OUTSIDE, BackEnd
from benchmarks.adaptive.conduct import report_conduct
from benchmarks.adaptive.contenders import CONTENDERS
from benchmarks.adaptive.cost import report_cost
from benchmarks.adaptive.judging import report_hosts, report_judgement
from benchmarks.adaptive.obeying import report_obeying
from benchmarks.adaptive.phases import PHASES
from benchmarks.adaptive.poisoning import lost_to_poison
from benchmarks.adaptive.report import (
    report,
    report_beside,
    report_poison,
    report_settling,
    report_workers,
)
from benchmarks.adaptive.settling import Settling, settling
from benchmarks.adaptive.spread import spread, usual_jobs
from benchmarks.adaptive.tails import report_tails
from benchmarks.adaptive.tournament import Tournament
from benchmarks.adaptive.workers import kept_by_workers

BEFORE = [
    BY_NAME[name]
    for name in ("48 slots", "chunked prefill", "small and quick", "processor", "one piece", "256 places")
]
"""Engines that `--hosts` plays."""
PARTS = ("tables", "poison", "settling", "workers", "classes")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptive", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="Default: 1 2.")
    parser.add_argument("--engine", action="append", choices=sorted(BY_NAME), help="Only these; repeatable.")
    parser.add_argument("--held-out", action="store_true", help="Engines that nothing was tried on.")
    parser.add_argument("--outside", action="store_true", help="Engines of other kinds, made up last.")
    parser.add_argument(
        "--judge", action="store_true", help="Engines that judge, and nothing else; a minute or two."
    )
    parser.add_argument("--trace", type=Path, help="A trace of the Azure public dataset, for the bursts.")
    parser.add_argument("--plots", type=Path, help="Folder to draw limit, in flight and first byte in.")
    parser.add_argument("--real", action="store_true", help="Real processes, and nothing in virtual time.")
    parser.add_argument("--seconds", type=int, default=24, help="Length of each run of --real. Default: 24.")
    parser.add_argument("--no-peers", action="store_true", help="The default controller alone.")
    parser.add_argument("--only", action="append", choices=PARTS, help="Only these parts; repeatable.")
    parser.add_argument("--jobs", type=int, default=usual_jobs(), help="Processes. Default: one a processor.")
    parser.add_argument("--hosts", action="store_true", help="One host and twelve before one engine, alone.")
    parser.add_argument("--tails", action="store_true", help="Long prompts among short ones, alone.")
    parser.add_argument(
        "--obeying", action="store_true", help="Callers that wait as long as `Retry-After` says, alone."
    )
    parser.add_argument("--conduct", action="store_true", help="Calls through refusals, alone.")
    parser.add_argument("--cost", action="store_true", help="Instructions of a request, alone.")
    chosen = parser.parse_args()
    if chosen.cost:
        report_cost()
        return
    if chosen.conduct:
        report_conduct()
        return
    if chosen.obeying:
        report_obeying(chosen.engine or (), chosen.seeds, chosen.jobs)
        return
    if chosen.tails:
        report_tails(chosen.engine or (), chosen.seeds, chosen.jobs)
        return
    if chosen.hosts:
        report_hosts([BY_NAME[name] for name in chosen.engine or ()] or BEFORE, chosen.seeds, chosen.jobs)
        return
    if chosen.real:
        from benchmarks.adaptive.real.run import MEANS, SHORT
        from benchmarks.adaptive.real.table import print_real

        print_real(chosen.seconds, chosen.seeds, SHORT if chosen.no_peers else MEANS)
        return
    if chosen.judge:
        named = [BY_NAME[name] for name in chosen.engine or ()] or JUDGES
        report_judgement(named, chosen.seeds, chosen.jobs)
        return
    usual = OUTSIDE if chosen.outside else HELD_OUT if chosen.held_out else BACK_ENDS
    back_ends = [BY_NAME[name] for name in chosen.engine] if chosen.engine else list(usual)
    print(f"seeds {', '.join(map(str, chosen.seeds))}; trace {chosen.trace or 'made up'}\n")
    _print_parts(chosen, back_ends, chosen.only or PARTS)
    if chosen.plots:
        from benchmarks.adaptive.plots import draw

        for path in draw(back_ends, chosen.seeds[0], chosen.plots, chosen.trace):
            print(path)


def _print_parts(
    chosen: argparse.Namespace, back_ends: list[BackEnd], parts: list[str] | tuple[str, ...]
) -> None:
    seeds, jobs, names = chosen.seeds, chosen.jobs, [back_end.name for back_end in back_ends]
    if "tables" in parts:
        contenders = CONTENDERS[:1] if chosen.no_peers else CONTENDERS
        tournament = Tournament(back_ends, PHASES, seeds, chosen.trace)
        tournament.play(contenders, jobs)
        report(tournament, contenders)
    if "poison" in parts:
        report_poison(lost_to_poison(back_ends[0], seeds))
    if "settling" in parts:
        settled = spread(partial(_settling, seeds, chosen.trace), names, "settling", jobs)
        report_settling(dict(zip(names, settled, strict=True)))
    if "workers" in parts:
        report_workers(dict(zip(names, spread(partial(_kept, seeds), names, "workers", jobs), strict=True)))
    servers = [one.name for one in back_ends if one.usual.answers and not chosen.outside]
    if "classes" in parts:
        worlds = [(name, loads, seed) for loads in WORLDS for name in servers for seed in seeds]
        found = dict(zip(worlds, spread(_compare, worlds, "classes", jobs), strict=True))
        for loads in WORLDS:
            for seed in seeds:
                print(f"\nSeed {seed}:", end="")
                report_beside({name: found[name, loads, seed] for name in servers}, loads)


def _settling(seeds: list[int], trace: Path | None, name: str) -> Settling:
    return settling(BY_NAME[name], seeds, trace)


def _kept(seeds: list[int], name: str) -> float:
    return kept_by_workers(BY_NAME[name], seeds)


def _compare(world: tuple[str, tuple[float, ...], int]) -> Beside:
    name, loads, seed = world
    return compare(BY_NAME[name], seed, loads)


if __name__ == "__main__":
    main()
