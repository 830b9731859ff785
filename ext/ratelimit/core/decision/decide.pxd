"""One decision: ask every rule, then charge all of them or none.

Theory of operation. A decision is made in two passes over its rules. The first
reads: it hashes each rule's key, starts fetching every bucket at once, then asks
each rule whether the cost fits the word it finds. Only if every enforced rule
agrees does the second pass write, one compare-and-swap a rule. A swap that fails
means another worker charged the key in between: the rule is asked again with the
new word. If it now refuses, what this decision has charged is taken back.
Words go first and blocks last, since words are the easier to take back.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport LOW32, cas_pair
from ratelimit.core.algorithms.block_algorithms cimport check_block, commit_block, correct_block
from ratelimit.core.memory.entries cimport BLOCKS, find, make_tag, warm, word_of
from ratelimit.core.memory.layout cimport Arena
from ratelimit.core.memory.quota cimport Check, Quota
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.algorithms.setup cimport (
    ALLOWED, MOST_RULES, REFUSED, SHADOWED, SKIPPED, Charge, Look, Setup, rule_key,
)
from ratelimit.core.memory.siphash cimport mix
from ratelimit.core.algorithms.word_algorithms cimport check_word, commit_word, correct_word, retry_word


cdef inline void decide(Setup *plan, Charge *charges, uint64_t *ids, uint64_t *amounts, uint64_t now, bint commit) noexcept nogil:
    """Fill one charge a rule. Everything that can fail was checked before: nothing here does."""
    cdef Look looks[MOST_RULES]
    cdef Check check
    cdef Charge *charge
    cdef const Quota *q
    cdef Arena *arena = plan.arena
    cdef int i, count = plan.count
    cdef bint refused = False, fits
    for i in range(count):
        charge = charges + i
        q = &plan.quotas[i]
        charge.charged = False
        charge.cost = amounts[i]
        charge.held = charge.live = 0
        charge.key = rule_key(plan, i, ids)
        if charge.key == ABSENT_HASH:
            charge.state = SKIPPED
            continue
        charge.state = ALLOWED
        charge.tag = make_tag(charge.key, q.kind, plan.shapes[i])
        if count > 1:
            warm(arena, charge.key)
    for i in range(count):
        charge = charges + i
        if charge.state == SKIPPED:
            continue
        q = &plan.quotas[i]
        charge.retry = 0
        if q.kind < BLOCKS:
            looks[i].entry = find(arena, charge.key, charge.tag)
            looks[i].seen = word_of(looks[i].entry, charge.tag) if looks[i].entry != NULL else 0
            check_word(arena, q, charge, &looks[i], now, commit, &check)
            looks[i].next = check.next
            charge.mark = check.mark
            charge.word = looks[i].seen
            fits = check.allowed
            if not fits:
                charge.retry = retry_word(q, charge.key, looks[i].seen, charge.past, now, charge.cost)
                if looks[i].next != looks[i].seen and looks[i].entry != NULL and commit:
                    # Keep how it was read: after a clock step it must not have to be believed again.
                    cas_pair(looks[i].entry, charge.tag, looks[i].seen, charge.tag, looks[i].next)
        else:
            fits = check_block(plan, i, charge, &looks[i], ids, now, charge.cost, commit)
        if not fits and lost(plan, charges, i):
            refused = True
    if commit and not refused:
        for i in range(count):
            if plan.quotas[i].kind < BLOCKS and charges[i].state == ALLOWED:
                if not commit_word(plan, i, charges + i, &looks[i], now) and lost(plan, charges, i):
                    refused = True
                    break
    if commit and not refused and plan.has_blocks:
        for i in range(count):
            if plan.quotas[i].kind >= BLOCKS and charges[i].state == ALLOWED:
                if not commit_block(plan, i, charges + i, &looks[i], ids, now) and lost(plan, charges, i):
                    refused = True
                    break
    if commit and refused:
        take_back(plan, charges, now)


cdef inline bint lost(Setup *plan, Charge *charges, int i) noexcept nogil:
    """Mark a rule that has no room for its cost; return whether that refuses the request."""
    cdef Charge *charge = charges + i
    if plan.quotas[i].shadow or (mix(charge.key) & LOW32) >= plan.quotas[i].enforced:
        charge.state = SHADOWED
        return False
    charge.state = REFUSED
    return True


cdef inline int64_t correct(Setup *plan, int i, Charge *charge, uint64_t actual, uint64_t now) noexcept nogil:
    """Replace what rule `i` was charged by `actual`; return the signed correction that took effect."""
    if plan.quotas[i].kind >= BLOCKS:
        return correct_block(plan, i, charge, actual, now)
    return correct_word(plan, i, charge, actual, now)


cdef inline void take_back(Setup *plan, Charge *charges, uint64_t now) noexcept nogil:
    """Give back whatever this decision has charged."""
    cdef int i
    cdef uint64_t cost
    for i in range(plan.count):
        if charges[i].charged:
            cost = charges[i].cost
            correct(plan, i, charges + i, 0, now)
            charges[i].cost = cost
            charges[i].charged = False
