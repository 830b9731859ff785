"""A host among others that share a server, as all its workers see it in their table."""

from ratelimit.core.memory.table import Table

def host_of(table: Table, candidate: int, /) -> int:
    """Return the number that names this memory to the server: the first candidate that was given."""

def hosts_in(table: Table, /) -> int:
    """Return how many hosts share the server, as a worker of this one last heard; 0 before.

    Damaged memory may say any number.
    """

def set_hosts(table: Table, hosts: int, /) -> None:
    """Tell this host's workers how many hosts there are."""

def owe(table: Table, counters: int, /) -> None:
    """Note how many counters' use this worker will hand over to the server."""

def take_orphans(table: Table, /) -> int:
    """Return, once, of how many counters the use was lost with workers that ended without a word."""
