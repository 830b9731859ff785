"""Each form of usage is read for what it is: whole, in pieces, and never wrong where it is called exact."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from ratelimit.usage.reader import Reader
from ratelimit.usage.report import UsageReading, message_reader, reader_of, reading_of
from ratelimit.usage.shapes import headers_of, scaled
from tests.usage.forms import FORMS, LATER, Form
from tests.usage.further_forms import FURTHER

each_form = pytest.mark.parametrize("form", [*FORMS, *LATER, *FURTHER], ids=lambda form: form.name)


def reader_for(form: Form) -> Reader:
    reader = message_reader("auto") if isinstance(form.body, tuple) else reader_of("auto", form.content_type)
    assert reader is not None
    reader.expect(**form.asked)
    told = headers_of("auto") or {}
    for name, value in form.headers:
        slot, factor = told[name]
        reader.foretell(slot, scaled(value, factor))
    return reader


def read(form: Form, *cuts: int) -> UsageReading:
    """Return what a form is read as, cut at some places."""
    reader = reader_for(form)
    if isinstance(form.body, tuple):
        for message in form.body:
            reader.message(message)
    else:
        for start, end in pairwise([0, *cuts, len(form.body)]):
            reader.feed(form.body[start:end])
    return reading_of(reader, is_complete=True)


@each_form
def test_form(form: Form) -> None:
    reading = read(form)
    assert (reading.certainty, reading.usage) == (form.certainty, form.usage)


@each_form
def test_no_split_changes_a_count(form: Form) -> None:
    """In two at many places, and in single bytes."""
    if isinstance(form.body, tuple):
        pytest.skip("messages are not split")
    expected, size = read(form), len(form.body)
    places = range(size) if size < 400 else Random(size).sample(range(size), 60)
    for at in places:
        assert read(form, at) == expected, at
    if size < 20_000:
        assert read(form, *range(1, size)) == expected


@each_form
def test_a_part_of_an_answer_is_never_more_than_certain(form: Form) -> None:
    """A hang-up anywhere: what is said to be exact is all that came, and what came is never refunded."""
    if isinstance(form.body, tuple):
        pytest.skip("each message counts when it comes")
    if "says it stopped" in form.name:
        pytest.skip("each of its chunks looks like the last")
    whole, size = sum(form.usage.numbers[:4]), len(form.body)
    for at in Random(size).sample(range(size), min(size, 60)):
        reader = reader_for(form)
        reader.feed(form.body[:at])
        reading = reading_of(reader, is_complete=False)
        if reading.certainty == "exact":
            assert sum(reading.usage.numbers[:4]) == whole, at
