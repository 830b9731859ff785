"""The share of mutants that the tests catch, of a sample of each room: `make mutants ROOMS=policy`.

All happens in copies of the working tree in build/mutants, made by each run. The quick tier runs once under
coverage. A mutant of Python then meets those of its tests that reach its line, the room's own folder first;
what survives meets the room's slow tests. Coverage sees nothing of Cython: for a mutant in `ext/…`, modules
that read its source are compiled anew, and it meets the tests in folders of its name, then others.
A mutant that takes too long is caught. Results lie in build/mutants/ROOM.jsonl as they come; a run with the
same seed and sources goes on from them.
"""

from __future__ import annotations

import argparse
import difflib
import fcntl
import filecmp
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import xml.etree.ElementTree as Xml
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coverage import CoverageData
from scipy.stats import binomtest

ROOT = Path(__file__).absolute().parents[2]
LEFT = shutil.ignore_patterns(
    ".git", ".venv*", "build", "dist", "*.egg-info", ".hypothesis", "__pycache__", ".*_cache", ".coverage*"
)
CORE_TESTS = ("core", "parity", "properties", "stores")
"""Folders with the tests of what is in `ext/ratelimit/core`."""
QUIET = ["-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--timeout", "60"]
SUFFIXES = (".py", ".pyx", ".pxd")
MEMORY = 16 << 30  # some tests reserve more than they use


@dataclass
class Tree:
    """A copy of the project with an environment of its own, in which tests of a mutant run."""

    path: Path
    pristine: Path

    def make(self, environment: Path) -> None:
        """Copy the project, and link all of its environment but the project itself."""
        self.end()  # what an earlier run may have left
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self.pristine, self.path, symlinks=True)
        packages = Path("lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
        made = self.path / ".venv"
        for folder in (made / packages, made / "bin"):
            folder.mkdir(parents=True)
        for entry in environment.iterdir():
            if entry.name not in ("lib", "lib64", "bin", "pyvenv.cfg") and not entry.name.startswith(".test"):
                (made / entry.name).symlink_to(entry)
        shutil.copy(environment / "pyvenv.cfg", made)
        for entry in (environment / packages).iterdir():
            if not entry.name.startswith(("__editable__", "__pycache__")):
                (made / packages / entry.name).symlink_to(entry)
        (made / packages / "tree.pth").write_text(f"{self.path}\n")
        for entry in (environment / "bin").iterdir():
            target = made / "bin" / entry.name
            text = entry.read_bytes() if entry.is_file() and not entry.is_symlink() else b""
            if text.startswith(b"#!" + bytes(environment)):
                target.write_bytes(text.replace(bytes(environment), bytes(made), 1))
                target.chmod(0o755)
            else:
                target.symlink_to(entry.readlink() if entry.is_symlink() else entry)

    def run(self, arguments: list[str], seconds: float) -> tuple[int | None, str]:
        """Run Python here and end all that it started; return its exit status, None where time ran out."""
        log = self.path / "build" / "mutant.log"
        log.parent.mkdir(exist_ok=True)
        said = {"HYPOTHESIS_PROFILE": "quick", "PYTHONHASHSEED": "0", "MUTANT_TREE": str(self.path)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.path / ".venv" / "bin" / "python", *arguments],
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={name: os.environ[name] for name in os.environ if name != "PYTHONPATH"} | said,
                start_new_session=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
            )
            try:
                status: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                self.end()
                process.wait()
        return status, log.read_text(errors="replace")

    def end(self) -> None:
        """Kill what runs for this tree, in whatever session."""
        mark = f"MUTANT_TREE={self.path}\0".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                continue

    def write(self, path: str, text: str) -> None:
        """Put a mutant in its place; what Python compiled of the file goes."""
        (self.path / path).write_text(text)
        self._forget(self.path / path)

    def restore(self) -> None:
        """Make sources, and what is compiled of them, as they were."""
        for folder in ("ratelimit", "ext", "build", "tests"):
            for file in (self.pristine / folder).rglob("*"):
                copy = self.path / file.relative_to(self.pristine)
                if file.is_file() and not (copy.exists() and filecmp.cmp(file, copy)):
                    copy.unlink(missing_ok=True)  # what is mapped by a process keeps its bytes
                    shutil.copy2(file, copy)
                    self._forget(copy)

    @staticmethod
    def _forget(file: Path) -> None:
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink()


class Tests:
    """Tests that passed in a run without mutants: what each takes, and which lines it reaches."""

    def __init__(self, tree: Tree, name: str, arguments: list[str], kept: Path) -> None:
        record, self._cover = kept / f"{name}.xml", kept / f"{name}.coverage"
        if not record.exists():
            (tree.path / "mutants.ini").write_text("[run]\nsource = ratelimit\n")
            measured = "--cov=ratelimit --cov-config=mutants.ini --cov-context=test --cov-report="
            recorded = "-n 2 --junitxml=record.xml -o junit_family=xunit1"
            _, output = tree.run([*QUIET, *measured.split(), *recorded.split(), *arguments], 3600)
            kept.mkdir(parents=True, exist_ok=True)
            if not (tree.path / "record.xml").exists():
                raise SystemExit(f"the tests cannot run:\n{output[-3000:]}")
            for made, target in ((".coverage", self._cover), ("record.xml", record)):
                (tree.path / made).replace(target)
        self.seconds: dict[str, float] = {}
        self._lines: dict[str, dict[int, set[str]]] = {}
        self._lock = threading.Lock()
        for case in Xml.parse(record).iter("testcase"):
            file = case.get("file", "")
            classes = case.get("classname", "")[len(file.removesuffix(".py")) + 1 :].replace(".", "::")
            if not any(child.tag in ("failure", "error", "skipped") for child in case):
                name = "::".join(filter(None, (file, classes, case.get("name", ""))))
                self.seconds[name] = float(case.get("time", 0))

    def reaching(self, path: str, line: int) -> set[str]:
        """Return the tests that reach a line; those that reach its file, if modules run it at import."""
        with self._lock:
            if path not in self._lines:
                data = CoverageData(str(self._cover))
                data.read()
                file = next((name for name in data.measured_files() if name.endswith(f"/{path}")), "")
                found = data.contexts_by_lineno(file) if file else {}
                self._lines[path] = {at: {name.rpartition("|")[0] for name in of} for at, of in found.items()}
            lines = self._lines[path]
        here = lines.get(line, set())
        return (set().union(*lines.values()) if "" in here else here) & self.seconds.keys()

    def chosen(self, near: set[str], folders: set[str], seconds: float) -> list[str]:
        """Return some of these tests, by what they take: own folders first, as many as fit into the time."""
        found, left = [], seconds
        for name in sorted(near, key=lambda at: (at.split("/")[1] not in folders, self.seconds[at], at)):
            left -= self.seconds[name]
            if left < 0 and found:
                break
            found.append(name)
        return found


@dataclass
class Sample:
    """The mutants of some rooms, and what became of each."""

    root: Path
    kept: Path
    size: int
    seed: int
    slow_seconds: float
    quick_seconds: float
    draw: Callable[[Path, list[str], str], Iterator[Any]]
    arguments: list[str] = field(default_factory=lambda: ["-m", "not slow and not nightly"])
    trees: list[Tree] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    slow: dict[str, Tests] = field(default_factory=dict)
    slow_lock: threading.Lock = field(default_factory=threading.Lock)
    patience: float = 60
    is_stopped: bool = False

    def prepare(self, environment: Path) -> None:
        """Copy the project, and run the quick tier once."""
        self.environment = environment
        self.kept.mkdir(parents=True, exist_ok=True)
        self.alone = (self.kept / "lock").open("w")  # two runs would change each other's trees
        try:
            fcntl.flock(self.alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"another run uses {self.kept}") from None
        pristine = self.kept / "pristine"
        shutil.rmtree(pristine, ignore_errors=True)
        shutil.copytree(self.root, pristine, symlinks=True, ignore=LEFT)
        if (self.root / "build" / "cython").exists():
            shutil.copytree(self.root / "build" / "cython", pristine / "build" / "cython")
            # Where a build looks for what need not be compiled again.
            built = pristine / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
            for module in (pristine / "ratelimit").rglob("*.so"):
                target = built / module.relative_to(pristine)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(module, target)
        setup = pristine / "setup.py"
        if setup.exists():  # a mutant is compiled once and run for a minute
            stat = setup.stat()
            setup.write_text(setup.read_text().replace('"-O3"', '"-O1"'))
            os.utime(setup, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        digest = hashlib.sha256()
        for file in sorted(pristine.rglob("*")):
            parts = file.relative_to(pristine).parts
            is_source = file.suffix in (*SUFFIXES, ".h") and parts[0] in ("ratelimit", "ext", "tests")
            if is_source and parts[1] != "mutation":  # a run goes on when this file changes
                digest.update("/".join(parts).encode() + file.read_bytes())
        self.digest = digest.hexdigest()[:16]
        self.trees = [Tree(self.kept / f"tree{at}", pristine) for at in range(2)]
        for tree in self.trees:
            tree.make(environment)
        self.quick = Tests(self.trees[0], "quick", self.arguments, self.kept / self.digest)

    def results(self, rooms: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Test mutants of these rooms, two at a time, and return what became of them."""
        free = list(self.trees)
        pristine = free[0].pristine
        found: dict[str, dict[int, dict[str, Any]]] = {room: {} for room in rooms}
        jobs = []
        for room in rooms:
            folder = pristine / f"ratelimit/{room}".replace("ratelimit/ext/", "ext/ratelimit/")
            paths = [str(file.relative_to(pristine)) for file in folder.rglob("*") if file.suffix in SUFFIXES]
            mutants = list(self.draw(pristine, sorted(paths), f"{self.seed}:{room}"))
            file = self.kept / f"{room.replace('/', '-')}.jsonl"
            for line in file.read_text().splitlines() if file.exists() else ():
                record = json.loads(line)
                if record["of"] == [self.digest, self.seed, self.size]:
                    found[room][record["at"]] = record
            # For one that cannot be compiled, another comes: which one does not depend on the other places.
            missing = [at for at in range(self.size) if at not in found[room]]
            jobs += [(at, room, mutants[at :: self.size], file) for at in missing]
        jobs.sort(key=lambda job: job[0])  # of each room some, should time run out

        def work(job: tuple[int, str, list[Any], Path]) -> None:
            at, room, mutants, file = job
            with self.lock:
                tree = free.pop()
            try:
                for mutant in mutants:
                    record = self.tested(tree, room, mutant)
                    if self.is_stopped:  # what was killed was not caught
                        return
                    if record is not None:
                        record |= {"at": at, "of": [self.digest, self.seed, self.size]}
                        with self.lock:
                            found[room][at] = record
                            with file.open("a") as output:
                                output.write(json.dumps(record) + "\n")
                            said = ("result", "path", "line", "operator", "by")
                            print(*(record[key] for key in said), flush=True)
                        break
            finally:
                tree.restore()
                free.append(tree)

        with ThreadPoolExecutor(len(self.trees)) as pool:
            try:
                for _ in pool.map(work, jobs):
                    pass
            except BaseException:
                self.is_stopped = True
                pool.shutdown(wait=False, cancel_futures=True)
                for tree in self.trees:
                    tree.end()
                raise
        self.alone.close()
        return {room: [found[room][at] for at in sorted(found[room])] for room in rooms}

    def tested(self, tree: Tree, room: str, mutant: Any) -> dict[str, Any] | None:
        """Return what became of a mutant; None if it is none."""
        source = (tree.path / mutant.path).read_text()
        text = mutant.text(source)
        if text is None:
            return None
        started = time.monotonic()
        changed = [line for line in difflib.ndiff(source.splitlines(), text.splitlines()) if line[0] in "+-"]
        tree.write(mutant.path, text)
        try:
            if room.startswith("ext/") and tree.run(["setup.py", "build_ext", "--inplace"], 1200)[0] != 0:
                return None
            by, stage = self.caught(tree, room, mutant)
        finally:
            tree.restore()
        return {
            "room": room, "path": mutant.path, "line": mutant.line, "operator": mutant.operator,
            "result": "caught" if by else "survived", "by": by, "stage": stage, "changed": changed,
            "seconds": round(time.monotonic() - started, 1),
        }  # fmt: skip

    def caught(self, tree: Tree, room: str, mutant: Any) -> tuple[str, str]:
        """Return what catches the mutant that lies in the tree, and in which tier."""
        folders = set(room.split("/")) | (set(CORE_TESTS) if "core" in room.split("/") else set())
        if room.startswith("ext/"):
            near = set(self.quick.seconds)
        else:
            near = self.quick.reaching(mutant.path, mutant.line)
        chosen = self.quick.chosen(near, folders, self.quick_seconds)
        for some in (chosen[:60], chosen[60:]):
            if by := self.fails(tree, some, self.quick):
                return by, "quick"
        if self.slow_seconds:
            with self.slow_lock:
                name = room.split("/")[1 if room.startswith("ext/") else 0]
                if name not in self.slow:
                    where = [f"tests/{name}"] if (self.root / "tests" / name).is_dir() else ["tests/cli"]
                    apart = Tree(self.kept / "apart", tree.pristine)
                    apart.make(self.environment)
                    which = ["-m", "slow and not nightly", *where]
                    self.slow[name] = Tests(apart, f"slow-{name}", which, self.kept / self.digest)
                slow = self.slow[name]
            if by := self.fails(tree, slow.chosen(set(slow.seconds), folders, self.slow_seconds), slow):
                return by, "slow"
        return "", ""

    def fails(self, tree: Tree, names: list[str], tests: Tests) -> str:
        """Return the first of these tests that fails, or what else went wrong."""
        if not names:
            return ""
        (tree.path / "mutant.txt").write_text("".join(f"{name}\n" for name in names))
        limit = self.patience + 5 * sum(tests.seconds[name] for name in names) + 0.1 * len(names)
        status, output = tree.run([*QUIET, "-x", "-n", "0", "@mutant.txt"], limit)
        if status is None:
            return f"time ({limit:.0f} s)"
        if status == 0:
            return ""
        told = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR", "E  "))]
        return f"{status}: {told[-1] if told else output[-200:]}"[:300]


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the share of each room and of all, as a table of Markdown."""
    lines = ["| room | mutants | caught | share | 95 % |", "| --- | --- | --- | --- | --- |"]
    everything = [record for some in results.values() for record in some]
    for room, records in (results | {"all": everything}).items():
        if records:
            caught = sum(record["result"] == "caught" for record in records)
            low, high = binomtest(caught, len(records)).proportion_ci(method="wilson")
            share = f"{caught / len(records):.0%} | {low:.0%} to {high:.0%}"
            lines.append(f"| {room} | {len(records)} | {caught} | {share} |")
    return "\n".join(lines)


def rooms_of(root: Path) -> list[str]:
    """Return all rooms: folders of the package, and of the core's sources."""
    found = []
    for top, prefix in (("ratelimit", ""), ("ext/ratelimit", "ext/")):
        for file in (root / top).rglob("*"):
            parts = file.relative_to(root / top).parts[:-1]
            if file.suffix in SUFFIXES and parts and file.stat().st_size:
                found.append(prefix + "/".join(parts[: 2 if parts[0] == "core" and prefix else 1]))
    return sorted(set(found))


def main() -> None:
    """Test mutants of the rooms that are named, or of all; print the table."""
    from tests.mutation.operators import drawn

    parser = argparse.ArgumentParser("python -m tests.mutation.sample", description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", help="folders of ratelimit/, or ext/…; all, if none is named")
    parser.add_argument("--sample", type=int, default=20, help="mutants of each room (20)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--quick", type=float, default=60, help="seconds of quick tests for each (60)")
    parser.add_argument("--slow", type=float, default=120, help="and of its room's slow tests (120)")
    asked = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs ignore the latter
        signal.signal(number, signal.default_int_handler)
    rooms = asked.rooms or rooms_of(ROOT)
    if unknown := sorted(set(rooms) - set(rooms_of(ROOT))):
        parser.error(f"no room is called {', '.join(unknown)}; there are {', '.join(rooms_of(ROOT))}")
    kept = ROOT / "build" / "mutants"
    sample = Sample(ROOT, kept, asked.sample, asked.seed, asked.slow, asked.quick, drawn)
    sample.prepare(Path(sys.prefix))
    results = sample.results(rooms)
    for record in (record for some in results.values() for record in some if record["result"] == "survived"):
        print(f"survived: {record['path']}:{record['line']}: {record['operator']}")
    print(table(results))


if __name__ == "__main__":
    main()
