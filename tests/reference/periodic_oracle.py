"""A slow, obvious reading of klines and funding of every venue: what `hftcore.kline.PeriodicParser` is compared with.

`read(venue, frame)` gives (kind, rows) as `parse_oracle.read` does; a row has what the native struct tells, None where
the venue does not. It raises ValueError for what is no frame.
"""

import re
from decimal import Decimal
from typing import Any

from parse_oracle import NUMBER, Integer, Row, amount, bounded, epoch, load, rfc3339, seconds, symbol

CLOSED, SNAPSHOT = 8, 1
UNITS = {"s": 1, "m": 60, "h": 3600, "H": 3600, "d": 86400, "D": 86400, "w": 604800, "W": 604800}
BINANCE_CONTROL = ("result", "id", "error", "code")
COINBASE_CONTROL = ("subscriptions", "heartbeat", "error", "subscribe", "unsubscribe")


def signed(value: Any) -> float | None:
    """A number of either sign; None for empty text."""
    if value == "":
        return None
    if not isinstance(value, str | Decimal):
        raise ValueError(f"not a number: {value!r}")
    text = value[1:] if isinstance(value, str) and value.startswith("-") else value
    if isinstance(text, str) and not NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {value!r}")
    size = amount(abs(text) if not isinstance(text, str) else text)
    minus = value.startswith("-") if isinstance(value, str) else value.is_signed()
    return -size if minus else size


def whole(value: Any) -> int:
    if not isinstance(value, Integer) or value.is_signed() or value >= 2**63:
        raise ValueError(f"not a count: {value!r}")
    return int(value)


def interval(text: str) -> int:
    match = re.fullmatch(r"(\d{1,3})([smhHdDwWMY])(utc)?", text, re.ASCII)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"not an interval: {text!r}")
    return int(match[1]) * UNITS.get(match[2], 0)


def kline(native: Any, opens: int, length: int, prices: Any, volume: Any, **more: Any) -> Row:
    first, high, low, last = (amount(price) for price in prices)
    row = {
        "nativeSymbol": symbol(native), "openTimeNs": opens, "intervalS": length,
        "closeTimeNs": bounded(opens + length * 10**9) if length else 0, "open": first, "high": high, "low": low,
        "close": last, "volume": amount(volume), "quoteVolume": None, "tradeCount": None, "exchangeTimeNs": 0,
        "flags": 0,
    }  # fmt: skip
    return row | more


def funding(native: Any, time: int, **told: Any) -> Row:
    found = {"nativeSymbol": symbol(native), "exchangeTimeNs": time}
    untold = [name for name, value in told.items() if value is None or (value == 0 and "Time" in name)]
    return found | {name: value for name, value in told.items() if name not in untold}


def listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"not an array: {value!r}")
    return value


def members(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"not an object: {value!r}")
    return value


def binance(root: Any) -> tuple[str, list[Row]]:
    if isinstance(root, list):
        marks = [item for item in root if isinstance(item, dict) and item.get("e") == "markPriceUpdate"]
        rows = [_binance_funding(item) for item in marks]
        return ("events" if rows else "other"), rows
    if not isinstance(root, dict):
        return "other", []
    if "stream" in root:
        return binance(root["data"])
    if root.get("e") == "kline":
        return "events", [_binance_kline(root)]
    if root.get("e") == "markPriceUpdate":
        return "events", [_binance_funding(root)]
    is_control = root.get("e") == "serverShutdown" or any(key in root for key in BINANCE_CONTROL)
    return ("control" if is_control else "other"), []


def _binance_kline(event: Row) -> Row:
    k = members(event["k"])
    if not isinstance(k["x"], bool) or not isinstance(k["i"], str):
        raise ValueError("not a kline")
    length, end = interval(k["i"]), bounded(epoch(k["T"]) + 10**6)
    found = kline(
        event["s"], epoch(k["t"]), length, (k["o"], k["h"], k["l"], k["c"]), k["v"], quoteVolume=amount(k["q"]),
        tradeCount=whole(k["n"]), exchangeTimeNs=epoch(event["E"]), flags=CLOSED if k["x"] else 0,
    )  # fmt: skip
    return found if length else found | {"closeTimeNs": end}


def _binance_funding(event: Row) -> Row:
    time = 0 if str(event["T"]) == "0" else epoch(event["T"])
    index = signed(event["i"]) if "i" in event else None
    return funding(
        event["s"], epoch(event["E"]), rate=signed(event["r"]), markPrice=signed(event["p"]), indexPrice=index,
        fundingTimeNs=time,
    )  # fmt: skip


def okx_time(value: Any) -> int:
    if value == "":
        return 0
    if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]*", value, re.ASCII):
        value = Integer(value)
    if not isinstance(value, Integer) or value.is_signed():
        raise ValueError(f"not a time: {value!r}")
    return bounded(int(value) * 10**6)


def okx(root: Any) -> tuple[str, list[Row]]:
    if not isinstance(root, dict):
        return "other", []
    if "event" in root or "op" in root:
        return "control", []
    if "arg" not in root:
        return "other", []
    arg = members(root["arg"])
    channel = arg["channel"]
    if not isinstance(channel, str):
        raise ValueError("channel must be text")
    if channel.startswith("candle"):
        return "events", [_okx_candle(arg["instId"], channel[6:], row) for row in listed(root["data"])]
    if channel not in ("mark-price", "funding-rate"):
        return "other", []
    rows = []
    for item in map(members, listed(root["data"])):
        time = okx_time(item.get("ts", ""))
        if channel == "mark-price":
            rows.append(funding(item["instId"], time, markPrice=amount(item["markPx"])))
            continue
        rows.append(
            funding(
                item["instId"], time, rate=signed(item["fundingRate"]),
                nextRate=signed(item.get("nextFundingRate", "")),
                fundingTimeNs=okx_time(item.get("fundingTime", "")),
                nextFundingTimeNs=okx_time(item.get("nextFundingTime", "")),
            )
        )  # fmt: skip
    return "events", rows


def _okx_candle(native: Any, bar: str, row: Any) -> Row:
    if len(listed(row)) < 7 or row[0] == "":
        raise ValueError("not a candle")
    found = kline(native, okx_time(row[0]), interval(bar), row[1:5], row[5])
    if len(row) < 9 and native.count("-") == 1 and row[6] != "":
        found["quoteVolume"] = amount(row[6])
    if len(row) >= 9:
        if row[8] not in ("0", "1"):
            raise ValueError("confirm must be 0 or 1")
        quote = None if row[7] == "" else amount(row[7])
        found |= {"quoteVolume": quote, "flags": CLOSED if row[8] == "1" else 0}
    return found


def kraken(root: Any) -> tuple[str, list[Row]]:
    if isinstance(root, list):
        return _kraken_v1(root)
    if not isinstance(root, dict):
        return "other", []
    if "method" in root or "event" in root:
        return "control", []
    channel = root.get("channel")
    if channel in ("heartbeat", "status"):
        return "control", []
    if channel != "ohlc":
        return "other", []
    published = rfc3339(root["timestamp"]) if "timestamp" in root else 0
    rows = []
    for item in map(members, listed(root["data"])):
        minutes = whole(item["interval"])
        if not 0 < minutes <= 525600:
            raise ValueError("not an interval")
        count = whole(item["trades"]) if "trades" in item else None
        found = kline(
            item["symbol"], rfc3339(item["interval_begin"]), minutes * 60,
            [item[name] for name in ("open", "high", "low", "close")], item["volume"], tradeCount=count,
            exchangeTimeNs=published,
        )  # fmt: skip
        rows.append(_history(found, root.get("type") == "snapshot"))
    return "events", rows


def _history(row: Row, is_snapshot: bool) -> Row:
    over = row["exchangeTimeNs"] != 0 and row["closeTimeNs"] <= row["exchangeTimeNs"]
    return row | {"flags": SNAPSHOT | (CLOSED if over else 0)} if is_snapshot else row


def _kraken_v1(root: list[Any]) -> tuple[str, list[Row]]:
    if len(root) != 4 or not isinstance(root[2], str) or not root[2].startswith("ohlc-"):
        return "other", []
    minutes = int(root[2][5:]) if re.fullmatch(r"[1-9][0-9]{0,5}", root[2][5:], re.ASCII) else 0
    if not 0 < minutes <= 525600 or len(listed(root[1])) != 9:
        raise ValueError("not a candle")
    time, end, *prices, _, volume, count = root[1]
    length = minutes * 60
    # The last nanosecond that may belong to it.
    opens = (seconds(end) - 1) // (length * 10**9) * length * 10**9
    row = kline(root[3], opens, length, prices, volume, tradeCount=whole(count), exchangeTimeNs=seconds(time))
    return "events", [row]


def coinbase(root: Any) -> tuple[str, list[Row]]:
    if not isinstance(root, dict):
        return "other", []
    if "type" in root:
        return ("control" if root["type"] in COINBASE_CONTROL else "other"), []
    channel = root.get("channel")
    if "sequence_num" in root and "channel" in root:
        number = root["sequence_num"]
        if not isinstance(number, Integer) or number.is_signed() or number >= 2**64:
            raise ValueError("not a number of 64 bits")
    if channel in ("heartbeats", "subscriptions"):
        return "control", []
    if channel != "candles":
        return "other", []
    published = rfc3339(root["timestamp"]) if "timestamp" in root else 0
    rows = []
    for event in map(members, listed(root["events"])):
        if event["type"] not in ("snapshot", "update"):
            raise ValueError("not an event")
        for item in map(members, listed(event["candles"])):
            prices = [item[name] for name in ("open", "high", "low", "close")]
            found = kline(
                item["product_id"], seconds(item["start"]), 300, prices, item["volume"], exchangeTimeNs=published
            )
            rows.append(_history(found, event["type"] == "snapshot"))
    return "events", rows


def kraken_future(root: Any) -> tuple[str, list[Row]]:
    if not isinstance(root, dict):
        return "other", []
    if "event" in root or root.get("feed") == "heartbeat":
        return "control", []
    told = {name: value for name, value in root.items() if value is not None}
    rates = ("funding_rate", "funding_rate_prediction", "relative_funding_rate", "relative_funding_rate_prediction")
    if told.get("feed") != "ticker" or not any(name in told for name in ("markPrice", *rates)):
        return "other", []
    numbers: dict[str, Any] = {}
    for name, absolute in (("rate", "funding_rate"), ("nextRate", "funding_rate_prediction")):
        money = signed(told[absolute]) if absolute in told else None
        numbers["absolute" + name[0].upper() + name[1:]] = money
        relative = told.get("relative_" + absolute)
        if relative is not None:
            numbers[name] = signed(relative)
        elif told.get("tag") == "perpetual" and not money:
            numbers[name] = 0.0
    row = funding(
        told["product_id"], _milliseconds(told.get("time")),
        indexPrice=signed(told["index"]) if "index" in told else None,
        markPrice=amount(told["markPrice"]) if "markPrice" in told else None,
        fundingTimeNs=_milliseconds(told.get("next_funding_rate_time")), **numbers,
    )  # fmt: skip
    return "events", [row]


def _milliseconds(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, Integer) or value.is_signed():
        raise ValueError(f"not a time: {value!r}")
    return bounded(int(value) * 10**6)


READERS = {
    "binance": binance, "binance_future": binance, "okx": okx, "okx_swap": okx, "kraken": kraken, "coinbase": coinbase,
    "kraken_future": kraken_future,
}  # fmt: skip
NOTICES = {
    "kraken": b"CloudFlare WebSocket proxy restarting", "okx": b"pong", "okx_swap": b"pong",
}  # fmt: skip


def read(venue: str, frame: bytes) -> tuple[str, list[Row]]:
    if frame.rstrip(b"\r\n ") == NOTICES.get(venue) or (frame.rstrip() == b"ping" and venue.startswith("okx")):
        return "control", []
    try:
        return READERS[venue](load(frame))
    except KeyError as error:
        raise ValueError(f"missing {error}") from error
