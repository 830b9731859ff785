"""Recorded requests, beside production: traces read, replayed, compared, and limits suggested by them.

    records   what a record of a trace may say, and what a policy reads of it
    traces    files of JSON lines and access logs, as batches of records in order of time
    columns   the identities of a whole batch at once
    replay    a trace decided by a policy, in virtual time
    diff      a trace decided by two policies
    suggest   what callers of a trace use, and the limits that follow

Nothing here prints; the commands do.
"""
