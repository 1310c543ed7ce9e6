"""The order book: levels, depth, state, queries, checksums, refusals."""

import copy
import math
import pickle
from decimal import Decimal

import pytest
from book_model import kraken_checksum, okx_checksum

from hftcore.book import MAX_DEPTH, BookFill, OrderBook, Snapshot
from hftcore.enums import BookState, Exchange, Flag
from hftcore.errors import BookError
from hftcore.symbols import CurrencyPair

BIDS = [("100.10", "1.5"), ("100.05", "2"), ("99", "4")]
ASKS = [("100.20", "0.5"), ("100.30", "3"), ("101", "10")]


@pytest.fixture
def book() -> OrderBook:
    book = OrderBook("kraken", "btc/usd")
    book.apply_snapshot(BIDS, ASKS, exchangeTimeNs=5_000, localTimeNs=6_000, seq=7)
    return book


def test_a_new_book_is_invalid_and_empty():
    book = OrderBook(Exchange.OKX, "btc/usdt", 400)
    assert (book.exchange, book.symbol, book.depth) == (Exchange.OKX, CurrencyPair("btc/usdt"), 400)
    assert (book.state, book.why) == (BookState.INVALID, "no snapshot yet")
    assert (book.best_bid, book.best_ask, book.mid, book.spread, book.microprice) == (None,) * 5
    assert (book.crossed, book.locked, book.imbalance(5), book.bidCount, book.askCount) == (False, False, 0.0, 0, 0)
    assert book.top() == ([], [])
    assert book.take("sell", 1) == BookFill(0.0, 0.0, 0.0, 0, False)
    assert (book.checksum_kraken(), book.checksum_okx()) == (0, 0)
    with pytest.raises(BookError, match=r"btc/usdt needs a snapshot first: no snapshot yet"):
        book.apply(BIDS, ASKS)
    assert book.counters["updates"] == 0


def test_a_snapshot_makes_it_valid(book):
    assert (book.state, book.why) == (BookState.VALID, "")
    assert (book.exchangeTimeNs, book.localTimeNs, book.seq) == (5_000, 6_000, 7)
    assert book.top_texts() == (BIDS, ASKS)
    assert (book.best_bid, book.best_ask) == ((100.10, 1.5), (100.20, 0.5))
    assert repr(book) == "OrderBook(exchange='kraken', symbol='btc/usd', depth=0, state='valid', bids=3, asks=3)"


def test_another_snapshot_replaces_it(book):
    book.apply_snapshot([("1", "1")], [])
    assert book.top_texts() == ([("1", "1")], [])
    assert (book.seq, book.counters["snapshots"]) == (0, 2)


def test_deltas_insert_change_and_remove(book):
    book.apply([("100.15", "9"), ("100.05", "0"), ("98", "0.0")], [("100.20", "0.75")], seq=8)
    assert book.top_texts() == ([("100.15", "9"), *BIDS[:1], *BIDS[2:]], [("100.20", "0.75"), *ASKS[1:]])
    counters = {"inserted": 7, "changed": 1, "removed": 1, "unknownRemoved": 1, "updates": 2, "snapshots": 1}
    assert book.counters == counters | {"truncated": 0, "refused": 0}


@pytest.mark.parametrize("spelling", ["100.1", "100.100", "1001e-1", "1.001E2", "0.1001e+3", "100100.0e-3"])
def test_a_price_in_another_spelling_is_the_same_level(book, spelling):
    book.apply([(spelling, "8")], [])
    assert book.top_texts(1)[0] == [(spelling, "8")]
    assert book.bidCount == 3
    assert book.volume_at("buy", "100.10") == 8.0
    book.apply([("100.1000000000000000000000", "0")], [])
    assert book.top_texts(1)[0] == BIDS[1:2]


def test_prices_that_round_to_one_double_are_levels_of_their_own():
    book = OrderBook("binance", "btc/usdt")
    prices = ["100000000000000000.1", "100000000000000000.2", "100000000000000000.3"]
    assert len({float(price) for price in prices}) == 1
    book.apply_snapshot([(price, "1") for price in prices], [(price, "2") for price in prices])
    assert [price for price, _ in book.top_texts()[0]] == prices[::-1]
    assert [price for price, _ in book.top_texts()[1]] == prices
    assert book.crossed
    book.apply([(prices[2], "0"), (prices[1], "0")], [])
    assert (book.crossed, book.locked) == (False, True)
    book.apply([], [(prices[0], "0")])
    assert (book.crossed, book.locked) == (False, False)
    assert book.volume_at("sell", prices[0]) == 0.0
    assert book.volume_at("sell", prices[1] + "00") == 2.0


def test_a_volume_too_small_for_a_double_is_not_gone(book):
    book.apply([("100.10", "1e-400")], [])
    assert book.top_texts(1)[0] == [("100.10", "1e-400")]
    assert book.best_bid == (100.10, 0.0)
    book.apply([("100.10", "0e400")], [])
    assert book.best_bid == (100.05, 2.0)


def test_long_texts_are_kept_whole(book):
    price, volume = "101." + "0" * 900 + "1", "0." + "1" * 1000
    book.apply([], [(price, volume)])
    assert book.top_texts()[1][3] == (price, volume)
    assert book.checksum_kraken() == kraken_checksum(*book.top_texts())
    book.apply([], [(price, "3")])
    assert book.top_texts()[1][3] == (price, "3")
    book.apply([], [(price, "0")])
    assert book.top_texts()[1] == ASKS


@pytest.mark.parametrize("size", [58, 59, 60, 61, 62])
def test_texts_at_the_edge_of_the_inline_room(book, size):
    level = ("100.15", "0." + "7" * (size - 8))
    book.apply([level], [])
    assert book.top_texts(1)[0] == [level]
    assert book.checksum_kraken() == kraken_checksum(*book.top_texts())
    assert book.checksum_okx() == okx_checksum(*book.top_texts())


def test_the_depth_is_kept_after_each_update_and_not_before():
    book = OrderBook("kraken", "btc/usd", 2)
    book.apply_snapshot(BIDS, ASKS)
    assert book.top_texts() == (BIDS[:2], ASKS[:2])
    # What an update inserts below the depth stays if the same update removes a better level.
    book.apply([("99.5", "1"), ("100.10", "0")], [])
    assert book.top_texts()[0] == [BIDS[1], ("99.5", "1")]
    book.apply([("100.11", "1")], [])
    book.apply([("100.11", "0")], [])
    assert book.top_texts()[0] == [BIDS[1]]
    assert book.counters["truncated"] == 3


def test_of_one_price_the_last_level_counts(book):
    book.apply([("100.10", "0"), ("100.10", "3"), ("100.10", "0"), ("100.1", "4")], [])
    assert book.best_bid == (100.10, 4.0)


def test_other_numbers_than_text(book):
    book.apply_snapshot([(100, 2.5), (Decimal("99.50"), Decimal("1E-7"))], [[101.5, 10**20]])
    assert book.top_texts() == ([("100", "2.5"), ("99.50", "1E-7")], [("101.5", "1" + "0" * 20)])


@pytest.mark.parametrize(
    ("level", "error", "message"),
    [
        (("x", "1"), ValueError, "price must be a plain decimal number, was 'x'"),
        (("", "1"), ValueError, "price must be a plain decimal number, was ''"),
        (("1", " 1"), ValueError, "volume must be a plain decimal number, was ' 1'"),
        (("1", "+1"), ValueError, r"volume must be a plain decimal number, was '\+1'"),
        (("01", "1"), ValueError, "price must be a plain decimal number, was '01'"),
        (("1_0", "1"), ValueError, "price must be a plain decimal number, was '1_0'"),
        (("\u0661", "1"), ValueError, "price must be a plain decimal number"),
        (("-1", "1"), ValueError, "price must not be negative, was '-1'"),
        (("1", "-0.5"), ValueError, "volume must not be negative, was '-0.5'"),
        (("1e999", "1"), ValueError, "price must be a finite number, was '1e999'"),
        ((math.nan, 1), ValueError, "price must be a plain decimal number, was nan"),
        (("1" * 1025, "1"), ValueError, "price must have at most 1024 characters, had 1025: '1111"),
        (("1", None), TypeError, "volume must be text, int, Decimal or float, was None"),
        (("1", True), TypeError, "volume must be text, int, Decimal or float, was True"),
        (("1",), TypeError, r"a level must be a pair of price and volume, was \('1',\)"),
        (7, TypeError, "a level must be a pair of price and volume, was 7"),
    ],
)
def test_what_is_no_level_changes_nothing(book, level, error, message):
    for apply in (book.apply, book.apply_snapshot):
        with pytest.raises(error, match=message):
            apply([("100.10", "9")], [("100.20", "0"), level], seq=99)
    assert book.top_texts() == (BIDS, ASKS)
    assert (book.seq, book.state, book.counters["updates"]) == (7, BookState.VALID, 1)


@pytest.mark.parametrize("depth", [-1, MAX_DEPTH + 1])
def test_the_depth_has_limits(depth):
    with pytest.raises(ValueError, match=f"depth must be from 0 to {MAX_DEPTH}, was {depth}"):
        OrderBook("kraken", "btc/usd", depth)


def test_an_unknown_exchange_or_symbol_is_refused():
    with pytest.raises(ValueError, match="krakn"):
        OrderBook("krakn", "btc/usd")
    with pytest.raises(ValueError, match="must"):
        OrderBook("kraken", "btc/")


def test_it_is_invalidated_and_cleared(book):
    book.invalidate("checksum")
    assert (book.state, book.why) == (BookState.INVALID, "checksum")
    assert book.top_texts() == (BIDS, ASKS)
    with pytest.raises(BookError, match="needs a snapshot first: checksum"):
        book.apply([], [])
    book.apply_snapshot(BIDS, ASKS)
    assert (book.state, book.why) == (BookState.VALID, "")
    book.clear()
    assert (book.state, book.why, book.bidCount, book.askCount) == (BookState.INVALID, "cleared", 0, 0)


def test_prices_between_the_sides(book):
    assert book.mid == pytest.approx(100.15)
    assert book.spread == pytest.approx(0.10)
    assert book.microprice == pytest.approx((100.10 * 0.5 + 100.20 * 1.5) / 2.0)
    assert book.imbalance() == (1.5 - 0.5) / 2.0
    assert book.imbalance(2) == (3.5 - 3.5) / 7.0
    assert book.imbalance(100) == pytest.approx((7.5 - 13.5) / 21.0)


def test_crossed_and_locked(book):
    book.apply([("100.20", "1")], [])
    assert (book.crossed, book.locked) == (False, True)
    book.apply([("100.25", "1")], [])
    assert (book.crossed, book.locked) == (True, False)
    assert book.spread is not None and book.spread < 0


def test_depth_queries(book):
    assert book.volume_to("sell", 100.30) == 3.5
    assert book.volume_to("sell", 100.19) == 0.0
    assert book.volume_to("buy", 100.05) == 3.5
    assert book.volume_to("buy", 0.0) == 7.5
    fill = book.take("sell", 2.0)
    assert fill == BookFill(2.0, 0.5 * 100.20 + 1.5 * 100.30, 100.30, 2, True)
    assert fill.price == pytest.approx(fill.value / 2)
    assert book.take("buy", 1.5) == BookFill(1.5, 1.5 * 100.10, 100.10, 1, True)
    assert book.take("buy", 8.0) == BookFill(7.5, pytest.approx(1.5 * 100.10 + 2 * 100.05 + 4 * 99), 99.0, 3, False)
    assert book.take("buy", 0.0) == BookFill(0.0, 0.0, 0.0, 0, True)
    assert book.take("buy", 0.0).price is None
    assert book.take_value("sell", 0.5 * 100.20 + 100.30) == BookFill(
        pytest.approx(1.5), pytest.approx(0.5 * 100.20 + 100.30), 100.30, 2, True
    )
    assert book.take_value("sell", 1e9).complete is False
    assert book.top(1) == ([(100.10, 1.5)], [(100.20, 0.5)])
    assert book.volume_at("sell", 101) == book.volume_at("sell", Decimal("101.0")) == 10.0


def test_queries_refuse_nonsense(book):
    with pytest.raises(ValueError, match="volume must not be negative, was -1"):
        book.take("sell", -1)
    with pytest.raises(ValueError, match="value must not be negative, was nan"):
        book.take_value("sell", math.nan)
    with pytest.raises(ValueError, match=r"side must be buy \(the bids\) or sell \(the asks\), was 0"):
        book.volume_to(0, 1.0)
    for query in (book.top, book.top_texts, book.imbalance):
        with pytest.raises(ValueError, match="levels must be at least 1, was 0"):
            query(0)
    for levels in (0, 257):
        with pytest.raises(ValueError, match=f"levels must be from 1 to 256, was {levels}"):
            book.snapshot(levels)
    with pytest.raises(ValueError, match="decimals must be from 0 to 30, was 31"):
        book.set_decimals(31)


def test_krakens_worked_example():
    """Ten levels of each side, one price apart. Source: Kraken's WebSocket v1 documentation."""
    book = OrderBook("kraken", "xbt/usd", 10)
    asks = [(f"0.05{number:03}", "0.00000500") for number in range(5, 55, 5)]
    bids = [(f"{price:.5f}", "0.00000500") for price in
            (0.05, 0.04995, 0.0499, 0.0498, 0.04975, 0.0497, 0.04965, 0.0496, 0.04955, 0.0495)]  # fmt: skip
    book.apply_snapshot(bids, asks)
    assert book.checksum_kraken() == 974947235


def test_checksums_of_few_levels_and_after_changes(book):
    for _ in range(2):
        assert book.checksum_kraken() == kraken_checksum(*book.top_texts())
        assert book.checksum_okx() == okx_checksum(*book.top_texts())
        book.apply([("99.5", "0.00001000")], [("100.20", "0"), ("100.30", "0"), ("101", "0")])


def test_decimals_pad_what_has_lost_its_zeros(book):
    exact, padded = OrderBook("kraken", "btc/usd"), OrderBook("kraken", "btc/usd")
    exact.apply_snapshot([("100.10", "1.50000000")], [("101.00", "0.00005000"), ("102.50", "10.00000000")])
    padded.apply_snapshot([("100.1", "1.5")], [("101", "5e-05"), ("102.5000", "1E1")])
    assert padded.checksum_kraken() != exact.checksum_kraken()
    padded.set_decimals(2, 8)
    assert padded.checksum_kraken() == exact.checksum_kraken()
    padded.set_decimals()
    assert padded.checksum_kraken() != exact.checksum_kraken()


def test_a_snapshot_is_a_copy(book):
    snapshot = book.snapshot(2, Flag.REPLAY)
    prices = snapshot.asksPrice
    book.clear()
    assert (snapshot.bids, snapshot.asks) == ([(100.10, 1.5), (100.05, 2.0)], [(100.20, 0.5), (100.30, 3.0)])
    assert prices.tolist() == [100.20, 100.30]
    assert (snapshot.exchange, snapshot.symbol, snapshot.flags) == (Exchange.KRAKEN, CurrencyPair("btc/usd"), 4)
    assert (snapshot.exchangeTimeNs, snapshot.localTimeNs, snapshot.seq, snapshot.timestamp) == (5_000, 6_000, 7, 5)
    assert OrderBook("okx", "btc/usd").snapshot() == Snapshot(exchange="okx", symbol="btc/usd")


def test_a_book_is_neither_copied_nor_pickled(book):
    for attempt in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match=r"take a snapshot\(\)"):
            attempt(book)
