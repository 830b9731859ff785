"""Workers that start together count in one folder, whatever another account does to its name meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from ratelimit.stores.embedded import folder
from ratelimit.stores.embedded.folder import memory_folder

ATTACKER, OWNER = 65534, 54321
WORKERS = 4
PATIENCE_S = 60
FORK = get_context("fork")
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two other users"),
    pytest.mark.timeout(300),
]


@pytest.fixture(params=["shared memory", "temporary files"])
def shared(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return what stands for `/dev/shm`, or for `/tmp` without it: any user may make names in it."""
    parent = folder.SHARED if folder.SHARED.is_dir() else None
    with tempfile.TemporaryDirectory(dir=parent) as name:
        Path(name).chmod(0o755)
        place = Path(name) / "shm"
        place.mkdir()
        place.chmod(0o1777)
        has_shared = request.param == "shared memory"
        monkeypatch.setattr(folder, "SHARED", place if has_shared else place / "absent")
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr("tempfile.tempdir", name if has_shared else str(place))
        yield place


def race(place: str, begun: Event) -> None:
    """Make and remove what the workers' folder may be called, for ever, as another account."""
    os.setuid(ATTACKER)
    usual = f"{place}/kinlimit-{OWNER}"
    names = [usual, *(f"{usual}-{number}" for number in range(2, 17))]
    ways: list[tuple[Callable[[str], object], Callable[[str], object]]] = [
        (os.mkdir, os.rmdir),
        (lambda name: Path(name).mkdir(0o777), os.rmdir),
        (lambda name: Path(name).symlink_to(place), os.unlink),
        (lambda name: os.close(os.open(name, os.O_CREAT | os.O_EXCL)), os.unlink),
    ]
    begun.set()
    for number in itertools.count():
        make, remove = ways[number // 50 % len(ways)]
        for act in (make, remove):
            for name in names if number % 7 == 0 else names[:1]:
                with contextlib.suppress(OSError):
                    act(name)


@pytest.fixture
def racing(shared: Path) -> Iterator[None]:
    """Let another account race for the names of the workers' folder."""
    begun = FORK.Event()
    racer = FORK.Process(target=race, args=(str(shared), begun), daemon=True)
    racer.start()
    try:
        assert begun.wait(PATIENCE_S)
        yield
        assert racer.is_alive(), "the attack ended early"
    finally:
        racer.kill()
        racer.join()


class Start:
    """Some workers that find or make the folder at the same time.

    They wait for the end of a pipe: a lock would stay taken by a worker that is killed.
    """

    def __init__(self, *, make: bool = True) -> None:
        self._make = make
        gate, self._opening = os.pipe()
        self._results, theirs = FORK.Pipe(duplex=False)
        self.workers = [FORK.Process(target=self._run, args=(gate, theirs)) for _ in range(WORKERS)]
        for worker in self.workers:
            worker.start()
        os.close(gate)
        theirs.close()

    def _run(self, gate: int, results: Connection) -> None:
        os.close(self._opening)
        os.setuid(OWNER)
        os.read(gate, 1)
        try:
            found = str(memory_folder(make=self._make))
        except Exception as error:
            found = repr(error)
        results.send(found)

    def begin(self) -> None:
        os.close(self._opening)

    def found(self) -> list[str]:
        """Return the folder of each worker that lived to tell."""
        for worker in self.workers:
            worker.join(PATIENCE_S)
        said = []
        with contextlib.suppress(EOFError):
            while self._results.poll():
                said.append(self._results.recv())
        self._results.close()
        return said


def start_together(*, make: bool = True) -> list[str]:
    start = Start(make=make)
    start.begin()
    found = start.found()
    assert len(found) == WORKERS
    return found


def own_folders(shared: Path) -> dict[Path, int]:
    """Return the workers' folders and their modes."""
    found = {}
    for path in shared.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the attacker's
            if (at := path.lstat()).st_uid == OWNER:
                found[path] = at.st_mode & 0o7777
    return found


@pytest.mark.usefixtures("racing")
def test_workers_meet_in_one_folder_while_another_account_races_for_its_name(
    shared: Path, pytestconfig: pytest.Config
) -> None:
    """Hazard: a name that is taken as one worker looks, and free as the next one does."""
    taken = 0
    least = pytestconfig.getoption("--kills") // 50
    for number in range(1000):
        if taken and number >= least:
            break
        found = start_together()
        assert len(set(found)) == 1, (number, found)
        assert own_folders(shared) == {Path(found[0]): 0o700}
        taken += Path(found[0]).name != f"kinlimit-{OWNER}"
        # One that starts or looks later, while the name is free or is not, finds the same.
        assert set(start_together(make=number % 2 == 0)) == {found[0]}
        Path(found[0]).rmdir()
    assert taken, "the attack never took the name first"


@pytest.mark.usefixtures("racing")
def test_workers_that_are_killed_as_they_start_keep_no_other_from_starting(shared: Path) -> None:
    """Hazard: a folder that was made, and that its maker did not live to settle."""
    for number in range(WORKERS + 1):
        start = Start()
        start.begin()
        for worker in start.workers[: number % (WORKERS + 1)]:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
        found = {*start.found(), *start_together()}
        assert len(found) == 1, found
        # A worker may have died with its offer after the others had settled on theirs.
        left = own_folders(shared)
        assert [str(path) for path, mode in left.items() if mode == 0o700] == list(found)
        for path in left:
            path.rmdir()


def test_many_names_of_another_account_delay_a_start_and_no_more(shared: Path) -> None:
    """Hazard: all names that are tried are taken, and the worker does not start."""
    for number in range(3000):
        path = shared / (f"kinlimit-{OWNER}" + (f"-{number}" if number else ""))
        path.mkdir()
        os.chown(path, ATTACKER, ATTACKER)
    found = start_together()
    assert len(set(found)) == 1
    assert Path(found[0]).stat().st_uid == OWNER
