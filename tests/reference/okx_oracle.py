"""A slow, obvious reading of OKX frames, for spot and derivatives."""

import re
from decimal import Decimal
from typing import Any

from parse_oracle import Integer, Row, amount, bounded, load, symbol, ticker, trade, trade_id


def time_of(value: Any) -> int:
    if value == "":
        return 0
    if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]*", value, re.ASCII):
        value = Integer(value)
    if not isinstance(value, Integer) or value.is_signed():
        raise ValueError(f"not a time: {value!r}")
    # Beyond what a Decimal is exact for it does not fit anyway.
    return bounded(int(value) * 10**6)


def sequence(value: Any) -> int:
    if not isinstance(value, Integer) or value.is_signed() or value >= 2**64:
        raise ValueError(f"not a sequence: {value!r}")
    return int(value)


def side_of_book(price: Any, volume: Any) -> tuple[Any, Any]:
    if price == "":
        if volume != "" and amount(volume) != 0:
            raise ValueError("a size without a price")
        return Decimal(0), Decimal(0)
    if volume == "":
        raise ValueError("a price without a size")
    return price, volume


def best(levels: Any) -> tuple[Any, Any]:
    if not isinstance(levels, list) or len(levels) > 1:
        raise ValueError("not one level")
    if not levels:
        return Decimal(0), Decimal(0)
    if not isinstance(levels[0], list) or len(levels[0]) < 4:
        raise ValueError("not a level")
    return levels[0][0], levels[0][1]


def is_aggregate(count: Any) -> bool:
    if count == "":
        return False
    if isinstance(count, str) and re.fullmatch(r"0|[1-9][0-9]*", count, re.ASCII):
        count = Integer(count)
    if not isinstance(count, Integer) or count.is_signed() or count >= 2**64:
        raise ValueError(f"not a count: {count!r}")
    return count > 1


def entry(channel: str, instrument: Any, item: Any) -> Row:
    if not isinstance(item, dict):
        raise ValueError("an entry must be an object")
    if channel == "tickers":
        native = symbol(item["instId"])
        ask, bid = side_of_book(item["askPx"], item["askSz"]), side_of_book(item["bidPx"], item["bidSz"])
        return ticker(native, *bid, *ask, time_of(item["ts"]))
    seq = sequence(item["seqId"]) if "seqId" in item else 0
    if channel == "bbo-tbt":
        return ticker(symbol(instrument), *best(item["bids"]), *best(item["asks"]), time_of(item["ts"]), seq)
    if item["side"] not in ("buy", "sell"):
        raise ValueError("side")
    time, number = time_of(item["ts"]), trade_id(item["tradeId"])
    row = trade(symbol(item["instId"]), item["px"], item["sz"], item["side"], number, time, time)
    return row | {"seq": seq, "flags": 2 if is_aggregate(item.get("count", "")) else 0}


def read(frame: bytes) -> tuple[str, list[Row]]:
    if frame.rstrip(b"\r\n ") in (b"pong", b"ping"):
        return "control", []
    root = load(frame)
    if not isinstance(root, dict):
        return "other", []
    if "event" in root or "op" in root:
        return "control", []
    if "arg" not in root:
        return ("control" if root.get("code", "0") != "0" else "other"), []
    arg = root["arg"]
    if not isinstance(arg, dict) or not isinstance(arg.get("channel"), str):
        raise ValueError("arg must have a channel")
    channel = arg["channel"]
    if channel == "status":
        return "control", []
    if channel not in ("tickers", "bbo-tbt", "trades", "trades-all"):
        return "other", []
    if channel == "bbo-tbt":
        symbol(arg.get("instId"))
    if not isinstance(root.get("data"), list):
        raise ValueError("data must be an array")
    try:
        return "events", [entry(channel, arg.get("instId"), item) for item in root["data"]]
    except KeyError as error:
        raise ValueError(f"missing {error}") from error


READERS = {"okx": read, "okx_swap": read}
