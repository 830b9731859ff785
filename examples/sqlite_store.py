"""A store in an SQLite file: processes of one host share limits without shared memory. Exact, and slow.

    limiter = Limiter("policy.toml", store=SQLiteStore("limits.db"))

docs/extending.md explains it part by part.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratelimit.algorithms import OF_UNITS
from ratelimit.clock import SystemClock
from ratelimit.core.memory.hashing import Hasher
from ratelimit.reference import state
from ratelimit.reference.decision import (
    ReferenceOutcome,
    ReferencePlan,
    ReferenceTable,
    enforced_by_hash,
)
from ratelimit.reference.rule import RuleSpec
from ratelimit.stores.contract import Plan, Store


class SQLiteStore(Store):
    """Limits in a file; `key` hashes identities, and every process has the same one."""

    algorithms = OF_UNITS  # slots would need heartbeats: a limit with `concurrent` is refused

    def __init__(self, path, key: bytes, clock=None):
        self.hasher, self.clock = Hasher(key), clock or SystemClock()
        self._path, self._local = Path(path), threading.local()
        self.states = States(self)
        self.connection.execute("CREATE TABLE IF NOT EXISTS states (key TEXT PRIMARY KEY, state TEXT)")

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's own; none that was opened before a fork."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            self._local.connection.execute("PRAGMA journal_mode = WAL")
            self._local.connection.execute("PRAGMA synchronous = NORMAL")
            self._local.pid = os.getpid()
        return self._local.connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One step for all processes: no other reads between this reading and its writing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def plan(self, rules, keys, members=None, cost_positions=None, stances=None, /):
        table = ReferenceTable(0, states=self.states, hash_key=self.hasher.key)
        specs = [RuleSpec.of(rule) for rule in rules]
        enforced = enforced_by_hash(self.hasher.key)
        return SQLitePlan(self, ReferencePlan(table, specs, keys, members, cost_positions, enforced))


class SQLitePlan(Plan):
    """The rules of one kind of request."""

    def __init__(self, store, plan):
        self._store, self._plan = store, plan

    def decide(self, identities, now_ns, costs=None, /):
        with self._store.transaction():
            return SQLiteOutcome(self._store, self._plan.decide(identities, now_ns, costs).lines)

    def peek(self, identities, now_ns, costs=None, /):
        return SQLiteOutcome(self._store, self._plan.peek(identities, now_ns, costs).lines)


class SQLiteOutcome(ReferenceOutcome):
    """What one decision found; settled in a transaction of its own."""

    def __init__(self, store, lines):
        super().__init__(lines)
        self._store = store

    def settle_rule(self, index, actual, now_ns, /):
        with self._store.transaction():
            return super().settle_rule(index, actual, now_ns)


class States(MutableMapping[tuple[int, ...], Any]):
    """States by rule and key, each a row."""

    def __init__(self, store):
        self._store = store

    def __getitem__(self, key):
        found = self._store.connection.execute("SELECT state FROM states WHERE key = ?", [repr(key)])
        if (row := found.fetchone()) is None:
            raise KeyError(key)
        return state.read(row[0])

    def __setitem__(self, key, value):
        row = [repr(key), state.written(value)]
        self._store.connection.execute("INSERT OR REPLACE INTO states VALUES (?, ?)", row)

    def __delitem__(self, key):
        self._store.connection.execute("DELETE FROM states WHERE key = ?", [repr(key)])

    def __iter__(self):
        raise TypeError("states are looked up, not listed")

    def __len__(self):
        return self._store.connection.execute("SELECT count(*) FROM states").fetchone()[0]
