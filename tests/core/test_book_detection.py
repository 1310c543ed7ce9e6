"""The table "What is detected" of docs/books.md, row by row."""

import json
import random
import zlib

import pytest
from book_sync_model import Book, venue_of

from hftcore.book_feed import BookFeed

NUMBERED = {"binance": "sequence", "binance_future": "sequence", "okx": "sequence", "kraken_future": "sequence"}


class Watched:
    """A feed, and what it said in its order."""

    def __init__(self, kind, pairs, natives, outside=False, depth=0):
        self.log = []
        self.feed = BookFeed(
            kind, pairs, natives=natives, depth=depth, snapshots="outside" if outside else "in_band",
            on_gap=lambda pair, reason, lost: self.log.append(("gap", str(pair), reason, lost)),
            on_ask=lambda pair: self.log.append(("ask", str(pair))),
        )  # fmt: skip
        self.feed.bind(self)

    def put_nowait(self, item):
        self.log.append(("book", str(item.symbol), item.seq))

    def gaps(self):
        return [entry[1:] for entry in self.log if entry[0] == "gap"]


def started(kind, seed=7):
    """A venue, a feed whose books hold, and the feed's pair of the first symbol."""
    venue = venue_of(kind, random.Random(seed))
    names = {"BTC": "btc", "XBT": "btc", "ETH": "eth"}
    natives = {}
    for native in venue.symbols:
        base = next(name for name in names if name in native)
        quote = "usdt" if "USDT" in native else "usd"
        natives[native] = f"{names[base]}/{quote}"
    watched = Watched(kind, natives.values(), natives, venue.outside, depth=10 if kind == "kraken" else 0)
    for native, pair in natives.items():
        if venue.outside:
            before = venue.snapshot(native)
            watched.feed.feed(venue.update(native).data.encode())
            assert watched.feed.snapshot(pair, before.data.encode())
        else:
            watched.feed.feed(venue.snapshot(native).data.encode())
    assert all(watched.feed.book(pair).state for pair in natives.values())
    watched.log.clear()
    return venue, watched, natives


def some(venue, native, count):
    return [venue.update(native).data.encode() for _ in range(count)]


@pytest.mark.parametrize("kind", NUMBERED)
def test_a_removed_frame_shows_with_the_next(kind):
    venue, watched, natives = started(kind)
    native, other = natives
    first, _, third = some(venue, native, 3)
    watched.feed.feed(first)
    watched.feed.feed(third)
    assert watched.gaps() == [(natives[native], "sequence", 1 if kind == "kraken_future" else None)]
    assert [entry[0] for entry in watched.log] == ["book", "gap", "ask"]
    assert not watched.feed.book(natives[native]).state
    assert watched.feed.book(natives[native]).why == "sequence"
    # No more of it, and all of the other.
    watched.log.clear()
    watched.feed.feed(some(venue, native, 1)[0])
    watched.feed.feed(some(venue, other, 1)[0])
    assert [entry[1] for entry in watched.log if entry[0] == "book"] == [natives[other]]
    assert not watched.gaps()


@pytest.mark.parametrize("kind", NUMBERED)
def test_swapped_frames_show_at_once(kind):
    venue, watched, natives = started(kind)
    native = next(iter(natives))
    first, second = some(venue, native, 2)
    watched.feed.feed(second)
    assert [gap[:2] for gap in watched.gaps()] == [(natives[native], "sequence")]
    watched.feed.feed(first)
    assert len(watched.gaps()) == 1
    assert not [entry for entry in watched.log if entry[0] == "book"]


@pytest.mark.parametrize("kind", [*NUMBERED, "kraken", "coinbase"])
def test_a_repeated_frame_changes_nothing(kind):
    venue, watched, natives = started(kind)
    native = next(iter(natives))
    first, second = some(venue, native, 2)
    watched.feed.feed(first)
    watched.feed.feed(second)
    before = watched.feed.book(natives[native]).top_texts(256)
    shown = len(watched.log)
    watched.feed.feed(second)
    assert watched.feed.book(natives[native]).top_texts(256) == before
    assert watched.feed.book(natives[native]).state
    assert not watched.gaps()
    counts = watched.feed.take_counts()
    if kind in NUMBERED:
        assert counts["outdated"] >= 1
        assert len(watched.log) == shown
    elif kind == "coinbase":
        assert counts["duplicates"] == 1
        assert len(watched.log) == shown


@pytest.mark.parametrize("kind", [*NUMBERED, "coinbase"])
def test_a_number_that_begins_anew_is_a_gap(kind):
    venue, watched, natives = started(kind)
    native = next(iter(natives))
    venue.time += 60_000
    venue.numbers[native] = 3
    venue.frame_number = 0
    watched.feed.feed(some(venue, native, 1)[0])
    if kind == "okx":  # names its predecessor, which is not the last
        assert watched.gaps()[0][1] == "sequence started anew"
    assert watched.gaps()
    assert not watched.feed.book(natives[native]).state


def test_okx_goes_on_after_maintenance_where_the_number_falls_but_follows():
    _, watched, natives = started("okx")
    native = next(iter(natives))
    last = watched.feed.book(natives[native]).seq

    def frame(previous, number, time):
        data = {"asks": [], "bids": [["999.50", "2", "0", "1"]], "ts": str(time)}
        data |= {"prevSeqId": previous, "seqId": number}
        return json.dumps({"arg": {"channel": "books", "instId": native}, "action": "update", "data": [data]}).encode()

    watched.feed.feed(frame(last, 3, 1_800_000_000_000))
    watched.feed.feed(frame(3, 3, 1_800_000_000_001))  # keep-alive
    watched.feed.feed(frame(3, 9, 1_800_000_000_002))
    assert not watched.gaps()
    assert watched.feed.book(natives[native]).seq == 9


def test_coinbase_advanced_loses_every_book_with_any_frame():
    venue, watched, natives = started("coinbase")
    native, other = natives
    some(venue, other, 2)
    watched.feed.feed(some(venue, native, 1)[0])
    assert watched.gaps() == [(pair, "sequence", 2) for pair in natives.values()]
    # All are told before any is asked for.
    assert [entry[0] for entry in watched.log] == ["gap", "gap", "ask", "ask"]


def test_coinbase_advanced_counts_frames_of_other_channels_too():
    venue, watched, natives = started("coinbase")
    native = next(iter(natives))

    def heartbeat():
        venue.frame_number += 1
        beat = {"channel": "heartbeats", "timestamp": venue._rfc3339(), "events": []}
        beat["sequence_num"] = venue.frame_number
        return json.dumps(beat).encode()

    watched.feed.feed(heartbeat())
    watched.feed.feed(some(venue, native, 1)[0])
    assert not watched.gaps()
    heartbeat()
    watched.feed.feed(heartbeat())
    assert [gap[2] for gap in watched.gaps()] == [1, 1]


def test_an_old_frame_of_coinbase_is_no_gap_though_the_last_one_says_no_time():
    venue, watched, natives = started("coinbase")
    native = next(iter(natives))
    old = some(venue, native, 1)[0]
    watched.feed.feed(old)
    venue.frame_number += 1
    watched.feed.feed(json.dumps({"channel": "heartbeats", "sequence_num": venue.frame_number, "events": []}).encode())
    watched.feed.feed(old)
    assert not watched.gaps() and watched.feed.take_counts()["duplicates"] == 1
    watched.feed.feed(some(venue, native, 1)[0])
    assert not watched.gaps()
    # A new connection counts and tells the time anew.
    watched.feed.reset()
    venue.frame_number, venue.time = -1, venue.time - 3_600_000
    for pair in natives:
        watched.feed.feed(venue.snapshot(pair).data.encode())
    assert not watched.gaps() and all(watched.feed.book(pair).state for pair in natives.values())


def test_kraken_checksum_finds_what_is_in_the_ten_best_levels():
    venue, watched, natives = started("kraken")
    native = next(iter(natives))
    some(venue, native, 1)  # removed
    for frame in some(venue, native, 30):
        watched.feed.feed(frame)
    assert watched.gaps()[0][:2] == (natives[native], "checksum")
    at = next(number for number, entry in enumerate(watched.log) if entry[0] == "gap")
    assert not [entry for entry in watched.log[at:] if entry[0] == "book"]


def test_okx_of_2022_has_a_checksum():
    book = Book()
    natives = {"BTC-USDT": "btc/usdt"}
    watched = Watched("okx", natives.values(), natives)

    def frame(action, bids, asks, wrong=0):
        book.apply(bids, asks, whole=action == "snapshot")
        sides = book.top(25)
        text = ":".join(part for pair in zip(*sides, strict=True) for level in pair for part in level)
        checksum = zlib.crc32(text.encode()) + wrong
        signed = checksum - 2**32 if checksum >= 2**31 else checksum
        data = {"asks": [[*x, "0", "1"] for x in asks], "bids": [[*x, "0", "1"] for x in bids], "ts": "1652458996000"}
        data["checksum"] = signed
        arg = {"channel": "books", "instId": "BTC-USDT"}
        return json.dumps({"arg": arg, "action": action, "data": [data]}).encode()

    watched.feed.feed(frame("snapshot", [("1.5", "2"), ("1.4", "3")], [("1.6", "1"), ("1.7", "1")]))
    watched.feed.feed(frame("update", [("1.5", "1")], [("1.6", "9")]))
    assert [entry[0] for entry in watched.log] == ["book", "book"]
    watched.feed.feed(frame("update", [("1.5", "4")], [], wrong=1))
    assert watched.gaps() == [("btc/usdt", "checksum", None)]


def test_coinbase_exchange_detects_nothing():
    watched = Watched("coinbase", ["btc/usd"], None)

    def update(price, time):
        change = {"type": "l2update", "product_id": "BTC-USD", "changes": [["buy", price, "1"]], "time": time}
        return json.dumps(change).encode()

    whole = {"type": "snapshot", "product_id": "BTC-USD", "bids": [["1", "1"]], "asks": [["9", "1"]]}
    watched.feed.feed(json.dumps(whole).encode())
    watched.feed.feed(update("3", "2026-03-01T12:00:02Z"))  # one before it is missing
    watched.feed.feed(update("2", "2026-03-01T12:00:01Z"))
    assert not watched.gaps()
    assert len([entry for entry in watched.log if entry[0] == "book"]) == 3


@pytest.mark.parametrize("kind", ["okx", "binance"])
def test_a_crossed_book_is_told_and_not_shown(kind):
    venue, watched, natives = started(kind)
    native = next(iter(natives))
    venue.books[native].asks.clear()
    crossing = [("1100.00", "1")]
    previous = venue.numbers[native]
    venue.numbers[native] += 1
    frame = venue._frame(native, crossing, [], whole=False, first=previous + 1, previous=previous)
    watched.feed.feed(frame.data.encode())
    assert [entry[0] for entry in watched.log][:2] == ["gap", "ask"]
    assert watched.gaps()[0][1] == "crossed book"


@pytest.mark.parametrize("kind", [*NUMBERED, "kraken", "coinbase"])
def test_a_book_that_falls_by_itself_leaves_the_others_updates_as_they_are(kind):
    """At Coinbase too: no frame of the connection is missing, and the new snapshot is one of its numbered frames."""
    venue, watched, natives = started(kind)
    native, other = natives
    previous = venue.numbers[native]
    venue.numbers[native] += 1
    crossing = venue._frame(native, [("1100.50", "1")], [], whole=False, first=previous + 1, previous=previous)
    watched.feed.feed(crossing.data.encode())
    reason = "checksum" if kind == "kraken" else "crossed book"
    assert [gap[:2] for gap in watched.gaps()] == [(natives[native], reason)]
    for frame in [venue.update(name) for name in (other, native, *[other] * 5)]:
        watched.feed.feed(frame.data.encode())
    asked = venue.snapshot(native)
    if venue.outside:
        assert watched.feed.snapshot(natives[native], asked.data.encode())
    else:
        watched.feed.feed(asked.data.encode())
    for frame in (venue.update(native), venue.update(other)):
        watched.feed.feed(frame.data.encode())
    shown = [entry[1] for entry in watched.log if entry[0] == "book"]
    assert shown.count(natives[other]) == 7 and shown.count(natives[native]) >= 2
    assert len(watched.gaps()) == 1
    assert {entry[1] for entry in watched.log if entry[0] == "ask"} == {natives[native]}


def test_updates_that_wait_are_bounded_and_the_oldest_go_first():
    natives = {"BTCUSDT": "btc/usdt"}
    watched = Watched("binance", natives.values(), natives, outside=True)
    for number in range(1, 4200):
        frame = {"e": "depthUpdate", "E": number, "s": "BTCUSDT", "U": number, "u": number, "b": [], "a": []}
        watched.feed.feed(json.dumps(frame).encode())
    assert watched.feed.held("btc/usdt") == 4096
    # Older than what is left: of no use.
    old = {"lastUpdateId": 50, "bids": [["1", "1"]], "asks": [["2", "1"]]}
    assert not watched.feed.snapshot("btc/usdt", json.dumps(old).encode())
    assert watched.feed.waits("btc/usdt")
    assert watched.feed.snapshot("btc/usdt", json.dumps(old | {"lastUpdateId": 4000}).encode())
    assert watched.feed.book("btc/usdt").seq == 4199


def test_a_snapshot_waits_for_the_update_that_proves_it():
    natives = {"BTCUSDT": "btc/usdt"}
    watched = Watched("binance", natives.values(), natives, outside=True)
    whole = {"lastUpdateId": 50, "bids": [["1", "1"]], "asks": [["2", "1"]]}
    assert watched.feed.snapshot("btc/usdt", json.dumps(whole).encode())
    assert not watched.feed.waits("btc/usdt")
    assert not watched.feed.book("btc/usdt").state

    def update(first, last):
        frame = {"e": "depthUpdate", "E": last, "s": "BTCUSDT", "U": first, "u": last, "b": [], "a": []}
        return json.dumps(frame).encode()

    watched.feed.feed(update(60, 61))  # it was older than the stream: no gap, for nothing was shown
    assert watched.log == [("ask", "btc/usdt")]
    assert watched.feed.snapshot("btc/usdt", json.dumps(whole | {"lastUpdateId": 59}).encode())
    assert [entry[2] for entry in watched.log if entry[0] == "book"] == [59, 61]


def test_a_malformed_frame_changes_nothing_and_is_handed_on():
    venue, watched, natives = started("okx")
    native = next(iter(natives))
    frames = []
    watched.feed.on_frame = frames.append
    good = some(venue, native, 1)[0]
    for broken in (good[:-4], good.replace(b'"bids"', b'"bigs"'), b"\xff\xfe"):
        watched.feed.feed(broken)
    assert len(frames) == 3
    watched.feed.feed(good)
    assert [entry[0] for entry in watched.log] == ["book"]


@pytest.mark.parametrize("kind", ["binance", "kraken"])
def test_a_burst_shows_each_of_its_updates_by_itself(kind):
    venue, watched, natives = started(kind)
    alone = started(kind)[1]
    native = next(iter(natives))
    frames = some(venue, native, 8)
    ends, shown = [], []
    watched.feed.on_batch(lambda: ends.append(len(watched.log)))

    class Sink:
        def put_nowait(self, item):
            book = watched.feed.book(item.symbol)
            shown.append((item.localTimeNs, item.bids, item.asks))
            assert item.bids == [(float(price), float(volume)) for price, volume in book.top(20)[0]]

    watched.feed.bind(Sink())
    with pytest.raises(TypeError, match="frame must be bytes, was str"):
        watched.feed.feed_all([*frames, "text", frames[0]])
    assert len(shown) == len(watched.log) == 8
    assert ends == [8]
    assert len({time for time, _, _ in shown}) == 1
    for frame in frames:
        alone.feed.feed(frame)
    assert alone.log == watched.log
    assert watched.feed.take_counts()["events"] == alone.feed.take_counts()["events"]


def test_a_burst_from_within_a_sink_is_refused():
    venue, watched, natives = started("kraken")
    frames = some(venue, next(iter(natives)), 2)
    refused = []

    class Sink:
        def put_nowait(self, item):
            with pytest.raises(RuntimeError, match="within its own sinks"):
                watched.feed.feed_all(frames)
            refused.append(item)

    watched.feed.bind(Sink())
    watched.feed.feed_all(frames)
    assert len(refused) == 2
