"""A frame removed, repeated or late at every place of recorded sessions: what the books show, beside the venue's own.

What must follow is the table "What is detected" of docs/books.md. HFTPY_DAMAGE_FRAMES: of how many frames of each
session each place is tried (`make damage`); by default some places, drawn anew in each run.
"""

import os
import random
from functools import cache
from pathlib import Path

import pytest
from damage import CHECKED, LEVELS, Follower, Session, plan, read, top_of, undisturbed

from hftpy.common import Exchange

pytestmark = pytest.mark.recorded
FRAMES = int(os.environ.get("HFTPY_DAMAGE_FRAMES", "0"))
SESSIONS = (
    "binance_spot__all_20210417", "binance_us__all_20211012", "binance_usdm__all_20210417", "okx__v5_all_20210722",
    "okx__v5_books_20220513", "coinbase__advanced_20260809", "kraken__v1_book1000_20210405",
    "kraken_futures__all_20210417",
)  # fmt: skip
# What happens to a frame, and how many frames later it comes again, or comes at all.
DAMAGES = (("remove", 1), ("repeat", 0), ("repeat", 1), ("repeat", 7), ("late", 1), ("late", 4))
DELAYS = (0, 3)  # frames until a snapshot that was asked for comes


@cache
def begun(path: Path) -> tuple[Session, dict[int, dict[str, int]]]:
    """A session, and by delay how often each pair is shown where nothing is damaged."""
    session = read(path, FRAMES or 120)
    counts = {}
    for delay in DELAYS:
        follower = Follower(session, delay)
        follower.follow(undisturbed(len(session.frames)))
        assert not follower.gaps
        counts[delay] = follower.counts
    return session, counts


def try_one(session: Session, shown: dict[str, int], kind: str, far: int, delay: int, at: int) -> None:
    follower = Follower(session, delay)
    frames = session.frames
    follower.follow(plan(len(frames), kind, at, far))  # raises Wrong where anything wrong is shown
    hurt = {update.pair for update in frames[at].updates}
    gaps = follower.gaps
    numbered = session.exchange not in CHECKED
    if kind == "repeat" and (numbered or far == 0):
        assert not gaps
    if session.exchange is Exchange.COINBASE:
        # The number is the connection's: every book that was whole falls, once.
        assert len(gaps) == len({pair for pair, _, _ in gaps})
        assert {reason for _, reason, _ in gaps} <= {"sequence"}
    else:
        assert {pair for pair, _, _ in gaps} <= hurt
        assert not numbered or len(gaps) <= 1
        assert {reason for _, reason, _ in gaps} <= ({"sequence"} if numbered else {"checksum", "crossed book"})
        for pair in session.pairs:
            if pair not in hurt:
                assert follower.counts.get(str(pair), 0) == shown.get(str(pair), 0), pair
    # A frame that comes late on a numbered connection is stale, and passed over.
    missing = ("remove", "late") if session.exchange is Exchange.COINBASE else ("remove",)
    last = at + (0 if kind == "remove" else far)
    for pair in session.pairs:
        if not is_told(session, str(pair), hurt, last) or (kind in missing and begins(session, str(pair), at)):
            continue
        book = follower.feed.book(pair)
        assert book.state, f"{pair}: {book.why}"
        bids, asks = book.top(LEVELS)
        wanted = top_of(follower.venue.books[str(pair)])
        assert ([tuple(level) for level in bids], [tuple(level) for level in asks]) == wanted, pair
        if kind == "remove" and numbered and session.exchange is not Exchange.COINBASE and pair in hurt:
            assert [gap[0] for gap in gaps] == [str(pair)] or follower.first[str(pair)] >= at, pair


def is_told(session: Session, pair: str, hurt: set[str], last: int) -> bool:
    """Whether anything that follows the damage would tell of it."""
    if session.exchange is Exchange.COINBASE:
        return last + 1 < len(session.frames)
    return pair not in hurt or any(pair in {u.pair for u in frame.updates} for frame in session.frames[last + 1 :])


def begins(session: Session, pair: str, at: int) -> bool:
    """Whether a frame is a book's first: one that does not come is asked for again by the clock."""
    return any(update.whole and update.pair == pair for update in session.frames[at].updates)


@pytest.mark.parametrize(("kind", "far"), DAMAGES)
@pytest.mark.parametrize("name", SESSIONS)
def test_nothing_wrong_is_shown_wherever_a_frame_is_damaged(fixtures: Path, name: str, kind: str, far: int) -> None:
    session, counts = begun(fixtures / "sessions" / f"{name}.jsonl.gz")
    places = list(range(len(session.frames)))
    if not FRAMES:
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        places = random.Random(seed).sample(places, 2 if session.exchange is Exchange.COINBASE else 8)
    for at in places:
        for delay in DELAYS:
            print(f"{name}: {kind} at {at}, far {far}, snapshots after {delay}")
            try_one(session, counts[delay], kind, far, delay, at)
