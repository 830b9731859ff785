"""Faults around an adaptive limit, row by row, in the closed loop and in virtual time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from benchmarks.adaptive.catalogue import BY_NAME, BackEnd
from benchmarks.adaptive.contenders import Fixed
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Loop, Outcome
from benchmarks.adaptive.phases import Phase
from benchmarks.adaptive.poison import NONE, POISONS, Poison
from benchmarks.adaptive.workers import kept_by_workers
from ratelimit.conduct.model.persistence import Persistence
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.settings import Settings
from ratelimit.policy import Policy

SERVER = BY_NAME["two replicas"]
OVERLOAD = (Phase("twice", 40, 2.0),)
POISON = {poison.name: poison for poison in POISONS}
SECOND = 10**9
SEEDS = range(1, 9)


def good(
    poison: Poison = NONE,
    phases: tuple[Phase, ...] = OVERLOAD,
    back_end: BackEnd = SERVER,
    seeds: Iterable[int] = (3,),
) -> int:
    """Return the answers in time of those that are not there to mislead."""
    runs = (Loop(back_end, phases, FirstByte, seed, poison=poison).play() for seed in seeds)
    return sum(phase.good for run in runs for phase in run.phases)


class Refusing(Loop):
    """A back end that answers 503 itself for a while: to all of a second, at once."""

    def _began(self, job: Job, outcome: Outcome, settled: bool) -> None:
        if 10 <= self.timeline.now_ns / SECOND < 11:
            self.admission.failed(job.ticket, self.now_ns())
            return
        super()._began(job, outcome, settled)


def test_fault_58_back_end_that_refuses_is_cut_once_and_one_that_hangs_counts_by_its_age():
    phases = (Phase("steady", 30, 0.8),)
    refusing = Refusing(SERVER, phases, FirstByte, 3).play().phases[0]
    assert refusing.good >= 0.85 * good(phases=phases)
    hanging = (Phase("steady", 10, 0.8), Phase("none", 10, 0.8, capacity=0.0))
    loop = Loop(SERVER, hanging, FirstByte, 3)
    outcome = loop.play().phases[1]
    assert outcome.refused >= 0.8 * outcome.arrived  # without an answer, too


@pytest.mark.parametrize("name", ["short answers", "slow readers", "hang-ups"])
def test_fault_59_clients_that_mislead_move_nothing(name: str):
    """By eight seeds: one run has some hundred answers, and a twentieth more or less of them by chance."""
    poison = POISON[name]
    assert good(poison, seeds=SEEDS) >= (1 - poison.share) * good(seeds=SEEDS) * 0.95


@pytest.mark.parametrize("name", ["a true report", "a lying report", "a frozen report"])
def test_fault_60_report_that_lies_or_freezes_is_a_cap_only(name: str):
    """One that stops is ignored: `test_report_binds_the_room_and_a_stale_one_is_counted_once`."""
    assert good(POISON[name], seeds=SEEDS) >= 0.95 * good(seeds=SEEDS)


def test_fault_61_ordinary_retries_earn_no_strike_and_hammering_does():
    """The clients themselves: `tests/clients/test_retries.py` and `test_served_retries.py`."""

    def strikes(each_s: float, until_s: float) -> int:
        known, count, at_s = Persistence(), 0, 0.0
        while at_s < until_s:
            known, _, struck = known.refuse(int(at_s * SECOND), 10 * SECOND)
            count += struck
            at_s += each_s
        return count

    assert strikes(each_s=10.0, until_s=3600) == 0 == strikes(each_s=1.0, until_s=3600)
    assert strikes(each_s=0.1, until_s=60) > 0


def test_fault_62_floor_above_capacity_is_told():
    warned = Policy.from_toml(
        'version = 1\n[adaptive]\nfirst_byte = "1s"\nin_flight = [200, 200, 400]\n'
    ).warnings
    assert "adaptive-floor" in {warning.code for warning in warned}


def test_fault_62_floor_above_capacity_serves_again_when_the_load_is_less():
    settings = Settings(first_byte_ns=SERVER.target_ns, floor=200, start=200, ceiling=400)
    phases = (Phase("twice", 10, 2.0), Phase("calm", 30, 0.5))
    calm = Loop(SERVER, phases, FirstByte, 3, settings=settings).play().phases[1]
    assert calm.good >= 0.5 * calm.arrived


def test_fault_62_clock_that_jumps_costs_nothing():
    assert good(POISON["clock jumps"]) >= 0.95 * good()


def test_fault_62_workers_restarted_are_still_one_limit():
    """Of eight seeds together: what a killed worker had in flight is some hundred answers of one run."""
    assert kept_by_workers(SERVER, range(1, 9), 2, OVERLOAD, dies_every_s=10) >= 0.9


def test_fault_62_without_samples_nothing_is_turned_away():
    quiet = (Phase("a request a second", 60, 0.05),)
    outcome = Loop(SERVER, quiet, FirstByte, 3).play().phases[0]
    assert outcome.refused == 0 < outcome.good


@pytest.mark.parametrize("target_ns", [BY_NAME["lock convoy"].target_ns, None], ids=["given", "learned"])
def test_fault_88_limit_before_an_engine_that_slows_with_load_grows_no_faster_than_its_evidence(
    target_ns: int | None,
):
    """Hazard: a queue that grows by a half each step: the convoy is past help before a first byte says so."""
    convoy = BY_NAME["lock convoy"]
    phases = (Phase("calm", 10, 0.5), Phase("flash", 12, 3.0), Phase("after", 12, 0.7))
    settings = Settings(first_byte_ns=target_ns, floor=2, start=2)
    run = Loop(convoy, phases, FirstByte, 1, settings=settings, watched=True).play()
    best = Loop(convoy, phases, lambda _: Fixed(4), 1).play()
    bounds = [waiting for _, _, _, waiting in run.curve]  # ten a second
    in_force = bounds if target_ns else [bound for bound in bounds if bound < settings.ceiling]
    later = convoy.target_ns * 10 // SECOND
    assert all(after <= 2 * before + 1 for before, after in zip(in_force, in_force[later:], strict=False))
    calm, flash, after = run.phases
    assert calm.refused == 0  # it is no limit that never grows
    assert max(in_force) >= 4 * settings.start
    assert flash.good >= 0.6 * best.phases[1].good
    assert after.good >= 0.95 * best.phases[2].good
