"""Memory of loops, each in an interpreter of its own: it stays flat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).absolute().parents[2]

PREPARE = """
import gc, os
from tests.support.cores import COMPILED, Limiter, KEY, compiled_rule
from tests.support.memory import attach, private
from tests.support.rule import EPOCH, RuleSpec
from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.clusters.sighting import Columns
from ratelimit.correlation import Correlator, Settings
from ratelimit.errors import StoreError, UsageError

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

hasher = Hasher(KEY)
limiters = [
    Limiter(COMPILED, RuleSpec(name, 5))
    for name in ("token-bucket", "fixed-window", "sliding-window", "sliding-log", "concurrency", "distinct")
]
"""

MEASURE = """
for _ in range(2000):
    work()
gc.collect()
before = resident()
for _ in range(ROUNDS):
    work()
gc.collect()
print(resident() - before)
"""

LOOPS = {
    "decide": """
def work():
    for limiter in limiters:
        limiter.ask(EPOCH, 1, 5)
""",
    "settle": """
def work():
    for limiter in limiters:
        outcome = limiter.ask(EPOCH, 1, 5)
        outcome.settle_rule(0, 0, EPOCH)
        outcome.undo(EPOCH)
        outcome.release(EPOCH)
""",
    "messages": """
from ratelimit import Limiter as Public, Policy
from ratelimit.asgi.messages import LimitedSocket, SocketDoor
from ratelimit.asgi.websocket import ended
from ratelimit.policy.routing.target import NOWHERE
limiter = Public(Policy.from_toml('''version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "messages"
per = "account"
unit = "messages"
rate = "1000000/minute"
[store]
memory = "private"
'''))
door = SocketDoor(limiter, None, NOWHERE, ended)
headers = [(b"x-api-key", b"a")]
scope = {"type": "websocket", "path": "/", "raw_path": b"/", "headers": headers, "client": ("192.0.2.1", 1)}

async def receive():
    return {"type": "websocket.receive", "text": "a"}

def work():
    socket = LimitedSocket(receive, None, scope, door)
    for _ in range(3):
        try:
            socket.receive().send(None)
        except StopIteration as done:
            assert done.value["text"] == "a"
""",
    "read": """
outcome = limiters[0].ask(EPOCH)
def work():
    outcome.ratelimit_field([b"x"]), outcome.remaining(0), repr(outcome), len(outcome)
    limiters[0].plan.rules, limiters[0].table.totals(0)
""",
    "hash": """
def work():
    hasher.identity(1, b"value"), hasher.identity(1, "text\\u00e9"), hasher.identity(1, "\\udc80")
    hasher.tuple(b"a", "b", "c"), hasher.combine(2**64 - 1, 2**63), hasher.key
""",
    "fail": """
def work():
    for call in (
        lambda: limiters[0].ask(EPOCH, -1), lambda: limiters[0].ask(EPOCH, 1.5),
        lambda: limiters[0].plan.decide(None, EPOCH), lambda: hasher.identity(1, None),
        lambda: compiled_rule(RuleSpec("token-bucket", 0)), lambda: limiters[0].plan.decide([], EPOCH),
    ):
        try:
            call()
        except (UsageError, TypeError, IndexError, ValueError):
            pass
""",
    "attach": """
memory = private(64)
attach(memory).close()
def work():
    table = attach(memory)
    table.join(1, 1, EPOCH), table.counter("a"), table.stats(EPOCH)
    COMPILED.plan(table, [RuleSpec("token-bucket", 5)], [[0]]).decide([1], EPOCH)
    table.close()
    try:
        attach(memory, boot_id=b"another")
    except StoreError:
        pass
""",
    "correlate": """
columns = Columns((0,), (1, 2, 3, 4, -1, -1, -1, 5))
correlator = Correlator(Settings(principals=64, identifiers=256), EPOCH, columns)
turn = 0
def work():
    global turn
    turn += 1
    flood = [[turn * 97 + number, *[turn * 89 + number] * 5] for number in range(3)]
    for row in (*flood, [-1] * 6, [turn % 9 + 1, turn % 40, turn % 40, turn % 3, 7, 7]):
        correlator.observe(row, EPOCH + turn * 10**11)
    for _ in correlator.rebuild(EPOCH + turn * 10**11) if turn % 16 == 0 else ():
        pass
    correlator.core.debts(), correlator.carries.clear()
""",
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own account of memory")
@pytest.mark.parametrize("name", LOOPS)
def test_memory_stays_flat(name: str) -> None:
    rounds = {"attach": 3_000, "correlate": 8_000}.get(name, 20_000)
    code = PREPARE + LOOPS[name] + MEASURE.replace("ROUNDS", str(rounds))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    # One reference leaked a round would be sixteen bytes or more each.
    assert int(done.stdout) < 16 * rounds
