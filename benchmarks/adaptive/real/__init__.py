"""A real run: a server of models as a process of its own, a gateway under uvicorn, and callers at random.

The callers do not wait for one another (an open loop, as independent clients are), so a wait that grows
is seen. `wrk` and its like hold a fixed number of connections: what is late comes less often there, and
what is refused comes again at once.
"""
