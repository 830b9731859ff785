"""A batch of recorded requests, decided one after another by the compiled decider: see the stub for the contract."""

from cpython cimport array
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t

from ratelimit.core.clusters.evidence cimport await_identities
from ratelimit.core.clusters.records cimport FINE, LIKELY
from ratelimit.core.clusters.recogniser cimport AtOnce
from ratelimit.core.clusters.sighting cimport PLACES
from ratelimit.core.decision.engine cimport Outcome
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.scanner cimport MOST_POSITIONS, listed
from ratelimit.deciding.compiled cimport BY_LIMITS, BY_ROW, CompiledDecider, CompiledDecision, PlanParts
from ratelimit.deciding.matched cimport Matched

from ratelimit.core.replay.columns import put_row

cdef enum:
    FAR = 8     # records ahead, of which it is asked where their identities are remembered
    NEAR = 4    # and what is remembered of them


def decide_batch(
    CompiledDecider decider not None, list matches not None, list columns not None, array.array refusals not None,
    list times_ns not None, list taken not None, slowly, Py_ssize_t start=0, Py_ssize_t stop=-1, /,
):
    cdef uint64_t *hashes[MOST_POSITIONS]
    cdef uint64_t ids[MOST_POSITIONS]
    cdef uint64_t *by_unit
    cdef uint64_t **taken_of
    cdef uint64_t *bits = numbers_of(refusals)
    cdef Py_ssize_t i, ahead, size = PyList_GET_SIZE(times_ns)
    cdef int j, width = decider.size, units = <int>PyList_GET_SIZE(taken) + 1
    cdef list refused = [], unnamed = [], would = [], row
    cdef CompiledDecision decided
    cdef Matched coming
    cdef object now_ns
    cdef AtOnce watch = decider.watch if type(decider.watch) is AtOnce else None
    cdef int actor_at = decider.watch.at if decider.watch is not None else -1
    cdef int principal_at = watch.columns.principal_at[0] if watch is not None else -1
    cdef int address_at = watch.columns.kinds_at[FINE] if watch is not None else -1
    if len(columns) != width:
        raise ValueError(f"there are {width} columns, not {len(columns)}")
    if len(matches) != size or len(refusals) != size or any([len(one) != size for one in [*columns, *taken]]):
        raise ValueError("columns are of one length")
    if not 0 <= start <= size or stop > size:
        raise ValueError("the range is within the records")
    for j in range(width):
        hashes[j] = numbers_of(columns[j])
    by_unit = <uint64_t *>PyMem_Malloc(units * sizeof(uint64_t))
    taken_of = <uint64_t **>PyMem_Malloc(units * sizeof(uint64_t *))
    try:
        if by_unit == NULL or taken_of == NULL:
            raise MemoryError
        by_unit[0] = ABSENT_HASH
        for j in range(1, units):
            taken_of[j] = numbers_of(taken[j - 1])
        for i in range(start, size if stop < 0 else stop):
            now_ns = <object>PyList_GET_ITEM(times_ns, i)
            for j in range(width):
                ids[j] = hashes[j][i]
            for j in range(1, units):
                by_unit[j] = taken_of[j][i]
            if decider.reader.listed_count:
                decider.reader.look_up(ids)
            if watch is not None:
                watch.is_entered = False
                for j in range(2):
                    ahead = i + (NEAR if j else FAR)
                    if address_at >= 0 and ahead < size:
                        await_identities(
                            watch.index.evidence, hashes[principal_at][ahead], hashes[address_at][ahead], j
                        )
            if i + NEAR < size:
                coming = <Matched?>PyList_GET_ITEM(matches, i + NEAR)
                if coming.part is not None and (<PlanParts>coming.part).picker is not None:
                    (<PlanParts>coming.part).picker.look_ahead(hashes, i + NEAR)
            decided = decider.decide(
                <Matched?>PyList_GET_ITEM(matches, i), ids, bits[i], now_ns, None, BY_ROW, NULL, by_unit, units
            )
            if decided is None:
                row = listed(ids, bits[i], width)
                allowed, plan, outcome = slowly(i, row)
                put_row(columns, refusals, i, row)
                if outcome is None:
                    if not allowed:
                        unnamed.append(i)
                elif not allowed:
                    refused.append((i, plan, outcome))
                else:
                    end_at_once(plan, outcome, now_ns)
                continue
            if decided.reason != BY_LIMITS:
                if not decided.allowed:
                    unnamed.append(i)
                continue
            if not decided.allowed:
                refused.append((i, decided.plan, decided.outcome))
                for j in range(width):
                    hashes[j][i] = ids[j]
                continue
            if decided.part.holds_slots or decided.part.exposes:
                end_at_once(decided.plan, decided.outcome, now_ns)
            if decided.actor is not None:
                for j in range(actor_at - PLACES + 1, actor_at + 1):
                    hashes[j][i] = ids[j]
                if decided.verdict == LIKELY and (<Outcome?>decided.outcome).would_refuse_by(actor_at - 1):
                    would.append(i)
    finally:
        PyMem_Free(by_unit)
        PyMem_Free(taken_of)
    return refused, unnamed, would


cpdef int end_at_once(object plan, object outcome, object now_ns) except -1:
    """Give back what an allowed request holds and has in flight: a record does not say how long it ran."""
    if plan.holds_slots:
        outcome.release(now_ns)
    for at in plan.exposed:
        outcome.settle_rule(at, 0, now_ns)
    return 0


cdef uint64_t *numbers_of(array.array column) except? NULL:
    if column.ob_descr.typecode != c"Q":
        raise TypeError("a column is an array of 64-bit numbers")
    return <uint64_t *>column.data.as_ulonglongs
