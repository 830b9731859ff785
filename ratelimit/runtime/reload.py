"""A reload of the policy file, and its outcome.

A reload loads the whole file, binds it, and only then puts it in force. A file that cannot be used
changes nothing: the policy that was in force stays, and the outcome says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ratelimit.clustering.service import ClusteringService
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.errors import RateLimitError, UsageError, fault_of
from ratelimit.events import Observer, ReloadResult
from ratelimit.policy import Policy
from ratelimit.policy.change import Change, diff, fingerprint
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.loader import named_tuning
from ratelimit.telemetry.counters import Counters


@dataclass(frozen=True, slots=True)
class Reload:
    """The outcome of a reload; `error` says why it was rejected."""

    result: ReloadResult
    at_ns: int
    error: RateLimitError | None = None
    changes: tuple[Change, ...] = ()
    """The differences, and the fate of the counters."""


class InForce(Protocol):
    """The parts that a reload changes: the policy in force and all that follows it."""

    policy: Policy
    counters: Counters
    observer: Observer

    def clustering_for(self, policy: Policy) -> ClusteringService | None:
        """Return what correlates under a policy: as before if possible; None where nothing is asked."""
        ...

    def bind(
        self, compiled: CompiledPolicy, now_ns: int, clustering: ClusteringService | None
    ) -> BoundPolicy:
        """Return a policy at work over the limiter's store."""
        ...

    def put_in_force(
        self, policy: Policy, bound: BoundPolicy, clustering: ClusteringService | None, now_ns: int
    ) -> None:
        """Decide by this policy from now on."""
        ...


class PolicyFile:
    """The file of the policy in force, and what it was when it was last read.

    Args:
        path: where it is; None for a policy that came from no file.
    """

    __slots__ = ("_beside", "_seen", "last_reload", "path", "rejected_ns")

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._beside: Path | None = None
        self._seen = self._look()
        self.last_reload: Reload | None = None
        self.rejected_ns: int | None = None
        """Since when the file is rejected; None while it is not."""

    def rejected(self, error: RateLimitError, now_ns: int) -> None:
        """Note that the file was rejected when this worker started, by the policy of others."""
        self.last_reload = Reload("rejected", now_ns, error)
        self.rejected_ns = now_ns

    @property
    def is_outdated(self) -> bool:
        """True if the file looks different from when it was last read. One that is missing does not."""
        if self.path is None or fingerprint(self.path) is None:
            return False
        beside = None if self._beside is None else fingerprint(self._beside)
        return (fingerprint(self.path), beside) != self._seen

    def _look(self) -> tuple[object, object]:
        """Return how the policy's file looks, and the file of tuning that it names now."""
        if self.path is None:
            return None, None
        self._beside = named_tuning(self.path)
        return fingerprint(self.path), None if self._beside is None else fingerprint(self._beside)

    def reload(self, in_force: InForce, before: ClusteringService | None, now_ns: int) -> Reload:
        """Read the file again and put it in force; a bad file changes nothing. Callers hold a lock.

        Args:
            in_force: what is changed.
            before: what correlates now.
            now_ns: when.

        Raises:
            UsageError: there is no file (code `reload-no-file`).
        """
        path = self.path
        if path is None:
            raise UsageError(
                "this limiter was given a policy, not a file to read again", code="reload-no-file"
            )
        seen = self._look()
        after = before
        try:
            loaded = Policy.load(path)
            after = in_force.clustering_for(loaded)
            bound = in_force.bind(loaded.compiled, now_ns, after)
        except Exception as raised:
            if after is not None and after is not before:
                after.retire(now_ns)
            outcome = Reload("rejected", now_ns, fault_of(raised, path))
        else:
            if loaded.file == in_force.policy.file:
                outcome = Reload("unchanged", now_ns)
            else:
                changes = diff(in_force.policy.compiled, loaded.compiled)
                in_force.put_in_force(loaded, bound, after, now_ns)
                outcome = Reload("applied", now_ns, changes=changes)
        self._seen = seen
        self.last_reload = outcome
        if outcome.result != "rejected":
            self.rejected_ns = None
        elif self.rejected_ns is None:
            self.rejected_ns = now_ns
        return outcome
