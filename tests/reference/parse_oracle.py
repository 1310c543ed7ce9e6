"""A slow, obvious reading of the venues' frames: the oracle that `hftcore.parse` is compared with.

`read(venue, frame)` gives (kind, rows): the kind is "events", "control" or "other", a row is a dict of the fields that
the native struct has, floats as `float(Decimal)`. It raises ValueError for what is no frame.
"""

import datetime
import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
SECONDS = re.compile(r"(\d{1,11})(?:\.(\d{1,9}))?", re.ASCII)
Row = dict[str, Any]


class Integer(Decimal):
    """A JSON number written without fraction and exponent."""


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def load(frame: bytes) -> Any:
    try:
        return json.loads(
            frame.decode("utf-8"), parse_float=Decimal, parse_int=Integer, parse_constant=_constant
        )
    except (InvalidOperation, RecursionError) as error:
        raise ValueError(str(error)) from error


def amount(value: Any) -> float:
    if isinstance(value, str):
        if not NUMBER.fullmatch(value):
            raise ValueError(f"not a number: {value!r}")
        if value.startswith("-"):
            raise ValueError(f"negative: {value!r}")
        number = float(value)
    elif isinstance(value, Decimal):
        if value.is_signed():
            raise ValueError(f"negative: {value!r}")
        number = float(value)
    else:
        raise ValueError(f"not a number: {value!r}")
    if number == float("inf"):
        raise ValueError(f"infinite: {value!r}")
    return number


def bounded(ns: int) -> int:
    if not -(2**63) <= ns < 2**63:
        raise ValueError(f"does not fit 64 bits: {ns}")
    return ns


def rfc3339(value: Any) -> int:
    match = TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"not a time: {value!r}")
    moment = datetime.datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    delta = moment - EPOCH
    seconds = delta.days * 86400 + delta.seconds
    return bounded(seconds * 10**9 + int((match[2] or "0").ljust(9, "0")))


def seconds(value: Any) -> int:
    text = str(value)
    if not isinstance(value, str | Decimal) or not (match := SECONDS.fullmatch(text)):
        raise ValueError(f"not seconds: {value!r}")
    return bounded(int(match[1]) * 10**9 + int((match[2] or "0").ljust(9, "0")))


def epoch(value: Any) -> int:
    if not isinstance(value, Integer) or value.is_signed():
        raise ValueError(f"not a time: {value!r}")
    number = int(value)
    return bounded(number * (1000 if number >= 10**15 else 10**6))


def trade_id(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, str | Decimal):
        raise ValueError(f"not an id: {value!r}")
    if isinstance(value, str):
        value = Integer(value) if re.fullmatch(r"0|[1-9][0-9]*", value, re.ASCII) else None
    whole = isinstance(value, Integer) and not value.is_signed() and value < 2**63
    return int(value) if whole else 0


def symbol(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"not a symbol: {value!r}")
    return value


def ticker(native: str, bid: Any, bid_volume: Any, ask: Any, ask_volume: Any, time: int, seq: int = 0) -> Row:
    return {
        "type": "ticker", "nativeSymbol": native, "bidPrice": amount(bid), "bidVolume": amount(bid_volume),
        "askPrice": amount(ask), "askVolume": amount(ask_volume), "exchangeTimeNs": time, "seq": seq, "flags": 0,
    }  # fmt: skip


def trade(native: str, price: Any, volume: Any, side: str, number: int, time: int, trade_time: int) -> Row:
    return {
        "type": "trade", "nativeSymbol": native, "price": amount(price), "volume": amount(volume), "side": side,
        "tradeId": number, "exchangeTimeNs": time, "tradeTimeNs": trade_time, "seq": 0, "flags": 0,
    }  # fmt: skip


def kraken(frame: bytes) -> tuple[str, list[Row]]:
    if frame.rstrip(b"\r\n ") == b"CloudFlare WebSocket proxy restarting":
        return "control", []
    root = load(frame)
    if isinstance(root, list):
        return _kraken_v1(root)
    if not isinstance(root, dict):
        return "other", []
    if "method" in root or "event" in root:
        return "control", []
    if "channel" not in root:
        error = root.get("error")
        return ("control" if isinstance(error, str) or (isinstance(error, list) and error) else "other"), []
    if not isinstance(root["channel"], str):
        raise ValueError("channel must be text")
    if root["channel"] in ("heartbeat", "status"):
        return "control", []
    if root["channel"] not in ("ticker", "trade"):
        return "other", []
    if root.get("type") not in ("snapshot", "update") or not isinstance(root.get("data"), list):
        raise ValueError("type or data is wrong")
    rows = []
    for item in root["data"]:
        if not isinstance(item, dict):
            raise ValueError("an entry must be an object")
        time = rfc3339(item["timestamp"]) if "timestamp" in item else 0
        try:
            native = symbol(item["symbol"])
            if root["channel"] == "ticker":
                row = ticker(native, item["bid"], item["bid_qty"], item["ask"], item["ask_qty"], time)
            else:
                if item["side"] not in ("buy", "sell"):
                    raise ValueError("side")
                number = trade_id(item.get("trade_id"))
                row = trade(native, item["price"], item["qty"], item["side"], number, time, time)
        except KeyError as error:
            raise ValueError(f"missing {error}") from error
        rows.append(row | {"flags": 1 if root["type"] == "snapshot" else 0})
    return "events", rows


def _kraken_v1(root: list[Any]) -> tuple[str, list[Row]]:
    if len(root) < 3 or root[-2] not in ("ticker", "trade"):
        return "other", []
    if len(root) not in (4, 5) or not isinstance(root[0], Decimal):
        raise ValueError("not a v1 frame")
    native = symbol(root[-1])
    rows = []
    for payload in root[1:-2]:
        if root[-2] == "ticker":
            if not isinstance(payload, dict) or not all(
                isinstance(payload.get(key), list) and len(payload[key]) >= 3 for key in "ab"
            ):
                raise ValueError("not a ticker")
            ask, bid = payload["a"], payload["b"]
            rows.append(ticker(native, bid[0], bid[2], ask[0], ask[2], 0))
            continue
        if not isinstance(payload, list):
            raise ValueError("trades must be an array")
        for item in payload:
            if not isinstance(item, list) or len(item) < 4 or item[3] not in ("b", "s"):
                raise ValueError("not a trade")
            time = seconds(item[2])
            rows.append(trade(native, item[0], item[1], "buy" if item[3] == "b" else "sell", 0, time, time))
    return "events", rows


def binance(frame: bytes) -> tuple[str, list[Row]]:
    root = load(frame)
    if not isinstance(root, dict):
        return "other", []
    stream = ""
    if "stream" in root:
        stream = root["stream"]
        if not isinstance(stream, str) or "data" not in root:
            raise ValueError("not a combined stream")
        root = root["data"]
    elif isinstance(root.get("event"), dict):
        return ("control" if root["event"].get("e") == "serverShutdown" else "other"), []
    named = stream.endswith("@bookTicker") or stream == "!bookTicker"
    if not isinstance(root, dict):
        if named or stream.endswith(("@trade", "@aggTrade", "bookTicker")):
            raise ValueError("data must be an object")
        return "other", []
    try:
        return _binance_payload(root, stream, named)
    except KeyError as error:
        raise ValueError(f"missing {error}") from error


def _binance_payload(root: dict[str, Any], stream: str, named: bool) -> tuple[str, list[Row]]:
    event = root.get("e", "")
    if not isinstance(event, str):
        raise ValueError("e must be text")
    if event in ("trade", "aggTrade"):
        time = epoch(root["T"])
        published = epoch(root["E"]) if "E" in root else time
        if not isinstance(root["m"], bool):
            raise ValueError("m must be true or false")
        side = "sell" if root["m"] else "buy"
        number = trade_id(root["a" if event == "aggTrade" else "t"])
        row = trade(symbol(root["s"]), root["p"], root["q"], side, number, published, time)
        return "events", [row | {"flags": 2 if event == "aggTrade" else 0}]
    if event == "serverShutdown":
        return "control", []
    levels = sum(key in root for key in "bBaA")
    looks = levels > 0 and levels + ("u" in root) + ("s" in root) >= 4
    if named or event == "bookTicker" or (looks and "e" not in root):
        seq = root["u"]
        if not isinstance(seq, Integer) or seq.is_signed() or seq >= 2**64:
            raise ValueError("u")
        time = epoch(root["E"]) if "E" in root else 0
        row = ticker(symbol(root["s"]), root["b"], root["B"], root["a"], root["A"], time, int(seq))
        return "events", [row]
    if "e" in root:
        return "other", []
    if stream.endswith(("@trade", "@aggTrade")):
        raise ValueError("missing e")
    control = any(key in root for key in ("result", "id", "method", "code", "error"))
    return ("control" if control else "other"), []


def _coinbase_side(value: Any, buy: str, sell: str) -> str:
    """The taker's side, of the maker's."""
    if value not in (buy, sell):
        raise ValueError(f"not a side: {value!r}")
    return "sell" if value == buy else "buy"


def whole(value: Any) -> int:
    if not isinstance(value, Integer) or value.is_signed() or value >= 2**64:
        raise ValueError(f"not a number of 64 bits: {value!r}")
    return int(value)


def coinbase(frame: bytes) -> tuple[str, list[Row]]:
    root = load(frame)
    if not isinstance(root, dict) or not ("type" in root or "channel" in root):
        return "other", []
    for key in ("type", "channel"):
        if not isinstance(root.get(key, ""), str):
            raise ValueError(f"{key} must be text")
    try:
        return _coinbase_exchange(root) if "type" in root else _coinbase_advanced(root)
    except KeyError as error:
        raise ValueError(f"missing {error}") from error


def _coinbase_exchange(root: dict[str, Any]) -> tuple[str, list[Row]]:
    kind = root["type"]
    if kind in ("subscriptions", "heartbeat", "error", "subscribe", "unsubscribe"):
        return "control", []
    if kind not in ("ticker", "match", "last_match"):
        return "other", []
    time = rfc3339(root["time"]) if "time" in root else 0
    native, seq = symbol(root["product_id"]), whole(root.get("sequence", Integer(0)))
    if kind == "ticker":
        bid_size, ask_size = root.get("best_bid_size", "0"), root.get("best_ask_size", "0")
        return "events", [ticker(native, root["best_bid"], bid_size, root["best_ask"], ask_size, time, seq)]
    side, number = _coinbase_side(root["side"], "buy", "sell"), trade_id(root.get("trade_id"))
    row = trade(native, root["price"], root["size"], side, number, time, time)
    return "events", [row | {"seq": seq, "flags": 1 if kind == "last_match" else 0}]


def _coinbase_advanced(root: dict[str, Any]) -> tuple[str, list[Row]]:
    channel = root["channel"]
    if channel in ("heartbeats", "subscriptions"):
        return "control", []
    if channel not in ("ticker", "ticker_batch", "market_trades"):
        return "other", []
    published = rfc3339(root["timestamp"]) if "timestamp" in root else 0
    seq = whole(root.get("sequence_num", Integer(0)))
    list_key = "trades" if channel == "market_trades" else "tickers"
    rows = []
    for event in array(root["events"]):
        if not isinstance(event, dict) or event.get("type") not in ("snapshot", "update"):
            raise ValueError("not an event")
        for item in array(event[list_key]):
            if not isinstance(item, dict):
                raise ValueError("an entry must be an object")
            quote = ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
            if channel == "ticker_batch" and not any(key in item for key in quote):
                continue
            native = symbol(item["product_id"])
            if channel == "market_trades":
                time = rfc3339(item["time"]) if "time" in item else 0
                side, number = _coinbase_side(item["side"], "BUY", "SELL"), trade_id(item.get("trade_id"))
                row = trade(native, item["price"], item["size"], side, number, published or time, time)
            else:
                row = ticker(native, *(item[key] for key in quote), published)
            rows.append(row | {"seq": seq, "flags": 1 if event["type"] == "snapshot" else 0})
    return "events", rows


def array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"not an array: {value!r}")
    return value


def milliseconds(value: Any) -> int:
    if not isinstance(value, Integer) or value.is_signed():
        raise ValueError(f"not a time: {value!r}")
    return bounded(int(value) * 10**6)


def kraken_future(frame: bytes) -> tuple[str, list[Row]]:
    root = load(frame)
    if not isinstance(root, dict):
        return "other", []
    if "event" in root:
        return "control", []
    if "feed" not in root:
        return "other", []
    feed = root["feed"]
    if not isinstance(feed, str):
        raise ValueError("feed must be text")
    if feed == "heartbeat":
        return "control", []
    try:
        if feed in ("ticker", "ticker_lite"):
            time = milliseconds(root["time"]) if "time" in root else 0
            unsized = {"bid_size": Integer(0), "ask_size": Integer(0)} if feed == "ticker_lite" else {}
            sizes = unsized | root
            native = symbol(root["product_id"])
            row = ticker(native, root["bid"], sizes["bid_size"], root["ask"], sizes["ask_size"], time)
            return "events", [row]
        if feed == "trade":
            return "events", [_kraken_future_trade(root)]
        if feed == "trade_snapshot":
            return "events", [_kraken_future_trade(item) | {"flags": 1} for item in array(root["trades"])]
    except KeyError as error:
        raise ValueError(f"missing {error}") from error
    return "other", []


def _kraken_future_trade(item: Any) -> Row:
    if not isinstance(item, dict) or item.get("side") not in ("buy", "sell"):
        raise ValueError("not a trade")
    time = milliseconds(item["time"]) if "time" in item else 0
    row = trade(symbol(item["product_id"]), item["price"], item["qty"], item["side"], 0, time, time)
    return row | {"seq": whole(item["seq"]) if "seq" in item else 0}


def read(venue: str, frame: bytes) -> tuple[str, list[Row]]:
    readers = {
        "binance": binance, "coinbase": coinbase, "kraken": kraken, "kraken_future": kraken_future,
    }  # fmt: skip
    return readers[venue](frame)


def float_bits(row: Row) -> Row:
    """The row with its floats as hexadecimal text, so that equality is equality of bits."""
    return {key: value.hex() if isinstance(value, float) else value for key, value in row.items()}
