"""The cost of an answer: read from the answer itself, estimated before it, and priced.

Pure: bytes and numbers in, numbers out. No loop, no clock (`now_ns` is an argument), no log,
and no scope; the caller decides what is charged.

    reader, paths   compiled: watch bytes pass, and find what stands at given JSON paths
    shapes          where each provider says what
    report          what was found, in units that do not overlap
    request         what a request's body declares
    learned         estimates from past answers
    prices          units to money
"""
