"""Other means against the same overload, on real processes: each of them runs."""

from __future__ import annotations

import pytest

from benchmarks.adaptive.real.run import MEANS
from benchmarks.adaptive.real.table import print_real
from tests.benchmarks.test_adaptive_real import rows_of

KINDS = {means.kind: means for means in reversed(MEANS)}


@pytest.mark.parametrize("kind", ["limit-concurrency", "semaphore"])
def test_other_means_run(kind: str, capsys: pytest.CaptureFixture[str]):
    print_real(2, [1], [KINDS[kind]])
    whole, _ = rows_of(capsys.readouterr().out)
    assert int(whole[KINDS[kind].name][0]) > 0
