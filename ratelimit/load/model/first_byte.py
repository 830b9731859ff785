"""The default controller: it bounds the requests that wait for their first byte.

Theory of operation. A server of a language model works on as many requests as it has places, and the
rest wait. A client feels that wait; how long an answer takes then is the answer's length. So the limit is
on what has no first byte yet. That is the queue, and the first byte is late in proportion to it. Lost
capacity, longer answers and a slow reader change nothing but how fast the queue moves. A limit on all that
is in flight would have to find the places first, and again after each change.

How long the queue may be follows from what a place in it costs (`pressure`): one thing while places are
free (reading prompts), another when all are taken (waiting for one). Late first bytes tell at how many
answers under way the places end.

When places are lost no first byte tells the new cost. So a queue that stands still is shorter at once, by
how long it has stood (`Bounds.patience_ns`). When it moves again, what waited meanwhile says nothing of the
cost. And where it stands still while answers are under way, so many are the places.

Where requests are read side by side, a late first byte may be the request's own work. So a wait counts as
far as the queue explains it: not where many that came later were served before (`Turns`). A time in which
all stood still for once does not count (`Stalls`), nor do the few that hang (`Hanging`).

A queue is there for bursts. Where requests find no room all the time, a long queue answers no more than a
short one, and it stays behind when places are lost. So the aim falls with the time in which requests find
no room (a standing queue, as CoDel has it, RFC 8289). Where little of a wait is in turn, it does not. Nor
does it fall below a request's own work, and where some are late by that alone a lower quantile is steered
(`OwnWork`): no limit makes those sooner, and one that tries ends at its floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, exp, isfinite

from ratelimit.load.model.controller import AnsweredRequest, Bounds, Load
from ratelimit.load.model.hanging import Hanging
from ratelimit.load.model.learned import LearnedTarget
from ratelimit.load.model.pressure import Pressure
from ratelimit.load.model.settings import SECOND_NS, Settings
from ratelimit.load.model.stalls import Stalls
from ratelimit.load.model.turns import Turns
from ratelimit.load.model.work import OwnWork

AIM = 0.75
"""Share of the target that the 95 % quantile is steered to; the rest is for the other 5 %."""
CROWDED_AIM = 0.5
"""Share of the aim that is left where requests find no room all the time."""
CROWDED = 0.8
"""From this share of the time on places that were never known count as taken."""
BEYOND_WORK = 1.25
"""The aim stays at so many times a request's own work."""
MOST_AIM = 0.85
"""And no more of the target than this."""
LITTLE_CROWDED = 0.1
"""From this share of the time on a learned target rises more slowly."""
CROWD_NS = 5 * SECOND_NS
"""About so long requests have to find no room until the aim has fallen."""
SMOOTHING = 0.2
"""Exponent of a step: this share of the way, on a scale of ratios."""
DEEPEST = 0.3
"""A step leaves at least this share."""
GROWTH = 2.0
"""The limit grows by at most this factor in the time of one target: no sooner does a first byte tell
whether that was too much. A back end may get slower with more inside."""
DEEP = 0.5
"""A place that costs this much less or more than thought, as a ratio, begins an epoch."""
WAITED = 0.3
"""A request without a first byte counts as late once it has waited this share of the target."""
BOUND = 0.8
"""The limit is in use from this share on; where it is not, there is no reason to raise it."""
KEEP_NS = 4 * SECOND_NS
KEPT = 20
OLDEST_FREE_NS, OLDEST_FULL_NS = 15 * SECOND_NS, 60 * SECOND_NS
FULL = 0.9
"""From this share of the places on they count as taken."""
PLACES_STEP = 0.25
REFUSED_CUT = 0.7
STEEPEST, FORGOTTEN = 1.5, 0.5
"""After a refusal of the back end's the limit goes back by so much a step, to where it was before. That
fades half as fast as the limit may grow."""
JUMP_NS = 5 * SECOND_NS
"""A clock that goes further between two looks has jumped, or nothing was there to look at."""
MIXED_NS = SECOND_NS // 2
"""One that is behind by less has not: workers read it before they say what they saw."""

PATIENCE = 1.5
"""While the queue stands still, each place in it costs that time at least, divided by this. For first
bytes come at random, and a pause of that much more than the mean is nothing yet."""
STILL = 0.5
"""After this share of the target without a first byte all places are taken."""
OUTAGE = 2.5
"""So many targets without a first byte are an outage, or places that were lost, and begin an epoch."""
SELDOM_NS = 60 * SECOND_NS
"""What comes more often is no outage but how the back end answers."""

SHORTEST = 0.5
"""A queue longer than this part of what may wait is none of the shortest. Else the waits at a limit that is
always reached would be taken for own work. The floor is what is answered in time on the worst day."""

UNDER_WAY = 0.05
"""Where a smaller share of requests finds answers under way, the first byte is the whole answer."""
SEEN = 0.02
"""What one request counts for in that share."""

LONGEST_NS = float(1 << 62)
"""No longer patience is kept: damaged memory may ask for more than 64 bits hold."""

FREE, TAKEN = 0, 1
NEVER = 1 << 32
"""So many answers are never under way."""


class FirstByte:
    """Steers the 95 % quantile of the time to the first byte to a target; or that of `OwnWork.steered`.

    Laws beyond `Controller`'s. With places free it allows what keeps the target then. A cut follows
    from late first bytes or from requests that wait, never from answers that are long. What was
    admitted before a deep cut is late without consequence.
    """

    def __init__(self, settings: Settings, *, aim: float = AIM, smoothing: float = SMOOTHING) -> None:
        self._settings = settings
        self._aim = aim
        self._smoothing = smoothing
        self._learned = LearnedTarget() if settings.first_byte_ns is None else None
        self._queues = [float(settings.start), float(settings.start)]
        self._known = [0.0, 0.0]
        self._pressures = (Pressure(KEEP_NS, KEPT), Pressure(KEEP_NS, KEPT))
        self._turns = Turns()
        self._stalls = Stalls()
        self._work = OwnWork(settings.start, aim)
        self._epochs_ns = [-1, -1]
        self._places = float("inf")
        self._seen_ns = 0
        self._moved_ns = 0
        self._outage_ns = -SELDOM_NS
        self._pressure = 0.0
        self._crowded = 0.0
        self._under_way = 0.0
        self._most_running = 0
        self._stepped_ns = 0
        self._hanging = Hanging()

    @property
    def target_ns(self) -> int:
        return self._settings.first_byte_ns or (self._learned.target_ns if self._learned else 0)

    @property
    def pressure(self) -> float:
        return self._pressure

    @property
    def aim(self) -> float:
        """The part of the target that the 95 % quantile is steered to now."""
        lowered = max(CROWDED_AIM * self._aim, min(MOST_AIM, BEYOND_WORK * self._work.part))
        share = self._crowded * (1.0 if self._is_whole else self._turns.standing)
        return self._aim + share * (lowered - self._aim)

    @property
    def _is_whole(self) -> bool:
        return self._under_way < UNDER_WAY

    @property
    def places(self) -> float | None:
        """The number of answers under way when first bytes became late; None while they never were."""
        return None if self._places == float("inf") else self._places

    def bounds(self) -> Bounds:
        ceiling = self._settings.ceiling
        if not self.target_ns:
            return Bounds(ceiling, ceiling, ceiling)
        free, full = (min(ceiling, max(1, round(queue)) + self._hanging.count) for queue in self._queues)
        full_from = ceil(FULL * self._places) if 1.0 <= self._places < float("inf") else NEVER
        patience_ns = int(self._hanging.patience * PATIENCE * self._aim * self.target_ns)
        if not self._is_whole:
            return Bounds(ceiling, free, full, full_from, patience_ns, int(self.places or 0))
        # Until an answer's own time is over, it is nothing yet that none came.
        patience_ns = max(patience_ns, int(min(free * self._work.part * self.target_ns, LONGEST_NS)))
        # A queue as long as the limit takes what is aimed at. So what takes its own time is that part of it.
        beside = int(free * min(1.0, self._work.part / self.aim))
        return Bounds(ceiling, free, full, full_from, patience_ns, beside=beside)

    def observe(self, answer: AnsweredRequest) -> int:
        self._look_at_clock(answer.first_byte_ns)
        answer = self._hanging.without(answer)
        took_ns = answer.first_byte_ns - answer.admitted_ns
        running = answer.in_flight - answer.unanswered
        if took_ns < 0:
            return FREE
        if self._learned is not None:
            self._learn(self._learned, answer, took_ns)
        if not self.target_ns:
            return FREE
        part = took_ns / self.target_ns
        self._under_way += SEEN * ((running > 0) - self._under_way)
        self._look_at_pause(answer)
        served = self._served(answer, part)
        explained = self._explained(answer, served)
        self._look_at_places(answer, running, explained)
        is_crowded = self._crowded >= CROWDED / 2
        shortest = max(float(self._settings.floor), SHORTEST * self._queues[FREE])
        own = self._own(answer, served, self._state(running))
        self._work.observe(answer.first_byte_ns, answer.unanswered, own, shortest, is_crowded=is_crowded)
        state = self._state(running)
        self._remember(answer, state, part, explained)
        return state

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        self._look_at_clock(now_ns)
        if admitted_ns <= max(self._epochs_ns):
            return
        for state in (FREE, TAKEN):
            self._known[state] = max(self._known[state], self._queues[state])
            self._set(state, REFUSED_CUT * self._queues[state])
            self._epochs_ns[state] = now_ns

    def step(self, now_ns: int, load: Load) -> None:
        self._look_at_clock(now_ns)
        if not self.target_ns:
            self._stepped_ns = now_ns
            return
        passed_ns = min(max(0, now_ns - self._stepped_ns), self.target_ns)
        growth = float(GROWTH ** (passed_ns / self.target_ns))
        running = load.in_flight - load.unanswered
        waiting = self._hanging.look(now_ns, load, self.target_ns, self._turns)
        if waiting and now_ns - max(self._moved_ns, waiting[0][0]) > STILL * self.target_ns:
            self._places = min(self._places, float(max(1, running)))
        here = self._state(running)
        self._look_at_crowd(now_ns, load)
        aim, is_whole, steered = self.aim, self._is_whole, self._work.steered
        for state, oldest_ns in ((FREE, OLDEST_FREE_NS), (TAKEN, OLDEST_FULL_NS)):
            pressure = self._pressures[state]
            pressure.forget(now_ns, oldest_ns)
            ages = self._ages(now_ns, waiting, state) if state == here == TAKEN else ()
            found = pressure.look(
                self._epochs_ns[state], aim, ages, self._queues[state], share=steered, is_whole=is_whole
            )
            if found is None:
                continue
            if state == here:
                self._pressure = found.pressure
            wanted = aim / max(found.cost, 1e-9)
            self._steer(state, found.explained > aim, wanted, now_ns, load, growth if state == here else 1.0)

    def words(self) -> Sequence[float]:
        places = -1.0 if self._places == float("inf") else self._places
        learned = () if self._learned is None else self._learned.words()
        times = (*self._epochs_ns, self._seen_ns, self._moved_ns, self._outage_ns)
        crowd = (self._crowded, self._under_way, self._most_running, self._stepped_ns, self._hanging.count)
        waits = (self._turns.waited, self._turns.in_turn, *self._stalls.words(), *self._work.words())
        return (*self._queues, *times, places, self._pressure, *crowd, *waits, *learned)

    def take_over(self, words: Sequence[float], answers: Iterable[AnsweredRequest]) -> None:
        free, full, free_epoch, full_epoch, seen, moved, outage, places, pressure, *rest = (
            word if isfinite(word) else 0.0 for word in words
        )
        crowded, under_way, most_running, stepped, hang, waited, in_turn, *rest = rest
        stalls, work = rest[: Stalls.WORDS], rest[Stalls.WORDS : Stalls.WORDS + OwnWork.WORDS]
        learned = rest[Stalls.WORDS + OwnWork.WORDS :]
        self._set(FREE, free)
        self._set(TAKEN, full)
        self._epochs_ns = [int(free_epoch), int(full_epoch)]
        self._places = min(places, float(NEVER)) if places >= 0 else float("inf")
        self._pressure = max(0.0, pressure)
        self._crowded, self._under_way = min(max(crowded, 0.0), 1.0), min(max(under_way, 0.0), 1.0)
        self._most_running, self._stepped_ns = int(min(max(most_running, 0.0), NEVER)), int(stepped)
        self._hanging.take_over(hang)
        self._seen_ns, self._moved_ns, self._outage_ns = int(seen), int(moved), int(outage)
        if self._learned is not None:
            self._learned.take_over(learned[: LearnedTarget.WORDS])
        for kept in self._pressures:
            kept.clear()
        self._turns.take_over(waited, in_turn)
        self._stalls.take_over(stalls)
        self._work.take_over(work)
        for answer in answers:
            self._recall(answer)

    def _served(self, answer: AnsweredRequest, part: float) -> float:
        """Return a wait without the time in which all stood still for once."""
        stood_ns = self._stalls.within(answer.admitted_ns, answer.first_byte_ns)
        return max(0.0, part - stood_ns / self.target_ns)

    def _own(self, answer: AnsweredRequest, part: float, state: int) -> float:
        """Return what of a wait may be the request's own work.

        In a line that is one place of all there were. None where all places are taken: it waited for one.
        """
        line = 0.0 if self._is_whole else self._turns.stood
        return part * (1.0 - line + (line / max(1, answer.unanswered) if state == FREE else 0.0))

    def _explained(self, answer: AnsweredRequest, part: float) -> float:
        """Return how much of a wait the queue explains; all where the first byte is the whole answer."""
        turn = self._turns.observe(answer.admitted_ns, answer.first_byte_ns, answer.unanswered, part)
        return part if self._is_whole else part * turn

    def _remember(self, answer: AnsweredRequest, state: int, part: float, explained: float) -> None:
        kept = self._pressures[state]
        kept.add(answer.admitted_ns, answer.first_byte_ns, part, explained, answer.unanswered)

    def _recall(self, answer: AnsweredRequest) -> None:
        """Take what another has observed; its words have what followed from it."""
        answer = self._hanging.without(answer)
        took_ns = answer.first_byte_ns - answer.admitted_ns
        if took_ns < 0 or not self.target_ns:
            return
        self._turns.recall(answer.first_byte_ns)
        part = took_ns / self.target_ns
        turn = 1.0 if self._is_whole else self._turns.explained(answer.admitted_ns, answer.unanswered, came=1)
        self._remember(answer, min(answer.mark, TAKEN), part, self._served(answer, part) * turn)

    def _steer(
        self, state: int, is_late: bool, wanted: float, now_ns: int, load: Load, growth: float
    ) -> None:
        queue = self._queues[state]
        factor = (wanted / queue) ** self._smoothing
        if wanted < queue:
            if is_late:
                self._set(state, queue * max(DEEPEST, factor))
                if wanted < DEEP ** (1 / self._smoothing) * queue:
                    self._epochs_ns[state] = now_ns
        elif growth > 1.0 and (
            load.turned_away or load.most_unanswered - self._hanging.count >= BOUND * queue
        ):
            most = max(queue * growth, min(queue * STEEPEST, self._known[state]))
            self._known[state] *= growth**-FORGOTTEN
            self._set(state, min(queue * factor, most))

    def _learn(self, learned: LearnedTarget, answer: AnsweredRequest, took_ns: int) -> None:
        """Learn a target. What waited before there was one was in use: the limit goes on from there."""
        was_learned, is_crowded = learned.is_learned, self._crowded >= LITTLE_CROWDED
        floor = self._settings.floor
        learned.observe(answer.first_byte_ns, took_ns, answer.unanswered, floor, is_crowded=is_crowded)
        if not was_learned:
            for state in (FREE, TAKEN):
                self._set(state, max(self._queues[state], float(answer.unanswered)))

    def _set(self, state: int, queue: float) -> None:
        self._queues[state] = min(max(queue, 1.0), float(self._settings.ceiling))

    def _state(self, running: int) -> int:
        """Return TAKEN or FREE. Places are never known where the first byte is the whole answer."""
        return TAKEN if self._places >= 1.0 and running >= FULL * self._places else FREE

    def _ages(
        self, now_ns: int, waiting: Sequence[tuple[int, int]], state: int
    ) -> Iterator[tuple[float, float, int]]:
        """Yield what has waited long already: it will be at least so late."""
        target_ns = self.target_ns
        for since_ns, queue in waiting:
            age_ns = now_ns - since_ns
            if age_ns > WAITED * target_ns and since_ns > self._epochs_ns[state]:
                part = age_ns / target_ns
                turn = 1.0 if self._is_whole else self._turns.explained(since_ns, queue)
                yield part, part * turn, max(1, queue)

    def _look_at_places(self, answer: AnsweredRequest, running: int, part: float) -> None:
        """Learn from a first byte with so many answers under way how many places there are."""
        self._most_running = max(self._most_running, running) if self._crowded >= CROWDED / 2 else 0
        counts = answer.admitted_ns > self._epochs_ns[FREE]
        if part > self._aim and counts:
            if self._places == float("inf"):
                self._places = float(running)
            elif running < self._places:
                self._places += PLACES_STEP * (running - self._places)
        elif self._places == float("inf"):
            # Where all that finds room is soon enough, hardly anything is late: the most there was will do.
            if self._crowded > CROWDED and part > self.aim and counts and running:
                self._places = float(self._most_running)
        elif running > self._places and part < self._aim:
            self._places = float(running)

    def _look_at_crowd(self, now_ns: int, load: Load) -> None:
        """Follow the share of the time in which requests find no room."""
        went_ns = min(max(0, now_ns - self._stepped_ns), SECOND_NS)
        self._stepped_ns = now_ns
        self._crowded += (1.0 - exp(-went_ns / CROWD_NS)) * ((load.turned_away > 0) - self._crowded)

    def _look_at_pause(self, answer: AnsweredRequest) -> None:
        """Take the pause that a first byte ends. After an outage what was admitted before says nothing."""
        now_ns = answer.first_byte_ns
        began_ns = max(self._moved_ns, answer.admitted_ns)
        self._stalls.observe(began_ns, now_ns, int(WAITED * self.target_ns), self.target_ns)
        stood_ns = now_ns - began_ns
        if stood_ns > OUTAGE * self.target_ns and now_ns - self._outage_ns > SELDOM_NS:
            self._epochs_ns = [now_ns, now_ns]
            self._outage_ns = now_ns
        self._moved_ns = max(self._moved_ns, now_ns)

    def _look_at_clock(self, now_ns: int) -> None:
        """After a jump, what was admitted before says nothing."""
        if 0 < self._seen_ns - now_ns <= MIXED_NS:
            return
        if not 0 <= now_ns - self._seen_ns <= JUMP_NS:
            self._epochs_ns = [now_ns - 1, now_ns - 1]
            for pressure in self._pressures:
                pressure.clear()
            self._turns.clear()
            self._stalls.clear()
            self._moved_ns = now_ns
            self._outage_ns = min(self._outage_ns, now_ns)
        self._seen_ns = now_ns
