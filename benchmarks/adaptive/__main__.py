"""`python -m benchmarks.adaptive`: the table of aims, with hits and misses; `--plots` draws them.

`--real` is a run of processes on loopback instead: a server, a gateway under uvicorn, and callers.
Else everything follows from the seeds, which are printed. The phase of bursts is made up from the seed
unless `--trace` names a file of the Azure public dataset (`azure_conv_2023.csv`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.adaptive.beside import WORLDS, compare
from benchmarks.adaptive.catalogue import BACK_ENDS, BY_NAME, HELD_OUT, JUDGES, OUTSIDE
from benchmarks.adaptive.contenders import CONTENDERS
from benchmarks.adaptive.judging import report_judgement
from benchmarks.adaptive.phases import PHASES
from benchmarks.adaptive.poisoning import lost_to_poison
from benchmarks.adaptive.report import (
    report,
    report_beside,
    report_poison,
    report_settling,
    report_workers,
)
from benchmarks.adaptive.settling import settling
from benchmarks.adaptive.tournament import Tournament
from benchmarks.adaptive.workers import kept_by_workers


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
    chosen = parser.parse_args()
    if chosen.real:
        from benchmarks.adaptive.real.run import MEANS, SHORT
        from benchmarks.adaptive.real.table import print_real

        print_real(chosen.seconds, chosen.seeds, SHORT if chosen.no_peers else MEANS)
        return
    if chosen.judge:
        report_judgement([BY_NAME[name] for name in chosen.engine or ()] or JUDGES, chosen.seeds)
        return
    usual = OUTSIDE if chosen.outside else HELD_OUT if chosen.held_out else BACK_ENDS
    back_ends = [BY_NAME[name] for name in chosen.engine] if chosen.engine else list(usual)
    contenders = CONTENDERS[:1] if chosen.no_peers else CONTENDERS
    tournament = Tournament(back_ends, PHASES, chosen.seeds, chosen.trace)
    tournament.play(contenders)
    print(f"seeds {', '.join(map(str, chosen.seeds))}; trace {chosen.trace or 'made up'}\n")
    report(tournament, contenders)
    report_poison(lost_to_poison(back_ends[0], chosen.seeds))
    report_settling({one.name: settling(one, chosen.seeds, chosen.trace) for one in back_ends})
    report_workers({one.name: kept_by_workers(one, chosen.seeds) for one in back_ends})
    servers = [back_end for back_end in back_ends if back_end.usual.answers and not chosen.outside]
    for loads in WORLDS:
        report_beside({server.name: compare(server, chosen.seeds[0], loads) for server in servers}, loads)
    if chosen.plots:
        from benchmarks.adaptive.plots import draw

        for path in draw(back_ends, chosen.seeds[0], chosen.plots, chosen.trace):
            print(path)


if __name__ == "__main__":
    main()
