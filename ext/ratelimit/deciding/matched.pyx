"""The part of a policy that applies to one kind of request: see the stub."""

cimport cython

from ratelimit.policy.routing.classes import NO_CLASSES as _NO_CLASSES


@cython.final
@cython.auto_pickle(False)
cdef class Matched:
    def __init__(
        self, str template, params, plan, pick=None, tuple resolvers=(), *, bint is_crowded=False, classes=None,
        Matched before_resolvers=None, Matched before_body=None, bint is_metered=False,
    ):
        self.template = template
        self.params = params
        self.plan = plan
        self.pick = pick
        self.resolvers = resolvers
        self.before_resolvers = before_resolvers
        self.before_body = before_body
        self.is_crowded = is_crowded
        self.is_metered = is_metered
        self.is_limited = plan is not None or pick is not None or is_crowded
        self.may_wait = pick is not None or (plan is not None and plan.may_hold)
        self.take_classes(_NO_CLASSES if classes is None else classes, 0)

    def take_classes(self, classes, int wait_rank, /):
        self.classes, self.wait_rank = classes, wait_rank
        self.group = classes.group
        self.rank = classes.ranks[-1] if classes.ranks else -1

    def plan_for(self, identities, /):
        return self.plan if self.pick is None else self.pick(identities)


@cython.final
@cython.auto_pickle(False)
cdef class ClassFacts:
    def __init__(self, when, /):
        self.when = list(when)

    def of(self, Matched matched not None, row not None, /):
        return self.rank_of(matched, NULL, row)

    cdef int rank_of(self, Matched matched, uint64_t *ids, row) except -2:
        """Return the class of a request, by its identities where these are there, else by its row."""
        cdef tuple ranks = matched.classes.ranks
        cdef Py_ssize_t at
        for at in range(len(ranks) - 1):
            for position, hashes in self.when[matched.group][ranks[at]]:
                if (row[position] if ids == NULL else ids[<Py_ssize_t>position]) not in hashes:
                    break
            else:
                return ranks[at]
        return matched.rank
