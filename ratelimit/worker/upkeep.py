"""Upkeep between requests: heartbeats, a look at memory and policy file, correlating.

Threads of their own, not tasks. A blocked event loop must not let this worker's concurrency
slots lapse, and compiling a policy must not block the event loop. They start
with the first scope a worker sees, so after the server has forked, and end with the
lifespan, the limiter or the process.

Without a thread (a limiter by itself, virtual time) decisions do what is due, by
`Runtime.keep_up`; a worker without requests has only its thread.

Correlating has its own, because it looks into its ring much more often than a policy file
is looked at. It works in slices, mostly without the interpreter's lock, and after each one
lets a thread that waits for that lock have it. To get it back beside a busy event loop, it asks
the main thread for it: pauses are those of a `PromptEvent`.
"""

from __future__ import annotations

import os
import weakref
from threading import Lock, Thread

from ratelimit.allowance.following import RecordsFollower
from ratelimit.allowance.keeping import RecordsKeeper
from ratelimit.budgets.following import BudgetFollower
from ratelimit.conduct.following import ConductFollower
from ratelimit.core.threads.event import PromptEvent
from ratelimit.limiter import Limiter
from ratelimit.load.compile import loads_of
from ratelimit.load.following import HostsFollower, is_shared
from ratelimit.load.reports import ASK_S, EngineReports
from ratelimit.policy.change import fingerprint
from ratelimit.stores.embedded.folder import LEAST_FREE, free_bytes
from ratelimit.worker.acts import LOOK_S, ActFollower
from ratelimit.worker.diagnostics import log
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch

LOOKS = 3
"""How many looks in a row have to find no policy file."""
ASKER, ASKER_S = "ratelimit-engines", 5.0
"""The thread that asks the servers behind, and how long its end is waited for."""
BEAT_S = 2.0
"""The longest time between two signs of life of this worker. Slots with a lease below that lapse between."""
CORRELATE_S = 0.1
"""The pause between looks into the ring of observations,"""
BREATH_S = 0.0005
"""and the pause between slices of longer work."""


class Upkeep:
    """Looks after one limiter, every two seconds or more often.

    Args:
        limiter: the one to keep up.
        interval_s: how often the policy file is looked at; a changed one is in force that long after
            at most. 0 for never.
    """

    def __init__(self, limiter: Limiter, interval_s: float) -> None:
        self._limiter = limiter
        self._pause_s = min(interval_s, BEAT_S) if interval_s > 0 else BEAT_S
        self._looks_each = round(interval_s / self._pause_s)
        """The file is looked at with each of so many ticks; 0: with none."""
        self._lock = Lock()
        self._ended = PromptEvent()
        self._thread: Thread | None = None
        self._pid = 0
        self._users = 0
        self._gone = 0
        self._correlator: Thread | None = None
        self._follower: Thread | None = None
        self._asker: Thread | None = None
        self._speaker: Thread | None = None
        _ALL.add(self)

    @property
    def is_running(self) -> bool:
        """True if the thread is alive in this process: threads do not survive a fork."""
        return self._thread is not None and self._pid == os.getpid() and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread in this process, unless it runs; `stop` once for each start."""
        with self._lock:
            self._users = self._users + 1 if self._pid == os.getpid() else 1
            if self.is_running:
                return
            self._ended = PromptEvent()
            self._pid = os.getpid()
            self._thread = Thread(
                target=_run,
                args=(weakref.ref(self), self._ended, self._pause_s),
                name="ratelimit-upkeep",
                daemon=True,
            )
            self._limiter.runtime.pace.is_kept_up = True
            self._thread.start()
            self._start_correlating(self._ended)
            self._start_asking(self._ended)
            self._start_speaking(self._ended)
            follower = ActFollower(self._limiter.store.place)
            follower.begin(self._limiter)
            settings = self._limiter.policy.file.events
            reporter = Reporter(self._limiter.store.place, settings)
            self._follower = Thread(
                target=_follow,
                args=(weakref.ref(self), follower, reporter, self._ended),
                name="ratelimit-acts",
                daemon=True,
            )
            self._follower.start()

    def stop(self) -> None:
        """End the thread and wait for it, unless others have started it as well."""
        with self._lock:
            self._users = max(self._users - 1, 0)
            if self._users:
                return
            threads = (self._thread, self._correlator, self._follower, self._asker, self._speaker)
            self._thread = self._correlator = self._follower = self._asker = self._speaker = None
            self._ended.set()
        for thread in threads:
            if thread is not None and thread.is_alive():
                # A server behind that sends a header without an end keeps its thread, and nothing else.
                thread.join(ASKER_S if thread.name == ASKER else None)
        self._limiter.runtime.pace.is_kept_up = False
        clustering = self._limiter.clustering
        if clustering is not None:
            clustering.is_kept_up = False
            clustering.resign(self._limiter.now_ns())

    def tick(self, *, reads_policy: bool = True) -> None:
        """Do once what is to be done; `reads_policy`: look at the policy file, too."""
        now_ns = self._limiter.now_ns()
        self._limiter.renew()
        self._limiter.runtime.heartbeat(now_ns)
        if reads_policy:
            self._limiter.reload_if_changed()
            self._look_for_file()
        self._limiter.runtime.generation_at(now_ns)
        self._look_for_room()

    def _look_for_room(self) -> None:
        """Say that shared memory has no room: what is there goes on, and nothing can take its place."""
        place = self._limiter.store.place
        free = None if place is None else free_bytes(place.parent)
        if place is not None and free is not None and free < LEAST_FREE:
            self._limiter.runtime.diagnose("memory-full", about=f"`{place.parent}`")

    def _look_for_file(self) -> None:
        """Say that the policy file is gone, if it is for longer than an editor takes to replace it."""
        policy = self._limiter.policy
        is_gone = policy.path is not None and fingerprint(policy.path) is None
        self._gone = self._gone + 1 if is_gone else 0
        if self._gone == LOOKS:
            self._limiter.runtime.diagnose("policy-gone", about=f"`{policy.path}`")

    def _tick_once(self, number: int, ended: PromptEvent) -> bool:
        """Tick for the time of this number; return whether there is a limiter to go on with."""
        if self._limiter.table.closed:
            return False
        try:
            self.tick(reads_policy=self._looks_each > 0 and number % self._looks_each == 0)
            with self._lock:
                if self._limiter.clustering is not None:
                    self._start_correlating(ended)
                self._start_asking(ended)
                self._start_speaking(ended)
        except Exception:
            # Heartbeats must go on: without them this worker's slots lapse.
            log.exception("the upkeep of a limiter failed and is tried again")
        return True

    def _start_correlating(self, ended: PromptEvent) -> None:
        """Start the other thread if there is something to correlate: a reload may have asked for it."""
        is_running = self._correlator is not None and self._correlator.is_alive()
        if self._limiter.clustering is None or is_running or ended.is_set():
            return
        self._correlator = Thread(
            target=_correlate, args=(weakref.ref(self), ended), name="ratelimit-correlator", daemon=True
        )
        self._correlator.start()

    def _start_asking(self, ended: PromptEvent) -> None:
        """Start the thread that asks the servers behind, if a policy names any: a reload may have."""
        names_pages = any(spec.reports for spec in loads_of(self._limiter.policy.compiled))
        is_running = self._asker is not None and self._asker.is_alive()
        if not names_pages or is_running or ended.is_set():
            return
        self._asker = Thread(target=_ask_engines, args=(weakref.ref(self), ended), name=ASKER, daemon=True)
        self._asker.start()

    def _start_speaking(self, ended: PromptEvent) -> None:
        """Start the thread that shares limits with other hosts: a reload may have asked for it."""
        is_running = self._speaker is not None and self._speaker.is_alive()
        if not is_shared(self._limiter) or is_running or ended.is_set():
            return
        self._speaker = Thread(
            target=_speak, args=(weakref.ref(self), ended), name="ratelimit-hosts", daemon=True
        )
        self._speaker.start()

    def _correlate_once(self) -> float | None:
        """Do a slice of correlating; return the pause until the next in seconds, None for no next."""
        clustering = self._limiter.clustering
        if clustering is None or self._limiter.table.closed:
            return None
        clustering.is_kept_up = True
        is_busy = clustering.tick(self._limiter.now_ns())
        fault = clustering.take_fault()
        if fault is not None:
            log.error("correlating failed and is tried again", exc_info=fault)
        return BREATH_S if is_busy else CORRELATE_S

    def _after_fork(self) -> None:
        # Threads do not survive a fork: until this worker starts its own, its decisions keep up.
        self._limiter.runtime.pace.is_kept_up = False


# The threads hold on to no limiter: one that is dropped without a word ends its threads.


def _run(upkeep: weakref.ref[Upkeep], ended: PromptEvent, pause_s: float) -> None:
    number = 0
    while not ended.wait(pause_s):
        number += 1
        owner = upkeep()
        if owner is None or not owner._tick_once(number, ended):
            return
        del owner


def _correlate(upkeep: weakref.ref[Upkeep], ended: PromptEvent) -> None:
    pause_s: float | None = 0.0
    while pause_s is not None and not ended.wait(pause_s):
        owner = upkeep()
        pause_s = None if owner is None else owner._correlate_once()
        del owner


def _follow(
    upkeep: weakref.ref[Upkeep], follower: ActFollower, reporter: Reporter, ended: PromptEvent
) -> None:
    is_failing, conduct, records, keeper = False, ConductFollower(), RecordsFollower(), RecordsKeeper()
    watch, budgets = EventWatch(reporter), BudgetFollower()
    try:
        while True:
            owner = upkeep()
            if owner is None or owner._limiter.table.closed:
                return
            try:
                is_reader = follower.look(owner._limiter)
                conduct.look(owner._limiter, is_reader=is_reader)
                records.look(owner._limiter, is_reader=is_reader)
                watch.look(owner._limiter, follower.log, follower.epoch)
                budgets.look(owner._limiter, reporter)
                keeper.look(owner._limiter)
                is_failing = False
            except Exception:
                if not is_failing:  # said once each time, not twice a second
                    log.exception("acts or events of a limiter cannot be followed; it is tried again")
                is_failing = True
            del owner
            if ended.wait(LOOK_S):
                return
    finally:
        follower.resign()
        conduct.disconnect()
        records.disconnect()
        budgets.disconnect()
        owner = upkeep()
        keeper.leave(None if owner is None else owner._limiter)


def _ask_engines(upkeep: weakref.ref[Upkeep], ended: PromptEvent) -> None:
    reports = EngineReports()
    try:
        while not ended.wait(ASK_S):
            owner = upkeep()
            if owner is None or owner._limiter.table.closed:
                return
            try:
                reports.look(owner._limiter)
            except Exception:
                log.exception("the servers behind cannot be reached; it is tried again")
            del owner
    finally:
        reports.resign()


def _speak(upkeep: weakref.ref[Upkeep], ended: PromptEvent) -> None:
    follower, is_failing, pause_s = HostsFollower(), False, 0.0
    try:
        while not ended.wait(pause_s):
            owner = upkeep()
            if owner is None or owner._limiter.table.closed:
                return
            try:
                pause_s = follower.look(owner._limiter)
                is_failing = False
            except Exception:
                if not is_failing:  # said once each time, not ten times a second
                    log.exception("a limit cannot be shared with other hosts; it is tried again")
                is_failing, pause_s = True, ASK_S
            del owner
    finally:
        follower.leave()


_ALL: weakref.WeakSet[Upkeep] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for upkeep in list(_ALL):
        upkeep._after_fork()


os.register_at_fork(after_in_child=_forget_after_fork)
