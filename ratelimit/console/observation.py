"""The deployment as pages see it: looked at for each page, without reading twice what has not changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread
from weakref import WeakKeyDictionary

from markupsafe import Markup

from ratelimit.clock import SystemClock, monotonic_ns
from ratelimit.console.rendering import MOST_IDENTIFIERS, MOST_NODES, drawing_of, rendered
from ratelimit.correlation.overview import Overview
from ratelimit.inspection.access.current_policy import policy_in_force
from ratelimit.inspection.actors.evidence import Remembered, Source, key_of
from ratelimit.inspection.callers.declared import Declared
from ratelimit.inspection.callers.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.callers.profile import Profile
from ratelimit.inspection.callers.takings import HourTaken, hours_taken
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.moment import Moment, hosts_of
from ratelimit.inspection.journal.entries import Hour, Journal, journal_of
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.policy import Policy

FRESH_NS = 10**9
"""The age up to which a look at all hosts is the present."""
STALE_NS = 20 * 10**9
"""The age from which a page waits for a new one: hosts that share a server take a while to answer."""
MOST_PROFILES = 8


class Observation:
    """What pages are made of. Threads may use one together.

    Args:
        path: the policy's file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.acting = Lock()
        """Held from the last look before an act until it is made: two tabs may not both do it."""
        self._lock = Lock()
        self._evidence = Remembered()
        self._stamp: object = None
        self._policy: tuple[Policy, Policy, str] | None = None
        self._profiles: dict[tuple[int, int], Profile] = {}
        self._drawings: WeakKeyDictionary[Profile, Markup] = WeakKeyDictionary()
        self._looking = Lock()
        self._now: Moment | None = None
        self._before: Moment | None = None
        self._looked_ns = 0
        self._hours: tuple[int, int, Sequence[Hour]] | None = None
        self._takings: tuple[int, int, Sequence[HourTaken]] | None = None
        self._key: bytes | None = None
        self._declared: tuple[Policy, str, Declared] | None = None

    def policy(self) -> tuple[Policy, Policy, str]:
        """Return the policy in force, the same with the limits in code, and what is wrong with its file.

        Raises:
            PolicyError: it has errors, and no worker put any in force here.
        """
        with self._lock:
            try:
                found = Path(self.path).stat()
                stamp: object = (found.st_mtime_ns, found.st_size, found.st_ino)
            except OSError:
                stamp = None
            if self._policy is None or stamp is None or stamp != self._stamp:
                policy, trouble = policy_in_force(self.path)
                self._policy, self._stamp = (policy, with_limits_in_code(policy), trouble), stamp
            return self._policy

    @contextmanager
    def known(self) -> Iterator[Knowledge]:
        """Give what is known of callers; errors are those of `knowledge_of`."""
        policy, whole, _ = self.policy()
        # Evidence is read again for another policy, and is of no limit.
        with knowledge_of(whole, lambda _: self._evidence(policy)) as known:
            yield known

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """Give the journal of all hosts."""
        policy, _, _ = self.policy()
        with journal_of(policy) as journal:
            yield journal

    def profile(self, source: Source, actor: Overview) -> Profile:
        """Return an actor's profile, the one made before if the evidence is the same."""
        key = id(source), actor.identity
        with self._lock:
            found = self._profiles.get(key)
            if found is None or found.source is not source:
                self._profiles = dict(list(self._profiles.items())[1 - MOST_PROFILES :])
                found = self._profiles[key] = Profile(source, actor)
            return found

    def declared(self, known: Knowledge) -> Declared:
        """Return what the policy file declares of callers, made once for each policy and hash key."""
        was, policy, key = self._declared, known.deployment.policy, known.deployment.key
        if was is None or was[0] is not policy or was[1] != key:
            was = self._declared = policy, key, Declared(known)
        return was[2]

    def drawing(self, profile: Profile, base: str, principal: str) -> Markup:
        """Return the picture of an actor, drawn once for each profile.

        Args:
            profile: the actor.
            base: where the console is mounted: its dots are links.
            principal: the identity that accounts are of.
        """
        found = self._drawings.get(profile)
        if found is None:
            drawing = drawing_of(profile.links(MOST_NODES - MOST_IDENTIFIERS, MOST_IDENTIFIERS))
            text = rendered(
                "drawing", drawing=drawing, members=len(profile.members), base=base, identity=principal
            )
            found = self._drawings[profile] = Markup(text)  # a template's output is escaped
        return found

    def hours(self, since_ns: int) -> Sequence[Hour]:
        """Return what all hosts answered by the hour since an instant; read again after a while."""
        was = self._hours
        if was is None or was[0] != since_ns or monotonic_ns() - was[1] > STALE_NS:
            policy, _, _ = self.policy()
            with journal_of(policy) as journal:
                was = self._hours = since_ns, monotonic_ns(), journal.hours(since_ns)
        return was[2]

    def takings(self, since_ns: int) -> Sequence[HourTaken]:
        """Return what callers took in the whole hours since an instant; read again after a while."""
        was = self._takings
        if was is None or was[0] > since_ns or monotonic_ns() - was[1] > STALE_NS:
            policy, _, _ = self.policy()
            with journal_of(policy) as journal:
                was = self._takings = since_ns, monotonic_ns(), hours_taken(journal, since_ns)
        return was[2]

    def moments(self) -> tuple[Moment, Moment | None]:
        """Return all hosts now and a while before, to tell what changes; None the first time."""
        age_ns = monotonic_ns() - self._looked_ns
        if self._now is None or age_ns > STALE_NS:
            self._look()
        elif age_ns > FRESH_NS:
            Thread(target=self._look_quietly, daemon=True).start()
        now = self._now
        assert now is not None
        return now, self._before

    def present(self) -> Moment:
        """Return all hosts now; without any if none runs."""
        try:
            return self.moments()[0]
        except InspectionFailure:
            return Moment(SystemClock().now_ns(), [], [])

    def fresh_moments(self) -> tuple[Moment, Moment | None]:
        """Return the same, waiting for a new look if there was none of late."""
        if self._now is None or monotonic_ns() - self._looked_ns > FRESH_NS:
            self._look()
        now = self._now
        assert now is not None
        return now, self._before

    def _look(self) -> None:
        with self._looking:
            if self._now is not None and monotonic_ns() - self._looked_ns <= FRESH_NS:
                return  # another thread has looked meanwhile
            policy, whole, _ = self.policy()
            with hosts_of(policy, whole) as hosts:
                moment = hosts.look()
            was = self._now
            if was is not None and moment.at_ns > was.at_ns and moment.at_ns - was.at_ns < 60 * 10**9:
                self._before = was
            else:
                self._before = None
            self._now, self._looked_ns = moment, monotonic_ns()

    def _look_quietly(self) -> None:
        if self._looking.locked():
            return
        try:
            self._look()
        except Exception:  # the next page that waits for a look says what is wrong
            self._looked_ns = 0

    def secret(self) -> bytes:
        """Return a secret that all workers of a deployment have, and nobody who knows no hash key of it."""
        if self._key is None:
            policy, _, _ = self.policy()
            self._key = hashlib.blake2b(key=key_of(policy)[:64], person=b"console").digest()
        return self._key
