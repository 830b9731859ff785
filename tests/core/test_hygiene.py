"""Compiled types as objects: what they may and may not be asked to do, in every thread."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

import ratelimit
from tests.support.cores import COMPILED, Limiter
from tests.support.rule import EPOCH, HOUR, SECOND, RuleSpec


def objects() -> dict[str, Any]:
    """Return one object of each compiled type."""
    from ratelimit.core.decision.meter import Meter
    from ratelimit.core.memory.hashing import Hasher
    from ratelimit.core.request.scanner import Scanner

    limiter = Limiter(COMPILED, RuleSpec("token-bucket", 3, SECOND))
    hasher = Hasher(bytes(16))
    meter = Meter(limiter.table, limiter.plan.rules[0], hasher, 1)
    return {
        "Hasher": hasher,
        "Table": limiter.table,
        "Rule": limiter.plan.rules[0],
        "Plan": limiter.plan,
        "Outcome": limiter.ask(EPOCH),
        "Meter": meter,
        "Reading": meter.check("key", EPOCH),
        "Scanner": Scanner(hasher, {}, 9, [], needs_peer=False, diagnose=print),
    }


each_type = pytest.mark.parametrize(
    "name", ["Hasher", "Table", "Rule", "Plan", "Outcome", "Meter", "Reading", "Scanner"]
)


@each_type
def test_never_pickled_or_copied(name: str) -> None:
    # State lives in shared memory and secrets in keys: neither travels by accident.
    made = objects()[name]
    with pytest.raises(TypeError):
        pickle.dumps(made)
    with pytest.raises(TypeError):
        copy.copy(made)


@each_type
def test_never_subclassed(name: str) -> None:
    with pytest.raises(TypeError):
        type("Sub", (type(objects()[name]),), {})


@each_type
def test_without_a_dictionary_or_weak_references(name: str) -> None:
    made = objects()[name]
    with pytest.raises(AttributeError):
        made.surprise = 1
    with pytest.raises(TypeError):
        weakref.ref(made)


@each_type
def test_documented(name: str) -> None:
    assert type(objects()[name]).__module__.startswith("ratelimit.core.")
    assert name in repr(objects()[name])


def compiled_modules() -> list[str]:
    """Return the name of every compiled module of the package."""
    root = Path(ratelimit.__file__).parent
    files = [file for suffix in EXTENSION_SUFFIXES for file in root.rglob(f"*{suffix}")]
    found = {
        ".".join((root.name, *file.relative_to(root).parts[:-1], file.name.split(".")[0])) for file in files
    }
    return sorted(found)


def compiled_classes() -> list[type]:
    """Return every class that they have."""
    return [
        found
        for name in compiled_modules()
        for _, found in sorted(vars(import_module(name)).items())
        if isinstance(found, type) and found.__module__ == name
    ]


BARE = """
import faulthandler, gc, json, os, random, signal, sys, tempfile
from array import array
from tests.core.test_hygiene import compiled_classes

def made(kind):
    try:
        return kind.__new__(kind)
    except TypeError:  # there is no object without what it is made from
        return None

others = [one for one in map(made, compiled_classes()) if one is not None]
values = [
    0, 1, -1, 2**40, 2**63, 1.5, True, None, "a", "", b"a", b"x" * 16, b"x" * 4096, len,
    [1], [1] * 16, [], (1,), (), {}, {1: 1}, {"a": "b"},
    bytearray(4096), array("Q", [1] * 64), [array("Q", [1] * 8)] * 12,
]
spoken = {"len", "iter", "next", "getitem", "contains", "call", "repr", "eq", "hash"}
blocking = {("PromptEvent", "wait")}  # without an end until it is set: asked with one below

def ask(module):
    for bare in others:
        kind = type(bare)
        if kind.__module__ != module:
            continue
        chance = random.Random(kind.__name__)
        for name in dir(bare):
            if name.startswith("__") and name[2:-2] not in spoken:
                continue
            for _ in range(60):
                given = [
                    chance.choice(values if chance.random() < 0.7 else others)
                    for _ in range(chance.randrange(9))
                ]
                if (kind.__name__, name) in blocking:
                    given = [0.0]
                try:
                    value = getattr(made(kind), name)
                    if callable(value):
                        value(*given)
                except Exception:
                    pass

gc.freeze()  # what is here before a fork is not collected anew in each
for line in sys.stdin:
    with tempfile.TemporaryFile() as told:
        child = os.fork()
        if child == 0:
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
            faulthandler.enable()
            signal.alarm(240)
            ask(line.strip())
            others.clear()  # they are freed as they are: this is asked, too
            gc.collect()
            print("alive", flush=True)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.seek(0)
        print(json.dumps([status, told.read().decode(errors="replace")]), flush=True)
"""


@pytest.fixture(scope="module")
def asker() -> Iterator[subprocess.Popen[str]]:
    """Start the process that forks one for each module: all start with the compiled classes loaded."""
    with subprocess.Popen(
        [sys.executable, "-c", BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize("module", compiled_modules())
def test_uninitialised_objects_do_not_crash(module: str, asker: subprocess.Popen[str]) -> None:
    """Objects made by `__new__` alone are asked all that they can be, or there are none."""
    assert asker.stdin is not None
    assert asker.stdout is not None
    print(module, file=asker.stdin, flush=True)
    status, told = json.loads(asker.stdout.readline())
    assert (status, told) == (0, "alive\n"), told


def test_every_compiled_class_is_looked_at() -> None:
    names = {kind.__name__ for kind in compiled_classes()}
    assert len(compiled_modules()) > 35
    assert {
        "Hasher",
        "Table",
        "Plan",
        "Gate",
        "NamedGate",
        "ClusterIndex",
        "Leases",
        "Windows",
        "Reader",
    } <= names


def test_interpreter_shuts_down_in_silence() -> None:
    code = """
from tests.support.cores import COMPILED, Limiter
from tests.support.rule import EPOCH, RuleSpec
kept = [Limiter(COMPILED, RuleSpec(name, 3)) for name in ("token-bucket", "sliding-log", "concurrency")]
outcomes = [limiter.ask(EPOCH) for limiter in kept]
"""
    result = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_garbage_collection_frees_tables_and_their_memory() -> None:
    import mmap

    def mappings() -> int:
        # By its own type: `isinstance` would ask the lazy objects of other libraries for theirs.
        return sum(type(each) is mmap.mmap for each in gc.get_objects())

    gc.collect()
    before = mappings()
    for _ in range(50):
        limiter = Limiter(COMPILED, RuleSpec("sliding-log", 3))
        limiter.ask(EPOCH)
        del limiter
    gc.collect()
    assert mappings() <= before


def test_outcome_keeps_its_table_alive() -> None:
    limiter = Limiter(COMPILED, RuleSpec("fixed-window", 3))
    outcome = limiter.ask(EPOCH, 2)
    del limiter
    gc.collect()
    assert outcome.settle_rule(0, 1, EPOCH) == -1
    outcome.undo(EPOCH)


def test_threads_share_one_limit_exactly() -> None:
    limiter = Limiter(COMPILED, RuleSpec("token-bucket", 1_000, HOUR))
    admitted: list[int] = []
    start = threading.Barrier(8)

    def hammer() -> None:
        start.wait()
        admitted.append(sum(limiter.ask(EPOCH).allowed for _ in range(500)))

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 1_000


def test_statistics_are_read_while_others_decide() -> None:
    limiter = Limiter(COMPILED, RuleSpec("token-bucket", 1_000, HOUR))
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            assert limiter.table.stats(EPOCH)["used"] <= limiter.table.capacity

    scraper = threading.Thread(target=scrape)
    scraper.start()
    for key in range(1, 3_000):
        limiter.ask(EPOCH, 1, key)
    done.set()
    scraper.join()
    assert limiter.table.stats(EPOCH)["used"] > 0
