"""Every file that a process has mapped is looked after: damage of any is told with the next tick."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ratelimit import Limiter
from ratelimit.policy import Policy
from ratelimit.worker.upkeep import Upkeep
from tests.stores.test_damage import CORRELATED, POLICY, admitted, overwrite, started
from tests.support.policy_lines import at_top

EVERY_FILE = at_top(
    POLICY.replace('name = "five"', 'name = "five"\nadaptive = true')
    + CORRELATED
    + """
[adaptive]
first_byte = "1s"
""",
    'ramp = "1000/hour"',
)


def mapped_by(limiter: Limiter) -> dict[str, Path]:
    """Return the files that this process has mapped for a limiter, by what they are."""
    with Path("/proc/self/maps").open() as lines:
        mapped = {Path(line.split(None, 5)[5].strip()) for line in lines if "kinlimit-" in line}
    place = limiter.store.place
    assert place is not None
    found = {}
    for path in mapped:
        if path.parent == place.parent:
            kind, _, _ = path.name.removeprefix(place.name).removeprefix(".actors-").rpartition("-")
            found[kind or ("board" if path != place else "table")] = path
    return found


def by_noise(path: Path) -> None:
    overwrite(path, 0, random.Random(5).randbytes(path.stat().st_size))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "magic": lambda path: overwrite(path, 0, b"\xff"),
    "hash key": lambda path: overwrite(path, 48, b"\xff" * 16),
    "zeros": lambda path: overwrite(path, 0, bytes(4096)),
    "noise": by_noise,
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 4096),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 4096),
    "removed": Path.unlink,
    "replaced": lambda path: Path(shutil.copy(path, f"{path}.copy")).replace(path),
}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="says which files are mapped")
@pytest.mark.parametrize("how", DAMAGES)
def test_damage_of_every_file_that_is_mapped_is_told_with_the_next_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("ratelimit.stores.embedded.folder.SHARED", tmp_path)
    path = tmp_path / "policy.toml"
    path.write_text(EVERY_FILE.format(store=""))
    running, heard = started(Policy.load(path))
    upkeep = Upkeep(running, 2.0)
    admitted(running)
    upkeep.tick()
    assert heard.codes == []
    assert set(mapped_by(running)) == {"table", "board", "conduct", "flight"}
    for kind in ("table", "board", "conduct", "flight"):
        damaged = mapped_by(running)[kind]
        before = damaged.stat().st_ino
        DAMAGES[how](damaged)
        upkeep.tick()
        assert (kind, heard.codes) == (kind, ["memory-damaged"])
        assert damaged.stat().st_ino != before
        upkeep.tick()
        assert (kind, heard.codes) == (kind, ["memory-damaged"])
        heard.said.clear()
        assert admitted(running, kind) == 5
    running.close()


def by_noise_from(start: int, size: int) -> Callable[[Path], None]:
    return lambda path: overwrite(path, start, random.Random(11).randbytes(size))


SHED_AT = 4096 + 64 * 128 + 64 * 512 * 16 + 1024 * 40
"""In the memory of requests in flight: behind its header, lanes, places and answers."""
MINUTES_AT = SHED_AT + 4096 * (48 + 8)
SHARES_AT = MINUTES_AT + 2 * 8 * (1 + 42 + 2 * 2048)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="says which files are mapped")
@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("board", by_noise_from(4096 + (1 << 14), 4096)),
        # The half in force is one of the two; the other is emptied before it is used.
        ("board", lambda path: [by_noise_from(at, 4096)(path) for at in (1 << 20, 5 << 19)]),
        ("board", lambda path: overwrite(path, 4096, bytes(1 << 12))),
        ("conduct", by_noise_from(1 << 14, 512)),
        ("conduct", by_noise_from(1 << 20, 512)),
        # A place that was never used is not of zeros, so that zeros do not look like one.
        ("conduct", lambda path: overwrite(path, 4096 + 64 * 4 * 100, bytes(8))),
        ("conduct", lambda path: overwrite(path, path.stat().st_size - 16, bytes(8))),
        ("conduct", lambda path: overwrite(path, 4096, bytes(path.stat().st_size - 4096))),
        ("flight", by_noise_from(4096, 4096)),
        ("flight", by_noise_from(SHED_AT, 48)),
        ("flight", by_noise_from(SHED_AT + 48 * 4096, 64)),
        ("flight", by_noise_from(MINUTES_AT, 64)),
        ("flight", by_noise_from(SHARES_AT + 128, 64)),
    ],
    ids=[
        "ring",
        "entries",
        "zeros in the ring",
        "records",
        "ramps",
        "zeros in a record",
        "zeros in a ramp",
        "zeros in all records",
        "lanes",
        "accounts that were shed",
        "reasons",
        "use of a minute",
        "shares",
    ],
)
def test_noise_behind_a_header_is_told_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, damage: Callable[[Path], object]
) -> None:
    """Hazard: a header that is as it was, and words behind it that send look-ups astray."""
    monkeypatch.setattr("ratelimit.stores.embedded.folder.SHARED", tmp_path)
    path = tmp_path / "policy.toml"
    path.write_text(EVERY_FILE.format(store=""))
    running, heard = started(Policy.load(path))
    upkeep = Upkeep(running, 2.0)
    for user in range(200):
        admitted(running, f"user {user}", 1)
        if user % 20 == 0 and running.clustering is not None:
            running.clustering.tick(running.now_ns())
    upkeep.tick()
    assert heard.codes == []
    damage(mapped_by(running)[kind])
    upkeep.tick()
    assert heard.codes == ["memory-damaged"]
    upkeep.tick()
    assert heard.codes == ["memory-damaged"]
    running.close()
