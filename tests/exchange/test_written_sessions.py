"""Sessions as the venues write them today, which the recorded ones do not hold; each from the venue's documentation."""

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from product_fakes import coinbase_frame, coinbase_ticker
from session_rows import SlowBook, Update
from sim_session import following, rest, written

from hftcore.book import Snapshot
from hftpy.common import Exchange, Gap, Reconnected, Stale, Ticker

PAIR = "btc/usdt"
BIDS = [("99.5", "1"), ("99.0", "2"), ("98.5", "3")]
ASKS = [("100.0", "1"), ("100.5", "2"), ("101.0", "3")]
MOVES = [([("99.5", "4")], []), ([], [("100.0", "0")]), ([("99.75", "1")], [("100.5", "5")]), ([("99.75", "0")], [])]


def tops(moves: list[Any]) -> list[Any]:
    """The best two levels after the whole book and each move of it."""
    book, found = SlowBook(), []
    for number, (bids, asks) in enumerate([(BIDS, ASKS), *moves]):
        book.take(Update(PAIR, number == 0, bids, asks))
        found.append([[(float(p), float(v)) for p, v in side] for side in book.top(2)])
    return found


def shown(observer: Any) -> list[Any]:
    return [
        [
            list(zip(item.bidsPrice.tolist(), item.bidsVolume.tolist(), strict=True)),
            list(zip(item.asksPrice.tolist(), item.asksVolume.tolist(), strict=True)),
        ]
        for item in observer.of(Snapshot)
    ]


async def follow(path: Path, **settings: Any) -> tuple[list[Any], dict[str, Any]]:
    async with following(path, "book", levels=2, **settings) as run:
        await run.play()
        assert not run.observer.of(Gap, Stale, Reconnected), run.observer.log
        assert run.stats["parse_errors"] == run.stats["resyncs"] == 0
        return shown(run.observer), run.stats


def okx(action: str, before: int, number: int, bids: Any, asks: Any, time: int = 0) -> str:
    rows = {name: [[p, v, "0", "1"] for p, v in side] for name, side in (("asks", asks), ("bids", bids))}
    data = rows | {"ts": str(1790000000000 + (time or number)), "checksum": 0, "prevSeqId": before, "seqId": number}
    return json.dumps({"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [data]})


async def test_okx_of_today_counts_and_has_no_checksum(tmp_path):
    """Keep-alives name themselves as the one before; after maintenance the numbers fall once and go on."""
    a, b, c, d = MOVES
    frames = [
        okx("snapshot", -1, 50, BIDS, ASKS), okx("update", 50, 57, *a), okx("update", 57, 57, [], [], 58),
        okx("update", 57, 60, *b), okx("update", 60, 3, *c, 61), okx("update", 3, 3, [], [], 62),
        okx("update", 3, 9, *d, 63),
    ]  # fmt: skip
    got, _ = await follow(written(tmp_path / "s", Exchange.OKX, frames))
    wanted = tops(MOVES)
    assert got == [wanted[0], wanted[1], wanted[1], wanted[2], wanted[3], wanted[3], wanted[4]]


def kraken(kind: str, book: SlowBook, bids: Any, asks: Any) -> str:
    book.take(Update(PAIR, kind == "snapshot", bids, asks))
    sides = book.top(10)
    text = "".join(n.replace(".", "").lstrip("0") for side in (sides[1], sides[0]) for level in side for n in level)

    def levels(side: Any) -> str:
        return ",".join(f'{{"price":{p},"qty":{v}}}' for p, v in side)

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{levels(bids)}],'
        f'"asks":[{levels(asks)}],"checksum":{crc32(text.encode())},"timestamp":"2026-10-01T12:00:00.000001Z"}}]}}'
    )


async def test_kraken_v2_with_its_status_and_heartbeats(tmp_path):
    book, beat = SlowBook(), '{"channel":"heartbeat"}'
    status = {"channel": "status", "type": "update", "data": [{"system": "online", "connection_id": 2**64 - 1}]}
    frames = [json.dumps(status), kraken("snapshot", book, BIDS, ASKS), beat]
    for bids, asks in MOVES:
        frames += [kraken("update", book, bids, asks), beat]
    got, _ = await follow(written(tmp_path / "s", Exchange.KRAKEN, frames))
    assert got == tops(MOVES)


def diff(number: int, bids: Any, asks: Any, future: bool) -> dict[str, Any]:
    """Numbers go up by ten; at the futures only `pu` proves that none is missing."""
    data = {"e": "depthUpdate", "E": 1790000000000 + number, "s": "BTCUSDT", "U": number * 10 - 9, "u": number * 10}
    if future:
        data |= {"U": number * 10 - 4, "pu": number * 10 - 10, "T": 1790000000000 + number}
    return data | {"b": bids, "a": asks}


@pytest.mark.parametrize("speed", ["depth", "depth@100ms", "depth@500ms", ""])
@pytest.mark.parametrize("exchange", [Exchange.BINANCE, Exchange.BINANCE_FUTURE], ids=str)
async def test_binance_diffs_of_any_speed_and_raw(tmp_path, exchange, speed):
    """Without an envelope too, as a connection to `/ws` brings them."""
    whole = json.dumps({"lastUpdateId": 10, "bids": BIDS, "asks": ASKS})
    lines: list[Any] = []
    for number, (bids, asks) in enumerate([([], []), *MOVES], 1):
        data = diff(number, bids, asks, exchange is Exchange.BINANCE_FUTURE)
        lines.append(json.dumps({"stream": f"btcusdt@{speed}", "data": data} if speed else data))
        if number == 1:
            lines.append(rest("BTCUSDT", whole))
    got, stats = await follow(written(tmp_path / "s", exchange, lines))
    wanted = tops(MOVES)
    # USD-M: the update that the snapshot ends with goes onto it.
    assert got == ([wanted[0], *wanted] if exchange is Exchange.BINANCE_FUTURE else wanted)
    assert stats["held"] == 1


@pytest.mark.parametrize("stream", ["depth20@100ms", "depth5", "depth10"])
async def test_binance_partial_depths_are_whole_books(tmp_path, stream):
    book, lines = SlowBook(), []
    for number, (bids, asks) in enumerate([(BIDS, ASKS), *MOVES]):
        book.take(Update(PAIR, number == 0, bids, asks))
        sides = dict(zip(("bids", "asks"), book.top(20), strict=True))
        lines.append(json.dumps({"stream": f"btcusdt@{stream}", "data": {"lastUpdateId": number + 7, **sides}}))
    got, _ = await follow(written(tmp_path / "s", Exchange.BINANCE, lines))
    assert got == tops(MOVES)


async def test_kraken_futures_counts_each_product(tmp_path):
    frames = []
    for product in ("PF_XBTUSD", "PI_XBTUSD"):
        head = {"feed": "book_snapshot", "product_id": product, "timestamp": 1790000000000, "seq": 100}
        for name, side in (("bids", BIDS), ("asks", ASKS)):
            head[name] = [{"price": float(price), "qty": float(volume)} for price, volume in side]
        frames.append(json.dumps(head | {"tickSize": None}))
    levels = [("buy", *level) for bids, _ in MOVES for level in bids] + [("sell", "100.0", "7")]
    for number, (side, price, qty) in enumerate(levels, 101):
        for product in ("PI_XBTUSD", "PF_XBTUSD"):
            level = {"feed": "book", "product_id": product, "side": side, "seq": number, "price": float(price)}
            frames.append(json.dumps(level | {"qty": float(qty), "timestamp": 1790000000000 + number}))
    got, stats = await follow(written(tmp_path / "s", Exchange.KRAKEN_FUTURE, frames))
    assert len(got) == len(frames) == stats["events"] and got[2::2] == got[3::2]


async def test_coinbase_on_several_connections_of_one_session(tmp_path):
    """Each counts from 0, and so does one that was made anew; what another one carried too is played once."""

    def line(connection: str, text: str = "") -> dict[str, Any]:
        url = {"url": "wss://advanced-trade-ws.coinbase.com"}
        return {"t": "recv", "ts": 1, "conn": connection, "data": text} if text else {
            "t": "conn", "ts": 1, "conn": connection, **url,
        }  # fmt: skip

    def ticker(connection: str, number: int, bid: float, product: str) -> dict[str, Any]:
        return line(connection, coinbase_frame("ticker", number, [coinbase_ticker(bid, product)]))

    lines = [
        line("a"), line("b"), ticker("a", 0, 1.0, "BTC-USD"), ticker("b", 0, 1.0, "BTC-USD"),
        ticker("b", 1, 2.0, "ETH-USD"), ticker("b", 2, 3.0, "BTC-USD"), ticker("b", 3, 4.0, "ETH-USD"),
        ticker("a", 1, 5.0, "BTC-USD"), line("a"), ticker("a", 0, 6.0, "BTC-USD"), ticker("a", 1, 7.0, "BTC-USD"),
    ]  # fmt: skip
    async with following(written(tmp_path / "s", Exchange.COINBASE, lines), "ticker") as run:
        await run.play()
        assert [item.bidPrice for item in run.observer.of(Ticker)] == [1.0, 2.0, 4.0, 5.0, 6.0, 7.0]
        assert not run.observer.of(Gap)


async def test_coinbase_numbers_that_a_recording_lost_are_lost_to_its_readers(tmp_path):
    numbers = [0, 1, 2, 5, 6]
    lines = [coinbase_frame("ticker", number, [coinbase_ticker(float(number + 1))]) for number in numbers]
    async with following(written(tmp_path / "s", Exchange.COINBASE, lines), "ticker") as run:
        await run.play()
        assert [gap.lost for gap in run.observer.of(Gap)] == [2]
        assert len(run.observer.of(Ticker)) == len(numbers)
