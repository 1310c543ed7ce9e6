"""A slow, obvious reading of Kraken and Binance spot frames: the oracle that `hftcore.parse` is compared with.

`read(venue, frame)` gives (kind, rows): the kind is "events", "control" or "other", a row is a dict of the fields that
the native struct has, floats as `float(Decimal)`. It raises ValueError for what is no frame. The readings of the other
venues stand in *_oracle.py beside this file, and use its functions (`import parse_oracle`).
"""

import datetime
import functools
import importlib.util
import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
SECONDS = re.compile(r"(\d{1,11})(?:\.(\d{1,9}))?", re.ASCII)
Row = dict[str, Any]
Reader = Callable[[bytes], tuple[str, list[Row]]]


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


def read(venue: str, frame: bytes) -> tuple[str, list[Row]]:
    readers = {"kraken": kraken, "binance": binance} | _readers_of_other_files()
    return readers[venue](frame)


@functools.cache
def _readers_of_other_files() -> dict[str, Reader]:
    """The `READERS` of every *_oracle.py beside this file: from a venue's name to its reading."""
    readers: dict[str, Reader] = {}
    for path in sorted(Path(__file__).parent.glob("*_oracle.py")):
        # The reading of klines and funding is another one of the same venues.
        if path.name not in ("parse_oracle.py", "periodic_oracle.py"):
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            readers |= module.READERS
    return readers


def float_bits(row: Row) -> Row:
    """The row with its floats as hexadecimal text, so that equality is equality of bits."""
    return {key: value.hex() if isinstance(value, float) else value for key, value in row.items()}
