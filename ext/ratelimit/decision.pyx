"""The decision over all limits of a request: see the stub for the contract.

Compiled, and its objects are used again: an application that asks `Limiter.decide` gets one for each request.
"""

cimport cython

from typing import Protocol

from ratelimit.verdict import VERDICTS, ClusterVerdict, Ledger, Reason, Verdict, cluster_name

__all__ = [
    "VERDICTS", "ClusterVerdict", "Decision", "Ledger", "LimitedRequest", "Reason", "Verdict", "cluster_name",
]


@cython.auto_pickle(False)
@cython.freelist(16)
cdef class Decision:
    def __init__(
        self, bint allowed, reason, ledger=None, cluster=None, int certainty=0, wait_ns=None, waited_ns=0,
        flight=None
    ):
        self._allowed = allowed
        self._reason = reason
        self._ledger = ledger
        self._cluster = cluster
        self._certainty = certainty
        self._wait_ns = wait_ns
        self._waited_ns = waited_ns
        self._flight = flight

    @property
    def allowed(self):
        return self._allowed

    @property
    def action(self):
        return "allow" if self._allowed else "refuse"

    @property
    def reason(self):
        return self._reason

    @property
    def degrade(self):
        return tuple(one.limit for one in self.verdicts if one.action == "degrade" and not one.shadow)

    @property
    def waited_ns(self):
        return self._waited_ns

    @property
    def ledger(self):
        return self._ledger

    @property
    def verdicts(self):
        if self._verdicts is None:
            self._verdicts = () if self._ledger is None else self._ledger.verdicts()
        return self._verdicts

    @property
    def binding(self):
        if self._binding is None and self._ledger is not None and not self._allowed:
            at = self._ledger.binding
            self._binding = self.verdicts[at] if at >= 0 else None
        return self._binding

    @property
    def limit(self):
        binding = self.binding
        return None if binding is None else binding.limit

    @property
    def cluster(self):
        return cluster_name(self._cluster)

    @property
    def verdict(self):
        return VERDICTS[self._certainty]

    @property
    def retry_after_ns(self):
        if self._allowed:
            return 0
        binding = self.binding
        return self._wait_ns if binding is None else binding.retry_after_ns

    @property
    def retry_after(self):
        wait_ns = self.retry_after_ns
        return None if wait_ns is None else wait_ns / 1e9

    def first_byte(self, status=None, /):
        if self._flight is not None:
            self._flight.first_byte(status)

    def settle(self, units=None, /, **more):
        if self._flight is not None:
            self._flight.go_on()
        if self._ledger is not None:
            self._ledger.settle_units({**units, **more} if units else more)

    def release(self, status=None, *, bint produced=False):
        if self._flight is not None:
            self._flight.end(status)
        if self._ledger is not None:
            if status is None:
                self._ledger.release()
            else:
                self._ledger.release(status, produced=produced)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self._flight is not None:
            if error is None:
                self._flight.first_byte()  # what was to be answered is
            self._flight.end()
        if isinstance(error, Exception):
            self.release(500, produced=True)  # that is not known, and what is not known is not given back
        else:
            self.release()

    def __repr__(self):
        limit = f" by {self.limit!r}" if self.limit is not None else ""
        return f"<Decision {self.action}{limit} ({self._reason.value})>"

    def __reduce__(self):
        return type(self), (
            self._allowed, self._reason, self._ledger, self._cluster, self._certainty, self._wait_ns, self._waited_ns
        )


class LimitedRequest(Protocol):
    @property
    def decision(self): ...

    @property
    def cluster(self): ...

    @property
    def verdict(self): ...

    @property
    def degrade(self): ...

    def settle(self, units=None, /, **more): ...

    def refusal(self): ...
