"""`hftpy decode`: book lines carry the venue's own digits, and whether the book holds."""

import io
import json
from pathlib import Path

from hftcore.enums import Exchange
from hftpy.cli.decode import decode_files, decode_lines


def lines(exchange, *frames, depth=2):
    data = [frame.encode() if isinstance(frame, str) else json.dumps(frame).encode() for frame in frames]
    return list(decode_lines(Exchange.parse(exchange), data, depth))


def kraken(kind, bids, asks=(), checksum=None):
    def side(levels):
        return ",".join(f'{{"price":{price},"qty":{volume}}}' for price, volume in levels)

    proof = "" if checksum is None else f',"checksum":{checksum}'
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{side(bids)}],"asks":[{side(asks)}]'
        f"{proof}}}]}}"
    )


def test_kraken_digits_and_a_checksum_that_does_not_hold():
    first, second, third, fourth = lines(
        "kraken",
        kraken("snapshot", [("100.10", "1.50"), ("100.0", "2e-3"), ("99", "1")], [("100.2", "7.00")]),
        kraken("update", [("100.10", "0.00")]),
        kraken("update", [("98", "1")], checksum=1),
        kraken("update", [("97", "1")]),
    )
    assert (first["type"], first["symbol"], first["snapshot"], first["valid"]) == ("book", "btc/usd", True, True)
    assert first["bids"] == [("100.10", "1.50"), ("100.0", "2e-3")]
    assert second["bids"] == [("100.0", "2e-3"), ("99", "1")]
    assert (third["valid"], third["why"]) == (False, "checksum")
    assert not fourth["valid"]


def test_binance_in_a_session_with_its_snapshot_and_a_hole():
    def depth(first, last, bids):
        data = {"e": "depthUpdate", "E": last, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": []}
        return {"t": "recv", "ts": 1.0, "data": json.dumps({"stream": "btcusdt@depth", "data": data})}

    rest = json.dumps({"lastUpdateId": 3, "bids": [["1.0", "1"]], "asks": [["2.50", "1"]]})
    rows = lines(
        "binance",
        {"t": "header", "source": "here"},
        depth(3, 4, [["1.1", "2.0"]]),
        {"t": "http", "url": "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=10", "data": rest},
        depth(5, 6, [["1.20", "2.0"]]),
        depth(9, 9, [["1.3", "2.0"]]),
    )
    assert [(row["type"], row.get("valid")) for row in rows] == [
        ("control", None), ("book", False), ("book", True), ("book", True), ("book", False),
    ]  # fmt: skip
    assert rows[2]["bids"] == [("1.1", "2.0"), ("1.0", "1")]
    assert rows[3]["bids"] == [("1.20", "2.0"), ("1.1", "2.0")]
    assert rows[4]["why"] == "sequence"


def test_a_snapshot_that_came_before_any_update_counts():
    def depth(first, last, bids):
        data = {"e": "depthUpdate", "E": last, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": []}
        return {"t": "recv", "ts": 1.0, "data": json.dumps({"stream": "btcusdt@depth", "data": data})}

    def rest(body):
        return {"t": "http", "url": "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=10", "data": body}

    good = rest(json.dumps({"lastUpdateId": 3, "bids": [["1.0", "1"]], "asks": [["2.50", "1"]]}))
    for early in ([good], [good, rest('{"lastUpdateId": 3, "bi')]):
        *_, first, second = lines(
            "binance", {"t": "header", "source": "here"}, *early, depth(3, 4, [["1.1", "2.0"]]), depth(5, 5, [])
        )
        assert [first["valid"], second["valid"]] == [True, True]
        assert first["bids"] == [("1.1", "2.0"), ("1.0", "1")]
    # A hole between the two is none less for being at the beginning.
    first, second = lines("binance", {"t": "header", "source": "here"}, good, depth(5, 5, []), depth(6, 6, []))[-2:]
    assert [first["valid"], second["valid"]] == [False, False]


def test_books_of_one_symbol_that_come_by_several_streams_are_several():
    def depth(stream, first, last, bids):
        data = {"e": "depthUpdate", "E": last, "T": last, "s": "BTCUSDT", "U": first, "u": last, "pu": first - 1}
        return {"stream": f"btcusdt@{stream}", "data": data | {"b": bids, "a": []}}

    deltas, partial, after = lines(
        "binance_future",
        depth("depth@100ms", 1, 2, [["1.1", "2.0"]]),
        depth("depth5@100ms", 3, 4, [["1.2", "1.0"]]),
        depth("depth@100ms", 4, 5, [["1.0", "2.0"]]),
    )
    assert [row["valid"] for row in (deltas, partial, after)] == [False, True, False]
    assert partial["bids"] == [("1.2", "1.0")]

    def okx(channel, action, seq, prev, bids):
        levels = [[*level, "0", "1"] for level in bids]
        row = {"asks": [], "bids": levels, "ts": str(seq), "seqId": seq, "prevSeqId": prev}
        head = {"arg": {"channel": channel, "instId": "BTC-USDT"}}
        return head | ({"action": action} if action else {}) | {"data": [row]}

    *_, last = lines(
        "okx",
        okx("books", "snapshot", 7, -1, [("1.2", "1.0"), ("1.1", "5")]),
        okx("books5", "", 8, -1, [("1.3", "1.0")]),
        okx("books", "update", 9, 7, [("1.25", "1")]),
    )
    assert last["valid"]
    assert last["bids"] == [("1.25", "1"), ("1.2", "1.0")]


def test_coinbase_frames_of_every_channel_count():
    def frame(number, channel="l2_data", kind="update"):
        update = {"side": "bid", "price_level": "1.10", "new_quantity": "2"}
        event = {"type": kind, "product_id": "BTC-USD", "updates": [update]}
        events = [event] if channel == "l2_data" else []
        time = f"2026-03-01T12:00:0{number}Z"
        return {"channel": channel, "timestamp": time, "sequence_num": number, "events": events}

    rows = lines("coinbase", frame(0, kind="snapshot"), frame(1, "heartbeats"), frame(2), frame(4))
    assert [(row["type"], row.get("valid")) for row in rows] == [
        ("book", True), ("control", None), ("book", True), ("book", False),
    ]  # fmt: skip


def test_depth_of_zero_has_no_levels_and_a_malformed_book_is_an_error():
    (row,) = lines("kraken", kraken("snapshot", [("1", "1")]), depth=0)
    assert (row["bids"], row["asks"], row["valid"]) == ([], [], True)
    (row,) = lines("kraken", kraken("snapshot", [("-1", "1")]))
    assert row["type"] == "error"
    assert "-1" in row["reason"]


def test_a_small_book_that_does_not_say_whose_it_is():
    (row,) = lines("binance", {"lastUpdateId": 7, "bids": [["1.0", "2"]], "asks": [["1.10", "3"]]})
    assert (row["type"], row["symbol"], row["seq"], row["valid"]) == ("book", None, 7, True)
    assert row["asks"] == [("1.10", "3")]


def kraken_book(kind: str, prices: range, volume: int = 1) -> bytes:
    levels = [{"price": price, "qty": volume} for price in prices]
    data = [{"symbol": "BTC/USD", "bids": levels, "asks": [{"price": 1000, "qty": 1}]}]
    return json.dumps({"channel": "book", "type": kind, "data": data}).encode()


def test_a_kraken_book_is_as_deep_as_its_acknowledgement_says() -> None:
    acknowledgement = (
        b'{"method":"subscribe","success":true,"result":{"channel":"book","symbol":"BTC/USD","depth":25,"snapshot":true}}'
    )
    frames = [kraken_book("snapshot", range(100, 101)), kraken_book("update", range(80, 100))]
    told = list(decode_lines(Exchange.KRAKEN, [acknowledgement, *frames], 50))[-1]
    assert len(told["bids"]) == 21 and told["valid"]
    # Nobody said it: as deep as the snapshot seems to be.
    guessed = list(decode_lines(Exchange.KRAKEN, frames, 50))[-1]
    assert len(guessed["bids"]) == 10


def test_a_kraken_book_that_is_subscribed_again_may_be_deeper() -> None:
    frames = [kraken_book("snapshot", range(91, 101)), kraken_book("snapshot", range(76, 101))]
    shallow, deep = decode_lines(Exchange.KRAKEN, frames, 50)
    assert (len(shallow["bids"]), len(deep["bids"])) == (10, 25)
    v1 = b'[1,{"as":[],"bs":[%s]},"book-%d","XBT/USD"]'
    levels = b",".join(b'["%d.0","1.0","1616333924.7"]' % price for price in range(76, 101))
    rows = list(decode_lines(Exchange.KRAKEN, [v1 % (levels, 10), v1 % (levels, 25)], 50))
    assert [len(row["bids"]) for row in rows] == [10, 25]


def coinbase_row(conn: str, number: int, channel: str = "l2_data", kind: str = "update") -> dict[str, object]:
    update = {"side": "bid", "price_level": "1.10", "new_quantity": "2"}
    event = {"type": kind, "product_id": "BTC-USD", "updates": [update]}
    frame = {"channel": channel, "timestamp": f"2026-03-01T12:00:{number:02}Z", "sequence_num": number, "events": []}
    if channel == "l2_data":
        frame["events"] = [event]
    return {"t": "recv", "ts": 1.0, "conn": conn, "data": json.dumps(frame)}


def test_each_connection_of_a_session_counts_its_own_frames() -> None:
    book, ticker = "coinbase.book.1", "coinbase.ticker.1"
    rows = lines(
        "coinbase",
        {"t": "header"},
        coinbase_row(book, 0, kind="snapshot"),
        coinbase_row(ticker, 7, "heartbeats"),
        coinbase_row(book, 1),
        coinbase_row(ticker, 8, "heartbeats"),
        coinbase_row(ticker, 10, "heartbeats"),
        coinbase_row(book, 2),
        coinbase_row(book, 4),
    )
    assert [row["valid"] for row in rows if row["type"] == "book"] == [True, True, True, False]


def test_books_of_a_connection_that_is_made_again_wait_for_a_snapshot() -> None:
    def made(conn: str) -> dict[str, object]:
        return {"t": "conn", "ts": 1.0, "conn": conn, "url": "wss://example"}

    def row(conn: str, data: str) -> dict[str, object]:
        return {"t": "recv", "ts": 1.0, "conn": conn, "data": data}

    first, update = kraken("snapshot", [("2", "1")], [("3", "1")]), kraken("update", [("1", "1")])
    rows = lines(
        "kraken", {"t": "header"}, made("a"), row("a", first), row("a", update), made("b"), row("a", update),
        made("a"), row("a", update), row("a", first), {"t": "conn", "ts": 1.0, "lost": 3}, row("a", update),
    )  # fmt: skip
    assert [row["valid"] for row in rows if row["type"] == "book"] == [True, True, True, False, True, False]


def test_connections_without_a_name_are_told_apart_by_their_addresses() -> None:
    first, update = kraken("snapshot", [("2", "1")], [("3", "1")]), kraken("update", [("1", "1")])
    made = [{"t": "conn", "ts": 1.0, "url": f"wss://ws{name}.kraken.com"} for name in ("", "-auth")]
    row = {"t": "recv", "ts": 1.0, "data": update}
    rows = lines("kraken", {"t": "header"}, made[0], {**row, "data": first}, made[1], row, made[0], row)
    assert [row["valid"] for row in rows if row["type"] == "book"] == [True, True, False]


def test_books_go_on_in_the_file_that_continues_a_recording(tmp_path: Path) -> None:
    def write(name: str, header: dict[str, str], *frames: str) -> Path:
        rows = [{"t": "header", **header}, *({"t": "recv", "ts": 1.0, "conn": "a", "data": data} for data in frames)]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    update = kraken("update", [("1", "1")])
    first = write("k.00001.jsonl", {}, kraken("snapshot", [("2", "1")], [("3", "1")]))
    second = write("k.00002.jsonl", {"continues": "k.00001.jsonl"}, update)
    third = write("k.00004.jsonl", {"continues": "k.00003.jsonl"}, update)
    out = io.StringIO()
    decode_files(Exchange.KRAKEN, [first, second, third], out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["valid"] for row in rows if row["type"] == "book"] == [True, True, False]


def test_a_snapshot_by_rest_bears_the_time_of_its_entry():
    update = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 5, "u": 6, "b": [["1.0", "2"]], "a": []}
    body = {"lastUpdateId": 5, "bids": [["1.0", "1"]], "asks": [["2.0", "1"]]}
    url = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=10"
    lines = [
        {"t": "header", "exchange": "binance"},
        {"t": "recv", "ts": 1618678101.8693051, "data": json.dumps(update)},
        {"t": "http", "ts_ns": 1618678101869305222, "url": url, "data": body},
        {"t": "http", "ts_ns": 3, "url": url, "data": 1.5},  # no body, and no end of the others
        {"t": "http", "ts_ns": 3, "url": url, "data": {"code": -1121, "msg": "Invalid symbol."}},
        {"t": "recv", "ts_ns": 4, "data": json.dumps(update | {"U": 7, "u": 7})},
    ]
    rows = list(decode_lines(Exchange.BINANCE, [json.dumps(line).encode() for line in lines]))
    assert [row["type"] for row in rows] == ["control", "book", "book", "control", "control", "book"]
    assert [row["localTimeNs"] for row in rows if row["type"] == "book"] == [
        1618678101869305100, 1618678101869305222, 4,
    ]  # fmt: skip
    assert rows[2]["valid"] and rows[5]["valid"] and rows[5]["bids"] == [("1.0", "2")]
