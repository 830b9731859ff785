"""The week: requests by the hour over seven days, with outages, actors, acts and policies beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratelimit.clock import SystemClock
from ratelimit.console import pages
from ratelimit.inspection.history.week import begin_of
from ratelimit.inspection.journal.entries import journal_of, write_note
from ratelimit.policy import Policy
from tests.console.driving import reading
from tests.console.test_pages import plain as plain
from tests.support.a_week import write_week
from tests.support.time import stop_host

HOUR_NS = 3600 * 10**9


@pytest.fixture(autouse=True, params=[0, 7, 12, 19])
def _stopped_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock in the middle of some hour of today: the week is not to end while it is looked at."""
    midnight_ns = SystemClock().now_ns() // (24 * HOUR_NS) * 24 * HOUR_NS
    stop_host(monkeypatch, midnight_ns + request.param * HOUR_NS + HOUR_NS // 2)


def shown(html: str, look: str) -> list[str]:
    return re.findall(rf'<rect class="is-{look}"[^>]*><title>([^<]*)', html)


def test_the_week_has_every_hour_and_all_that_happened(plain: Path) -> None:
    now_ns = SystemClock().now_ns()
    with journal_of(Policy.load(plain)) as journal:
        assert journal.place is not None
        sums = write_week(journal.place, now_ns)
        assert sum(each.asked for each in journal.hours(now_ns - 8 * 24 * HOUR_NS)) == sum(sums.values())
        hours = journal.hours(begin_of(now_ns))
    with reading(plain) as reader:
        page = reader.get(reader.get("/").link("/week"))
        # One bar an hour in the upper part, and each refused one below, too.
        assert 160 <= len(shown(page.html, "allowed")) <= 168
        assert len(shown(page.html, "refused")) == 2 * len(shown(page.html, "allowed"))
        assert {len(shown(page.html, look)) for look in ("outages", "actors", "acts", "policies")} <= {1, 2}
        (outage,) = shown(page.html, "outages")
        assert re.search(r"not used for 2 hours, until \d\d:30:00; 9,120 requests allowed", outage)
        width = re.search(r'class="is-outages" x="[\d.]+" y="[\d.]+" width="([\d.]+)"', page.html)
        assert width is not None
        assert float(width[1]) == 10  # two hours
        assert "learned first byte 1.4 s on all requests" in page.text
        assert re.search(
            r"requests: 60/minute, was 600 \(1 % refused in the hour before, [3-9]\d[.\d]* % refused",
            page.text,
        )
        assert "<b>ann</b>" not in page.html
        assert "by &lt;b&gt;ann" in page.html
        days = page.html.partition("By the day</h2>")[2].partition("</table>")[0]
        asked = [int(each.replace(",", "")) for each in re.findall(r'</th><td class="n">([\d,]+)', days)]
        assert 7 <= len(asked) <= 8
        assert sum(asked) >= 0.97 * sum(sums.values())
        assert "one actor" in days
        classes = page.html.partition("By class</h3>")[2].partition("</table>")[0]
        numbers = [int(each.replace(",", "")) for each in re.findall(r">([\d,]+)</td>", classes)]
        assert (sum(numbers[::2]), sum(numbers[1::2])) == (
            sum(each.allowed for each in hours),
            sum(each.shed for each in hours),
        )
        assert sum(each.shed for each in hours) > 0
        assert len(page.html) < 300_000


def test_a_page_of_a_day_says_nothing_of_seven(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: who hears the page takes a day's picture for a week's; all changes are of another time."""
    monkeypatch.setattr(pages, "SHOWN_OF_KIND", 0)
    now_ns = SystemClock().now_ns()
    with journal_of(Policy.load(plain)) as journal:
        assert journal.place is not None
        write_week(journal.place, now_ns)
        write_note(journal, "all is well", [], "ann")
    with reading(plain) as reader:
        for since, words in (("1d", "a day"), ("3d", "three days"), ("7d", "a week")):
            page = reader.get(f"/week?since={since}")
            assert f'aria-label="Requests by the hour over {words};' in page.html
            links = set(re.findall(r'href="[^"]*/changes\?since=(\w+)">All changes', page.html))
            assert links == {since}


def test_a_week_without_any_request_says_so(plain: Path) -> None:
    with reading(plain) as reader:
        page = reader.get("/week")
        assert "No quarter of an hour has ended" in page.text
        assert "Nothing happened." in page.text
