"""Accounts that were silent for long: see the stub for the contract."""

from libc.stdint cimport uint32_t

from ratelimit.core.clusters.evidence cimport Evidence, principal_at
from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.clusters.overrides cimport Overrides
from ratelimit.core.clusters.records cimport NO_VERDICT, Principal, joined

cdef extern from "ratelimit/core/threads/handover.h":
    pass


def mark_dormant(ClusterIndex cluster_index not None, uint32_t start, uint32_t stop, uint32_t silent_s, /):
    cdef uint32_t at = start
    cdef Principal *p
    cdef Evidence e = cluster_index.evidence
    cdef Overrides overrides = cluster_index.overrides
    with nogil:
        while at < min(stop, e.awake_count):
            p = principal_at(e, at)
            if e.now_s - p.last_s < silent_s or (overrides is not None and overrides.find(joined(p.key)) != NULL):
                at += 1
            else:
                e.rest(at)  # and look at the one that took its place


def expire_labels(ClusterIndex cluster_index not None, uint32_t start, uint32_t stop, uint32_t silent_s, /):
    cdef uint32_t at
    cdef Principal *p
    cdef Evidence e = cluster_index.evidence
    with nogil:
        for at in range(max(start, e.awake_count), min(stop, e.principal_count)):
            p = principal_at(e, at)
            if p.label and e.now_s - p.last_s >= silent_s:
                p.label = 0
                p.verdict = NO_VERDICT
