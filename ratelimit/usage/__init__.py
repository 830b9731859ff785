"""The metering of requests: estimates before an answer, its cost, and the charge for both.

Pure: bytes and numbers in, numbers out. No loop, no clock (`now_ns` is an argument), no log,
and no scope. Nearly all of it is compiled.

    rules           a plan's rules as arrays; what one request takes, and what it is settled to
    answer          a `send` that reads an answer as it passes
    ending          the end of a stream without a budget
    inflating       compressed answers
    reader, paths   bytes that pass, and what stands in them at given JSON paths
    shapes          where each provider says what
    tables, form    forms that a policy adds
    report          what was found, in units that do not overlap
    request         what a request's body declares
    grants          the maximum in it, lowered in place
    learned         estimates from past answers
    histogram       amounts in bins
    prices          units to money
    unsettled       estimates in flight
"""
