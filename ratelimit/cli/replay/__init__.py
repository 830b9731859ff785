"""`ratelimit replay`: a recorded trace decided in virtual time.

command.py      the command's options
run.py          the loop over a trace
columns.py      identities of a whole batch at once
prepared.py     what is known of a route before its requests come
tally.py        what was refused by which limit
summary.py      what is said at the end
"""
