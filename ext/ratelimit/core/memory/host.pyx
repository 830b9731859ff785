"""A host among others, as its table has it. See the stub for the contract."""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport cas, load, store
from ratelimit.core.memory.table cimport Table


def host_of(Table table not None, candidate, /):
    cdef uint64_t number = candidate
    table.check_open()
    cas(&table.arena.header.host, 0, number)
    return load(&table.arena.header.host)


def hosts_in(Table table not None, /):
    table.check_open()
    return load(&table.arena.header.hosts)


def set_hosts(Table table not None, hosts, /):
    cdef uint64_t number = hosts
    table.check_open()
    store(&table.arena.header.hosts, number)


def owe(Table table not None, counters, /):
    cdef uint64_t owing = counters
    table.check_open()
    if table.has_seat():
        store(&table.arena.seats[table.seat_number].owing, owing)


def take_orphans(Table table not None, /):
    cdef uint64_t orphans
    table.check_open()
    orphans = load(&table.arena.header.orphans)
    return orphans if orphans and cas(&table.arena.header.orphans, orphans, 0) else 0
