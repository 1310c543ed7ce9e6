"""Recorded order books: every checksum that the venues sent, and every best bid and ask that is proven.

The frames are read here with the standard library, number by number as text: the book alone is judged, not the parsers.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hftcore.book import OrderBook
from hftcore.enums import BookState

pytestmark = pytest.mark.recorded
Texts = list[tuple[str, str]]


def lines(path: Path) -> Iterator[tuple[int, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from enumerate(file, start=1)


def read(text: str) -> Any:
    return json.loads(text, parse_float=str)


def proven(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    rows = (json.loads(row) for _, row in lines(folder / "DERIVED_TOB.jsonl.gz"))
    return {(row["file"], row["line"]): row for row in rows}


def top(book: OrderBook) -> tuple[list[str], list[str]]:
    (bid,), (ask,) = book.top_texts(1)
    return list(bid), list(ask)


def kraken_v1(message: list[Any]) -> tuple[str, int, bool, Texts, Texts, str | None]:
    payloads, channel, pair = message[1:-2], message[-2], message[-1]
    merged = {key: value for payload in payloads for key, value in payload.items()}
    snapshot = "as" in merged
    bids, asks = (merged.get(key, []) for key in (("bs", "as") if snapshot else ("b", "a")))
    return (
        pair,
        int(channel.split("-")[1]),
        snapshot,
        [(level[0], level[1]) for level in bids],
        [(level[0], level[1]) for level in asks],
        merged.get("c"),
    )


@pytest.mark.parametrize(("file", "least"), [("v1_book.jsonl.gz", 14_000), ("v1_book_pks.jsonl", 979)])
def test_kraken_v1(fixtures, file, least):
    wanted, name = proven(fixtures / "kraken"), file.removesuffix(".gz")
    books: dict[str, OrderBook] = {}
    sums = tops = 0
    for number, line in lines(fixtures / "kraken" / file):
        message = read(line)
        if not isinstance(message, list):
            continue
        pair, depth, snapshot, bids, asks, checksum = kraken_v1(message)
        if snapshot:
            books[pair] = OrderBook("kraken", pair, depth)
            books[pair].apply_snapshot(bids, asks)
        elif pair in books:
            books[pair].apply(bids, asks)
        row = wanted.get((name, number))
        if row is None:
            continue  # what no source proves begins in the middle, or was edited
        assert top(books[pair]) == (row["bid"], row["ask"]), f"line {number}"
        tops += 1
        if checksum is not None:
            assert books[pair].checksum_kraken() == int(checksum), f"line {number}"
            sums += 1
    assert sums >= least
    assert tops == sum(other == name for other, _ in wanted)


def test_a_whole_session_of_kraken(fixtures):
    """Ten pairs of 1000 levels: the checksum of every update."""
    books: dict[str, OrderBook] = {}
    sums = 0
    for number, message in session(fixtures / "sessions" / "kraken__v1_book1000_20210405.jsonl.gz"):
        if not isinstance(message, list):
            continue
        pair, depth, snapshot, bids, asks, checksum = kraken_v1(message)
        if snapshot:
            books[pair] = OrderBook("kraken", pair, depth)
        (books[pair].apply_snapshot if snapshot else books[pair].apply)(bids, asks)
        if checksum is not None:
            assert books[pair].checksum_kraken() == int(checksum), f"line {number}"
            sums += 1
    assert (len(books), sums > 14_000) == (10, True)


def test_kraken_v2(fixtures):
    """This source wrote numbers without their trailing zeros: the pair has 1 and 8 decimals."""
    file = "v2_book_pks.jsonl"
    wanted = proven(fixtures / "kraken")
    book = OrderBook("kraken", "btc/usd", 10)
    book.set_decimals(1, 8)
    sums = tops = 0
    for number, line in lines(fixtures / "kraken" / file):
        message = read(line)
        if message.get("channel") != "book":
            continue
        (data,) = message["data"]
        bids, asks = ([(level["price"], level["qty"]) for level in data[side]] for side in ("bids", "asks"))
        if message["type"] == "snapshot":
            book.apply_snapshot(bids, asks)
        else:
            book.apply(bids, asks)
        assert book.checksum_kraken() == data["checksum"], f"line {number}"
        sums += 1
        row = wanted.get((file, number))
        if row is not None:
            assert tuple(tuple(map(float, side)) for side in top(book)) == (
                tuple(map(float, row["bid"])),
                tuple(map(float, row["ask"])),
            )
            tops += 1
    assert sums >= 510
    assert tops == sum(name == file for name, _ in wanted)


@pytest.mark.parametrize(("venue", "least"), [("okx_spot", 940), ("okx_swap", 400)])
def test_okx(fixtures, venue, least):
    wanted = proven(fixtures / venue)
    books: dict[tuple[str, str], OrderBook] = {}
    sums = tops = 0
    for number, line in lines(fixtures / venue / "books.jsonl"):
        message = read(line)
        if "action" not in message:
            continue
        key = (message["arg"]["channel"], message["arg"]["instId"])
        for data in message["data"]:
            bids, asks = ([(level[0], level[1]) for level in data[side]] for side in ("bids", "asks"))
            if message["action"] == "snapshot":
                books[key] = OrderBook("okx", "btc/usdt")
                books[key].apply_snapshot(bids, asks)
            elif key in books:
                books[key].apply(bids, asks)
        row = wanted.get(("books.jsonl", number))
        if row is None:
            continue  # what no source proves begins in the middle, or was edited
        assert books[key].checksum_okx() == data["checksum"], f"line {number}"
        sums += 1
        assert top(books[key]) == (row["bid"], row["ask"]), f"line {number}"
        tops += 1
    assert sums >= least
    assert tops == len(wanted)


def session(path: Path) -> Iterator[tuple[int, Any]]:
    """The number of each line, and what was received: of REST its depth snapshots, with the symbol in `s`."""
    for number, line in lines(path):
        entry = json.loads(line)
        if entry["t"] == "http":
            message = read(entry["data"])
            message["s"] = entry["url"].partition("symbol=")[2].partition("&")[0]
        elif entry["t"] == "recv":
            message = read(entry["data"])
            if isinstance(message, dict):
                if "lastUpdateId" in message:
                    message["s"] = "BTCUSDT"  # recorded among the frames of this one symbol
                message = message.get("data", message)
        else:
            continue
        yield number, message


def replay(path: Path) -> Iterator[tuple[int, str, OrderBook]]:
    """The book of a symbol after each line that changed it, by Binance's rule: a snapshot, and what is newer."""
    books: dict[str, OrderBook] = {}
    waiting: dict[str, list[tuple[int, Any]]] = {}
    for number, message in session(path):
        symbol = message.get("s", "")
        if "lastUpdateId" in message and symbol not in books:
            book = books[symbol] = OrderBook("binance", "btc/usdt")
            book.apply_snapshot(message["bids"], message["asks"], seq=message["lastUpdateId"])
            for before, delta in waiting.pop(symbol, []):
                if delta["u"] > book.seq:
                    book.apply(delta["b"], delta["a"], seq=delta["u"])
                    yield before, symbol, book
        elif message.get("e") == "depthUpdate":
            if symbol not in books:
                waiting.setdefault(symbol, []).append((number, message))
                continue
            book = books[symbol]
            if message["u"] > book.seq:
                book.apply(message["b"], message["a"], seq=message["u"])
            yield number, symbol, book


@pytest.mark.parametrize("venue", ["binance_spot", "binance_usdm"])
def test_binance(fixtures, venue):
    wanted = proven(fixtures / venue)
    tops = 0
    for file in sorted({file for file, _ in wanted}):
        for number, symbol, book in replay(fixtures / venue / file):
            row = wanted.get((file, number))
            if row is None or row["symbol"] != symbol:
                continue
            assert (book.state, book.seq) == (BookState.VALID, row["u"]), f"{file}:{number}"
            assert top(book) == (row["bid"], row["ask"]), f"{file}:{number}"
            tops += 1
    assert tops == len(wanted)
