"""The compiled core answers every request of a stream as the specification does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cores import COMPILED, REFERENCE, Limiter, reading
from tests.support.rule import RuleSpec
from tests.support.streams import OF_UNITS, Stream, streams, walk


def run_both(spec: RuleSpec, stream: Stream) -> None:
    """Walk both through one stream and compare everything they say."""
    specified = walk(Limiter(REFERENCE, spec), stream)
    compiled = walk(Limiter(COMPILED, spec), stream)
    for (now_ns, cost, expected), (_, _, found) in zip(specified, compiled, strict=True):
        assert reading(found) == reading(expected), (now_ns, cost)


@pytest.mark.parametrize("algorithm", OF_UNITS)
@given(data=st.data())
def test_same_answers_while_time_goes_forward(algorithm: str, data: st.DataObject) -> None:
    run_both(*data.draw(streams(algorithm)))


@pytest.mark.parametrize("algorithm", OF_UNITS)
@given(data=st.data())
def test_same_answers_while_the_clock_jumps_backwards(algorithm: str, data: st.DataObject) -> None:
    run_both(*data.draw(streams(algorithm, backwards=True)))
