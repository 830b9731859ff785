"""What the limiter means, in plain Python with unbounded integers.

This package is the specification. It is written to be read: no packing, no saturation
that the rules do not ask for, no cleverness. None of it is ever a fallback for the
compiled core. The suites in `properties/`, `parity/` and
`mutation/` hold the two against each other on the same streams of requests.

    reading    the shape shared by all algorithms, and how long to wait
    bucket     token bucket, as GCRA
    window     fixed windows, aligned to the Unix epoch or to a calendar
    sliding    two windows, the older one weighted by how much of it still counts
    log        every charge remembered
    slots      how many are at work at once
    distinct   how many different members were seen in a window (exact sets)
    decision   many rules in one decision: all charged or none
"""
