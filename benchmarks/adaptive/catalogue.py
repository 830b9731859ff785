"""The back ends: what they are made of, what they are asked for, and what they are to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, log
from random import Random

from benchmarks.adaptive.engines.batch import Batch, Model
from benchmarks.adaptive.engines.batches import Batches
from benchmarks.adaptive.engines.engine import Engine
from benchmarks.adaptive.engines.places import Places
from benchmarks.adaptive.engines.pool import Pool
from benchmarks.adaptive.engines.processor import Processor
from benchmarks.adaptive.engines.provider import MANY, Provider
from benchmarks.adaptive.engines.replicas import Replicas
from benchmarks.adaptive.engines.scaled import Scaled
from benchmarks.adaptive.engines.stalling import Stalling
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import SECOND, Timeline


@dataclass(frozen=True, slots=True)
class Mix:
    """What requests ask for. Lengths in tokens, work in milliseconds."""

    prompt_mean: float = 0.0
    prompt_spread: float = 0.6
    answers: tuple[tuple[float, float], ...] = ()  # share, mean
    work_ms: float = 0.0
    work_spread: float = 0.5
    cached: float = 0.0  # share of the prompts of which nine tenths need not be read
    heavy: tuple[float, int, int] = (0.0, 0, 0)  # share of the prompts with a length between two

    def draw(self, random: Random, now_ns: int) -> Job:
        """Return a request."""
        if not self.answers:
            return Job(now_ns, 0, 0, int(_lognormal(random, self.work_ms, self.work_spread) * 1e6))
        prompt = int(_lognormal(random, self.prompt_mean, self.prompt_spread)) + 1
        if self.cached and random.random() < self.cached:
            prompt = 1 + prompt // 10
        share, shortest, longest = self.heavy
        is_heavy = share > 0.0 and random.random() < share
        if is_heavy:
            prompt = random.randint(shortest, longest)
        place = random.random()
        mean = self.answers[-1][1]
        for share, length in self.answers:
            if place < share:
                mean = length
                break
            place -= share
        answer = max(1, int(_lognormal(random, mean, 0.5)))
        thought = int(_lognormal(random, self.work_ms, self.work_spread) * 1e6) if self.work_ms else 0
        return Job(now_ns, prompt if is_heavy else min(prompt, 16_000), min(answer, 8_000), thought)


def _lognormal(random: Random, mean: float, spread: float) -> float:
    return exp(random.gauss(log(mean) - spread * spread / 2, spread))


@dataclass(frozen=True, slots=True)
class BackEnd:
    """One back end.

    Args:
        name: as the tables have it.
        make: builds the engine.
        usual: what is asked for, but in the phase of long answers.
        long: what is asked for then.
        target_ms: the time to the first byte that is to be kept.
        more_ms: so much more a token of the prompt.
        by_work: whether the gateway knows how long a prompt is.
    """

    name: str
    make: Callable[[Timeline], Engine]
    usual: Mix
    long: Mix
    target_ms: float
    more_ms: float = 0.0
    by_work: bool = False

    @property
    def target_ns(self) -> int:
        return int(self.target_ms * 1e6)

    def is_in_time(self, job: Job, took_ns: int) -> bool:
        """Return whether a first byte after so long was soon enough for this request."""
        return took_ns <= (self.target_ms + self.more_ms * job.prompt_tokens) * 1e6


def _chat(prompt: float, short: float, long: float, share: float, spread: float = 0.6) -> Mix:
    return Mix(prompt, spread, ((1 - share, short), (share, long)))


BACK_ENDS = (
    BackEnd(
        "48 slots",
        lambda timeline: Batch(Model(48, 12, 0.35, 8_000), timeline),
        _chat(800, 60, 700, 0.2),
        _chat(800, 60, 700, 0.7),
        1000,
    ),
    BackEnd(
        "96 slots",
        lambda timeline: Batch(Model(96, 20, 0.15, 40_000), timeline),
        _chat(800, 40, 400, 0.2),
        _chat(800, 40, 400, 0.7),
        500,
    ),
    BackEnd(
        "chunked prefill",
        lambda timeline: Batch(Model(64, 15, 0.2, 12_000, chunk_tokens=512), timeline),
        _chat(1200, 100, 500, 0.3),
        _chat(1200, 100, 500, 0.8),
        1500,
    ),
    BackEnd(
        "two replicas",
        lambda timeline: Replicas(Model(32, 10, 0.3, 10_000), 2, timeline),
        _chat(600, 80, 400, 0.25),
        _chat(600, 80, 400, 0.75),
        800,
    ),
    BackEnd(
        "little memory",
        lambda timeline: Batch(
            Model(128, 14, 0.25, 15_000, chunk_tokens=1024, memory_tokens=60_000), timeline
        ),
        _chat(1000, 150, 600, 0.3),
        _chat(1000, 150, 600, 0.8),
        1000,
    ),
    BackEnd(
        "large model",
        lambda timeline: Batch(Model(16, 35, 0.8, 3_000), timeline),
        _chat(500, 100, 300, 0.3),
        _chat(500, 100, 300, 0.8),
        2500,
    ),
    BackEnd(
        "processor",
        lambda timeline: Processor(4, 0.004, timeline),
        Mix(work_ms=120),
        Mix(work_ms=360),
        2000,
    ),
    BackEnd(
        "database pool",
        lambda timeline: Pool(10, 0.02, timeline),
        Mix(work_ms=100, work_spread=0.8),
        Mix(work_ms=300, work_spread=0.8),
        1500,
    ),
)
HELD_OUT = (
    BackEnd(
        "small and quick",
        lambda timeline: Batch(Model(8, 6, 0.5, 20_000), timeline),
        _chat(300, 30, 200, 0.2),
        _chat(300, 30, 200, 0.7),
        400,
    ),
    BackEnd(
        "long prompts",
        lambda timeline: Batch(Model(64, 18, 0.25, 30_000, chunk_tokens=2048), timeline),
        _chat(4_000, 80, 300, 0.3, spread=0.9),
        _chat(4_000, 80, 300, 0.8, spread=0.9),
        3000,
    ),
    BackEnd(
        "four replicas",
        lambda timeline: Replicas(Model(24, 15, 0.4, 12_000), 4, timeline),
        _chat(700, 50, 500, 0.15),
        _chat(700, 50, 500, 0.6),
        1200,
    ),
    BackEnd(
        "16 cores", lambda timeline: Processor(16, 0.001, timeline), Mix(work_ms=60), Mix(work_ms=200), 800
    ),
)
"""Made up when the controller was finished: nothing was tried on these."""
OUTSIDE = (
    BackEnd(
        "prefix cache",
        lambda timeline: Places(24, 3_000, 60, timeline),
        replace(_chat(5_000, 80, 400, 0.2), cached=0.7),
        replace(_chat(5_000, 80, 400, 0.7), cached=0.7),
        4000,
    ),
    BackEnd(
        "remote provider",
        lambda timeline: Provider(12, 0.5, 60, timeline),
        _chat(800, 80, 400, 0.2),
        _chat(800, 80, 400, 0.7),
        2000,
    ),
    BackEnd(
        "thinks first",
        lambda timeline: Places(24, 8_000, 50, timeline),
        replace(_chat(500, 80, 200, 0.2), work_ms=3_000, work_spread=0.9),
        replace(_chat(500, 80, 200, 0.7), work_ms=3_000, work_spread=0.9),
        15_000,
    ),
    BackEnd(
        "batches of 32",
        lambda timeline: Batches(32, 0.2, 0.02, timeline),
        Mix(work_ms=120),
        Mix(work_ms=360),
        3000,
    ),
    BackEnd(
        "handlers",
        lambda timeline: Pool(40, 0.0, timeline),
        Mix(work_ms=500, work_spread=0.3),
        Mix(work_ms=800, work_spread=0.3),
        1500,
    ),
    BackEnd(
        "stalls",
        lambda timeline: Stalling(32, 4_000, 60, 4.0, 0.3, 1.0, timeline),
        _chat(800, 80, 400, 0.2),
        _chat(800, 80, 400, 0.7),
        1000,
    ),
    BackEnd(
        "never full",
        lambda timeline: Places(MANY, 1e9, 60, timeline),
        replace(_chat(1, 80, 200, 0.2), work_ms=700, work_spread=0.9),
        replace(_chat(1, 80, 200, 0.7), work_ms=700, work_spread=0.9),
        2000,
    ),
)
"""Unlike all others, and made up later. Requests side by side, a provider that refuses, batches as one; and
answers that take a third to a half of the target by themselves. *Stalls* stands still now and then.
*Never full* begins all requests at once. There one in 19 is late by itself, one in five at half the speed."""
JUDGES = (
    BackEnd(
        "lock convoy", lambda timeline: Processor(4, 0.06, timeline), Mix(work_ms=60), Mix(work_ms=180), 1000
    ),
    BackEnd(
        "slow provider",
        lambda timeline: Provider(12, 1.5, 60, timeline),
        _chat(800, 80, 400, 0.2),
        _chat(800, 80, 400, 0.7),
        6000,
    ),
    BackEnd(
        "batcher", lambda timeline: Batches(16, 0.5, 0.02, timeline), Mix(work_ms=120), Mix(work_ms=360), 4000
    ),
    BackEnd(
        "heavy prompts",
        lambda timeline: Batch(Model(48, 12, 0.35, 8_000, chunk_tokens=1024), timeline),
        replace(_chat(800, 60, 700, 0.2), heavy=(0.05, 20_000, 40_000)),
        replace(_chat(800, 60, 700, 0.7), heavy=(0.05, 20_000, 40_000)),
        2000,
        1 / 7,
    ),
    BackEnd(
        "heavy, by work",
        lambda timeline: Batch(Model(48, 12, 0.35, 8_000, chunk_tokens=1024), timeline),
        replace(_chat(800, 60, 700, 0.2), heavy=(0.05, 20_000, 40_000)),
        replace(_chat(800, 60, 700, 0.7), heavy=(0.05, 20_000, 40_000)),
        2000,
        1 / 7,
        by_work=True,
    ),
    BackEnd(
        "256 places",
        lambda timeline: Batch(Model(256, 20, 0.1, 40_000), timeline),
        _chat(800, 100, 400, 0.3),
        _chat(800, 100, 400, 0.8),
        800,
    ),
    BackEnd(
        "two places",
        lambda timeline: Places(2, 1.0, 1.0, timeline),
        Mix(work_ms=1500),
        Mix(work_ms=2500),
        8000,
    ),
    BackEnd("one piece", lambda timeline: Pool(24, 0.0, timeline), Mix(work_ms=400), Mix(work_ms=800), 1500),
    BackEnd(
        "shared work", lambda timeline: Processor(8, 0.002, timeline), Mix(work_ms=80), Mix(work_ms=240), 1000
    ),
    BackEnd(
        "autoscaler",
        lambda timeline: Scaled(Model(16, 12, 0.4, 10_000), 3, 20.0, timeline),
        _chat(600, 80, 400, 0.25),
        _chat(600, 80, 400, 0.75),
        1200,
    ),
)
"""Engines that judge: of kinds on which a controller that extrapolates, guesses or counts places fails."""
TAILS = tuple(
    BackEnd(
        name,
        lambda timeline: Batch(Model(48, 12, 0.35, 8_000, chunk_tokens=1024), timeline),
        replace(_chat(800, 60, 700, 0.2), heavy=(0.01, 60_000, 60_000)),
        replace(_chat(800, 60, 700, 0.7), heavy=(0.01, 60_000, 60_000)),
        2000,
        1 / 7,
        by_work=by_work,
    )
    for name, by_work in (("giant prompts", False), ("giants, by work", True))
)
"""One prompt in a hundred has 60,000 tokens: with *heavy prompts* of `JUDGES` the two heavy tails."""
MORE_TAILS = (
    BackEnd(
        "quick reader",
        lambda timeline: Batch(Model(32, 15, 0.3, 15_000, chunk_tokens=2048), timeline),
        replace(_chat(500, 40, 300, 0.2), heavy=(0.03, 15_000, 50_000)),
        replace(_chat(500, 40, 300, 0.65), heavy=(0.03, 15_000, 50_000)),
        1500,
        0.1,
    ),
    BackEnd(
        "unchunked reader",
        lambda timeline: Batch(Model(96, 20, 0.15, 30_000), timeline),
        replace(_chat(1500, 60, 300, 0.3), heavy=(0.08, 30_000, 60_000)),
        replace(_chat(1500, 60, 300, 0.75), heavy=(0.08, 30_000, 60_000)),
        3000,
        0.06,
    ),
    BackEnd(
        "wide reader",
        lambda timeline: Batch(Model(64, 12, 0.25, 20_000, chunk_tokens=1024), timeline),
        replace(_chat(1000, 80, 400, 0.25), heavy=(0.04, 30_000, 80_000)),
        replace(_chat(1000, 80, 400, 0.7), heavy=(0.04, 30_000, 80_000)),
        2500,
        0.08,
    ),
)
"""More heavy tails. Who passes in line was chosen on the first two as well; *wide reader* was held out."""
EVERY = (*BACK_ENDS, *HELD_OUT, *OUTSIDE, *JUDGES, *TAILS, *MORE_TAILS)
BY_NAME = {back_end.name: back_end for back_end in EVERY}

CALIBRATED_S = 60
MORE, NO_MORE = 1.02, 3
"""So many heights in a row that complete no more than the best by this factor end the search."""


@dataclass(frozen=True, slots=True)
class Busy:
    """A back end that always has work.

    Args:
        rate: the requests a second that it completes.
        after_s: how long an answer goes on after its first byte.
    """

    rate: float
    after_s: float


def capacity(name: str, long: bool = False) -> float:
    """Return the requests a second that a back end completes when it always has work."""
    return busy(name, long).rate


@lru_cache(maxsize=64)
def busy(name: str, long: bool = False) -> Busy:
    """Return what a back end does when it always has work.

    The number in flight is held, at each of several heights until more complete no more; the best counts.
    """
    back_end = BY_NAME[name]
    mix = back_end.long if long else back_end.usual
    best, worse = Busy(0.0, 0.0), 0
    for held in (2, 4, 8, 16, 20, 24, 32, 48, 64, 100, 140, 300):
        found = _held(back_end, mix, held)
        worse = 0 if found.rate > MORE * best.rate else worse + 1
        best = max(best, found, key=lambda each: each.rate)
        if worse == NO_MORE:
            break
    return best


def _held(back_end: BackEnd, mix: Mix, held: int) -> Busy:
    timeline = Timeline()
    engine = back_end.make(timeline)
    random = Random(7)
    done = after_ns = 0

    def again(job: Job) -> None:
        nonlocal done, after_ns
        if timeline.now_ns > CALIBRATED_S * SECOND // 2:
            done += 1
            after_ns += timeline.now_ns - job.first_byte_ns
        send()

    def send() -> None:
        job = mix.draw(random, timeline.now_ns)
        job.told_done = again
        job.told_failed = lambda _: send()
        engine.submit(job)

    for _ in range(held):
        send()
    timeline.run(CALIBRATED_S * SECOND)
    return Busy(done / (CALIBRATED_S / 2), after_ns / SECOND / max(1, done))
