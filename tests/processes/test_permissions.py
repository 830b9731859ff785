"""A policy file that the workers' user may not read, and may again: tried as that user, not as root."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy
from ratelimit.conduct.memory import SharedConduct, conduct_form
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.load.memory import SharedInFlight
from ratelimit.stores.embedded import folder
from ratelimit.stores.embedded.board import SharedBoard
from ratelimit.worker.upkeep import Upkeep

NOBODY = pwd.getpwnam("nobody")
POLICY = """\
version = 1
[[limit]]
name = "requests"
per = "ip"
rate = "{}/year"
algorithm = "fixed-window"
[store]
keys = 1000
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, and root again")


def rehearse(path: Path) -> None:
    """Load what is loaded late: the other user may not read the interpreter's own files."""
    limiter = Limiter(path)
    limiter.decide(client="192.0.2.1")
    path.write_text("version = ")
    limiter.reload_if_changed()
    path.write_text(POLICY.format(3))
    limiter.reload_if_changed()
    limiter.close()


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Become the user nobody; return a policy of root's that all may read."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        shared = place / "shm"
        shared.mkdir()
        shared.chmod(0o1777)
        monkeypatch.setattr(folder, "SHARED", shared)
        (place / "etc").mkdir(mode=0o755)
        path = place / "etc" / "policy.toml"
        path.write_text(POLICY.format(3))
        path.chmod(0o644)
        rehearse(path)
        os.seteuid(NOBODY.pw_uid)
        try:
            yield path
        finally:
            os.seteuid(0)


def as_root(path: Path, mode: int, text: str | None = None) -> None:
    """Change a file as its owner does."""
    os.seteuid(0)
    try:
        if text is not None:
            path.write_text(text)
        path.chmod(mode)
    finally:
        os.seteuid(NOBODY.pw_uid)


def test_file_that_may_be_read_again_is_read_again_untouched(policy: Path) -> None:
    limiter = Limiter(policy)
    as_root(policy, 0o600, POLICY.format(1000))
    rejected = limiter.reload_if_changed()
    assert rejected is not None
    assert (rejected.result, rejected.error is not None and rejected.error.code) == (
        "rejected",
        "policy-unreadable",
    )
    assert [limiter.decide(client="192.0.2.1").allowed for _ in range(4)] == [True] * 3 + [False]
    assert limiter.reload_if_changed() is None  # said once, not every two seconds
    before = policy.stat().st_mtime_ns
    as_root(policy, 0o644)
    assert policy.stat().st_mtime_ns == before
    applied = limiter.reload_if_changed()
    assert applied is not None
    assert applied.result == "applied"
    assert limiter.decide(client="192.0.2.1").allowed
    limiter.close()


def test_upkeep_ends_quietly_in_a_folder_that_may_not_be_entered(policy: Path) -> None:
    limiter = Limiter(policy)
    place = limiter.store.place
    assert place is not None
    upkeep = Upkeep(limiter, 1)
    upkeep.start()
    as_root(place.parent, 0o000)
    upkeep.stop()  # an error in one of its threads fails this test
    limiter.close()


def test_onlooker_is_told_in_words_of_a_folder_that_may_not_be_entered(policy: Path) -> None:
    loaded = Policy.load(policy)
    limiter = Limiter(loaded)
    key, place = limiter.store.hasher.key, limiter.store.place
    assert place is not None
    as_root(place.parent, 0o000)
    with pytest.raises(InspectionFailure, match="is not there"):
        attach(loaded)
    assert SharedInFlight.existing(place, key, "") is None
    assert SharedConduct.existing(place, key, conduct_form()) is None
    assert SharedBoard.existing(limiter.store, principals=8, sightings=8) is None
    limiter.close()


def test_folder_that_may_not_be_entered_keeps_the_policy_and_its_memory(policy: Path) -> None:
    limiter = Limiter(policy)
    as_root(policy.parent, 0o700)
    limiter.reload_if_changed()
    assert sum(limiter.decide(client="192.0.2.1").allowed for _ in range(5)) == 3
    place = limiter.store.place
    limiter.close()  # a file that cannot be looked at is not gone
    as_root(policy.parent, 0o755)
    assert place is not None
    assert place.exists()
    again = Limiter(policy)
    assert not again.decide(client="192.0.2.1").allowed
    again.close()
