"""Whole columns of recorded requests at once: see the stub for the contract."""

from cpython cimport array
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.request.address cimport Address, write_prefix
from ratelimit.core.memory.arguments cimport checked_cost, identity_number
from ratelimit.core.decision.engine cimport Outcome, Plan, check_ready
from ratelimit.core.clusters.evidence cimport await_identities
from ratelimit.core.memory.hashing cimport Hasher, PyUnicode_GET_LENGTH, PyUnicode_IS_COMPACT_ASCII, hash_run, hash_value
from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.request.scanner cimport MOST_POSITIONS, Scanner, address_of
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.algorithms.setup cimport MOST_RULES
from ratelimit.core.clusters.sighting cimport PLACES, Columns, Sighting, stamp_actor
from ratelimit.core.clusters.records cimport FINE, LIKELY, NO_VERDICT

import array as arrays

cdef enum:
    FAR = 8     # records ahead, of which it is asked where their identities are remembered
    NEAR = 4    # and what is remembered of them

cdef array.array NUMBERS = arrays.array("Q")
cdef int64_t NANOSECONDS = 1_000_000_000
cdef uint64_t MOST_SECONDS = 0xFFFFFFFF


def hash_column(Hasher hasher not None, kind, list values not None, int longest, other, /):
    cdef uint64_t under = <uint32_t>kind
    cdef Py_ssize_t i, size = PyList_GET_SIZE(values), absent = 0
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *hashes = <uint64_t *>column.data.as_ulonglongs
    cdef object value
    for i in range(size):
        value = values[i]
        if value is None:
            hashes[i] = ABSENT_HASH
        elif type(value) is str and PyUnicode_IS_COMPACT_ASCII(value) and 0 < PyUnicode_GET_LENGTH(value) <= longest:
            hashes[i] = hash_value(hasher, under, value)
        else:
            hashes[i] = identity_number(other(value))
        absent += hashes[i] == ABSENT_HASH
    return column, absent


def address_column(Hasher hasher not None, kind, int v4, int v6, list values not None, other, /):
    cdef uint64_t under = <uint32_t>kind
    cdef Py_ssize_t i, size = PyList_GET_SIZE(values), absent = 0
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *hashes = <uint64_t *>column.data.as_ulonglongs
    cdef uint8_t network[17]
    cdef Address address
    cdef object value
    if not (0 <= v4 <= 32 and 0 <= v6 <= 128):
        raise ValueError("a prefix is at most 32 bits of IPv4 and 128 of IPv6")
    for i in range(size):
        value = values[i]
        address.width = 0
        if type(value) is str:
            address = address_of(value)
        if value is None:
            hashes[i] = ABSENT_HASH
        elif address.width:
            hashes[i] = hash_run(hasher.k0, hasher.k1, under, network, write_prefix(&address, v4, v6, network))
        else:
            hashes[i] = identity_number(other(value))
        absent += hashes[i] == ABSENT_HASH
    return column, absent


def blank_column(Scanner scanner not None, int position, list peers not None, /):
    cdef Py_ssize_t i, size = PyList_GET_SIZE(peers)
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *hashes = <uint64_t *>column.data.as_ulonglongs
    if not 0 <= position < scanner.size:
        raise IndexError(f"there are {scanner.size} positions")
    for i in range(size):
        if scanner.blank_for(position, peers[i], hashes + i):
            return None
    return column


def seconds_column(list values not None, other, /):
    """Return the column of when accounts were created."""
    cdef Py_ssize_t i, size = PyList_GET_SIZE(values)
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *seconds = <uint64_t *>column.data.as_ulonglongs
    cdef object value
    for i in range(size):
        value = values[i]
        if value is None:
            seconds[i] = ABSENT_HASH
        elif type(value) is not int or read_number(value, seconds + i) != WHOLE or not 0 < seconds[i] <= MOST_SECONDS:
            seconds[i] = identity_number(other(value))
    return column


def absent_column(Py_ssize_t size, /):
    """Return a column in which nothing stands yet."""
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    memset(column.data.as_voidptr, 0xFF, size * sizeof(uint64_t))
    return column


def amount_column(list values not None, /):
    cdef Py_ssize_t i, size = PyList_GET_SIZE(values)
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *amounts = <uint64_t *>column.data.as_ulonglongs
    for i in range(size):
        amounts[i] = ABSENT_HASH if values[i] is None else checked_cost(values[i])
    return column


def said(array.array column not None, /):
    cdef uint64_t *hashes = numbers_of(column)
    cdef Py_ssize_t i
    return [i for i in range(len(column)) if hashes[i] != ABSENT_HASH]


def mark_new(Columns told not None, list columns not None, list times_ns not None, /):
    cdef uint64_t *hashes[MOST_POSITIONS]
    cdef uint64_t ids[MOST_POSITIONS]
    cdef Py_ssize_t i, size = PyList_GET_SIZE(times_ns)
    cdef int j, width = <int>len(columns)
    if told.new_at < 0 or not told.highest < width <= MOST_POSITIONS:
        raise ValueError("where new accounts are marked is among the columns given")
    for j in range(width):
        hashes[j] = numbers_of(columns[j])
        if len(columns[j]) != size:
            raise ValueError("columns are of one length")
    for i in range(size):
        for j in range(told.highest + 1):
            ids[j] = hashes[j][i]
        told.mark_hashes(ids, <int64_t><object>PyList_GET_ITEM(times_ns, i) // NANOSECONDS)
        hashes[told.new_at][i] = ids[told.new_at]
        hashes[told.new_at + 1][i] = ids[told.new_at + 1]


def fill_absent(array.array column not None, array.array otherwise not None, /):
    cdef uint64_t *hashes = numbers_of(column)
    cdef uint64_t *others = numbers_of(otherwise)
    cdef Py_ssize_t i, absent = 0
    if len(column) != len(otherwise):
        raise ValueError("columns are of one length")
    for i in range(len(column)):
        if hashes[i] == ABSENT_HASH:
            hashes[i] = others[i]
        absent += hashes[i] == ABSENT_HASH
    return absent


def decide_batch(
    list kinds not None, list columns not None, list times_ns not None, list taken=None,
    ClusterIndex cluster_index=None, int cluster_at=-1, Py_ssize_t start=0, Py_ssize_t stop=-1, list would=None, /,
):
    cdef uint64_t *hashes[MOST_POSITIONS]
    cdef uint64_t ids[MOST_POSITIONS]
    cdef uint64_t estimates[MOST_RULES]
    cdef uint64_t amounts[MOST_RULES]
    cdef uint64_t *amounts_of[MOST_RULES]
    cdef Py_ssize_t i, size = PyList_GET_SIZE(times_ns), unlimited = 0
    cdef int j, width = <int>len(columns)
    cdef list refused = []
    cdef tuple kind, known = None
    cdef bint varies = False
    cdef Plan plan = None
    cdef Outcome outcome
    cdef Sighting seen
    cdef bint sighted = False
    cdef int counted_at = -1
    cdef uint64_t identity = 0
    cdef uint8_t verdict = NO_VERDICT
    cdef uint32_t at = 0
    cdef int principal_at = cluster_index.columns.principal_at[0] if cluster_index is not None else -1
    cdef int address_at = cluster_index.columns.kinds_at[FINE] if cluster_index is not None else -1
    cdef Py_ssize_t ahead
    if width > MOST_POSITIONS:
        raise ValueError(f"at most {MOST_POSITIONS} columns")
    taken = taken or []
    if len(kinds) != size or any([len(one) != size for one in taken]):
        raise ValueError("columns are of one length")
    for j in range(width):
        hashes[j] = numbers_of(columns[j])
        if len(columns[j]) != size:
            raise ValueError("columns are of one length")
    if cluster_index is not None and not (cluster_index.columns.highest < width and PLACES - 1 <= cluster_at < width):
        raise ValueError("the correlator's columns are among those given")
    if not 0 <= start <= size or stop > size:
        raise ValueError("the range is within the records")
    for i in range(start, size if stop < 0 else stop):
        kind = <tuple?><object>PyList_GET_ITEM(kinds, i)
        if kind is not known:
            plan = kind[0]
            known = kind
            if plan is not None:
                if plan.highest >= width:
                    raise ValueError(f"the plan looks at column {plan.highest}, {width} were given")
                plan.read_costs(kind[1], estimates)
                varies = find_amounts(plan, kind[2], taken, amounts_of)
                counted_at = -1
                if cluster_index is not None:
                    # Limits that bind certain members let a likely one in beside their budget, as a stranger.
                    if plan.looks_at(cluster_at):
                        counted_at = cluster_at
                    elif plan.looks_at(cluster_at - 2):
                        counted_at = cluster_at - 2
        if plan is None:
            unlimited += 1
            continue
        check_ready(plan)  # each time: what `refused` grows by may be collected, which runs other code
        for j in range(plan.setup.count):
            amounts[j] = estimates[j]
            if varies and amounts_of[j] != NULL and amounts_of[j][i] != ABSENT_HASH:
                amounts[j] = amounts_of[j][i]
        for j in range(width if cluster_index is not None else plan.highest + 1):
            ids[j] = hashes[j][i]
        if cluster_index is not None:
            for j in range(2):
                ahead = i + (NEAR if j else FAR)
                if address_at >= 0 and ahead < size:
                    await_identities(cluster_index.evidence, hashes[principal_at][ahead], hashes[address_at][ahead], j)
            verdict = NO_VERDICT
            sighted = cluster_index.columns.take(ids, &seen)
            if sighted:
                # Seen before it is decided: a newcomer joins its cluster with its first request.
                at = cluster_index.note(&seen, <int64_t><object>PyList_GET_ITEM(times_ns, i) // NANOSECONDS)
                verdict = cluster_index.actor_at(at, &identity)
                if verdict:
                    stamp_actor(ids, cluster_at, verdict, identity)
                    for j in range(cluster_at - PLACES + 1, cluster_at + 1):
                        hashes[j][i] = ids[j]
        outcome = plan.decided(ids, amounts, <object>PyList_GET_ITEM(times_ns, i), True)
        if not outcome.allowed:
            refused.append((i, outcome))
        elif plan.setup.has_slots:
            outcome.release(<object>PyList_GET_ITEM(times_ns, i))
        if not sighted or not outcome.allowed:
            continue
        if verdict == LIKELY and would is not None and outcome.would_refuse_by(cluster_at - 1):
            would.append(i)
        if counted_at >= 0 and ids[counted_at] == ABSENT_HASH:
            cluster_index.admit_at(at)
    return refused, unlimited


cdef bint find_amounts(Plan plan, tuple units, list taken, uint64_t **amounts_of) except -1:
    """Find, for each rule, the column that says what records took; return whether there is any."""
    cdef int i, unit
    cdef bint found = False
    if units is None or len(units) <= plan.highest_cost:
        raise ValueError("a kind says of each of its costs where the column is")
    for i in range(plan.setup.count):
        amounts_of[i] = NULL
        if plan.setup.cost_at[i] < 0:
            continue
        unit = units[plan.setup.cost_at[i]]
        if 0 <= unit < len(taken):
            amounts_of[i] = numbers_of(taken[unit])
            found = True
    return found


cdef uint64_t *numbers_of(array.array column) except? NULL:
    if column.ob_descr.typecode != c"Q":
        raise TypeError("a column is an array of 64-bit numbers")
    return <uint64_t *>column.data.as_ulonglongs
