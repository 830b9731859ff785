"""Specification of the algorithms, in plain Python with unbounded integers.

It is written to be read: no packing, no saturation that the rules do not ask for, no cleverness. It is never
a fallback for the compiled core. Tests hold each store to it on the same streams of requests, and a store of
your own may decide by it: docs/extending.md has one.

    reading    the shape shared by all algorithms, and how long to wait
    bucket     token bucket, as GCRA
    window     fixed windows: aligned to the Unix epoch, to a calendar, or at each key's own offset; lifetimes
    sliding    two windows, the older one weighted by how much of it still counts
    log        every charge remembered
    slots      how many are at work at once
    distinct   how many different members were seen in a window (exact sets)
    decision   many rules in one decision: all charged or none
    rule       a rule's numbers
    hashing    the hash of a counter's key
"""
