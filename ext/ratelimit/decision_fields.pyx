"""What a decision holds: see the stub for the contract."""


cdef class DecisionFields:
    def __init__(
        self, bint allowed, reason, ledger=None, cluster=None, int certainty=0, wait_ns=None, waited_ns=0
    ):
        self._allowed = allowed
        self._reason = reason
        self._ledger = ledger
        self._cluster = cluster
        self._certainty = certainty
        self._wait_ns = wait_ns
        self._waited_ns = waited_ns

    @classmethod
    def __class_getitem__(cls, _):
        return cls  # the stub has the types of the fields

    def __reduce__(self):
        return type(self), (
            self._allowed, self._reason, self._ledger, self._cluster, self._certainty, self._wait_ns, self._waited_ns
        )
