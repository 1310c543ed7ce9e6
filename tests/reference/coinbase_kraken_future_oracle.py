"""A slow, obvious reading of the frames of Coinbase and Kraken Futures, for parse_oracle.py."""

from typing import Any

from parse_oracle import Integer, Row, bounded, load, rfc3339, symbol, ticker, trade, trade_id


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


READERS = {"coinbase": coinbase, "kraken_future": kraken_future}
