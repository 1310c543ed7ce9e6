"""A slow, obvious reading of the order book frames of every venue: what `hftcore.book_parse` is compared with.

`read(venue, frame)` gives the updates as dicts, prices and volumes as the venue's own digits; None: it is no book. It
raises ValueError for what is no frame.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import parse_oracle as oracle

MAX_TEXT = 1024
Levels = list[tuple[str, str]]
Row = dict[str, Any]
PARTIAL = re.compile("[^@]*@depth(5|10|20|Snapshot)(@.*)?", re.DOTALL)


class Number(str):
    """A JSON number, as it was written."""


class Object(dict[str, Any]):
    """A JSON object. A key that is read and stands twice is an error: which value is meant cannot be known."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.twice = {name for name in names if names.count(name) > 1} if len(self) < len(names) else set()

    def has(self, key: str) -> bool:
        if key in self.twice:
            raise ValueError(f"{key} stands twice")
        return key in self

    def need(self, key: str) -> Any:
        if not self.has(key):
            raise ValueError(f"missing {key}")
        return self[key]


def load(frame: bytes) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    try:
        root = json.loads(
            frame.decode("utf-8"), parse_float=Number, parse_int=Number, parse_constant=refuse,
            object_pairs_hook=Object,
        )  # fmt: skip
        json.dumps(root, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except RecursionError as error:
        raise ValueError("too deep") from error
    return root


def objects(value: Any) -> Object:
    if not isinstance(value, Object):
        raise ValueError(f"not an object: {value!r}")
    return value


def array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"not an array: {value!r}")
    return value


def is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def symbol(value: Any) -> str:
    if not is_text(value) or not value:
        raise ValueError(f"not a symbol: {value!r}")
    return str(value)


def amount(value: Any) -> str:
    """The digits of a price or a volume."""
    if not isinstance(value, str) or len(value.encode()) > MAX_TEXT:
        raise ValueError(f"not a number: {value!r}")
    oracle.amount(str(value))
    return str(value)


def whole(value: Any, limit: int = 2**64) -> int:
    if not isinstance(value, Number) or not re.fullmatch("0|[1-9][0-9]*", value) or int(value) >= limit:
        raise ValueError(f"not a whole number: {value!r}")
    return int(value)


def signed(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch("-?(0|[1-9][0-9]*)", value, re.ASCII) or abs(int(value)) >= 2**63:
        raise ValueError(f"not a whole number: {value!r}")
    return int(value)


def level(value: Any, least: int) -> tuple[str, str]:
    if len(array(value)) < least:
        raise ValueError("not a level")
    return amount(value[0]), amount(value[1])


def levels(value: Any, least: int = 2) -> Levels:
    return [level(item, least) for item in array(value)]


def named_levels(value: Any) -> Levels:
    items = [objects(item) for item in array(value)]
    return [(amount(item.need("price")), amount(item.need("qty"))) for item in items]


def row(native: str, snapshot: bool, bids: Levels, asks: Levels, time: int = 0, **told: Any) -> Row:
    empty = {"firstSeq": None, "lastSeq": None, "prevSeq": None, "checksum": None}
    return {"native": native, "snapshot": snapshot, "bids": bids, "asks": asks, "exchangeTimeNs": time} | empty | told


def is_snapshot(value: Any) -> bool:
    if not is_text(value) or value not in ("snapshot", "update"):
        raise ValueError(f"neither snapshot nor update: {value!r}")
    return str(value) == "snapshot"


def checksum_of(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch("0|[1-9][0-9]*", value, re.ASCII) or int(value) >= 2**32:
        raise ValueError(f"not a checksum: {value!r}")
    return int(value)


def rfc3339(holder: Object, key: str) -> int:
    value = holder[key] if holder.has(key) else None
    if not holder.has(key):
        return 0
    return oracle.rfc3339(value if is_text(value) else None)


def kraken(root: Any) -> list[Row] | None:
    if isinstance(root, list):
        return _kraken_v1(root)
    if not isinstance(root, Object):
        return None
    if root.has("method") or root.has("event") or not root.has("channel") or root["channel"] != "book":
        return None
    snapshot = is_snapshot(root.need("type"))
    rows = []
    for item in map(objects, array(root.need("data"))):
        bids, asks = named_levels(item.need("bids")), named_levels(item.need("asks"))
        checksum = checksum_of(item["checksum"]) if item.has("checksum") else None
        time = rfc3339(item, "timestamp")
        rows.append(row(symbol(item.need("symbol")), snapshot, bids, asks, time, checksum=checksum))
    return rows


def _kraken_v1(root: list[Any]) -> list[Row] | None:
    if len(root) < 3 or not is_text(root[-2]) or not (root[-2] == "book" or root[-2].startswith("book-")):
        return None
    if len(root) not in (4, 5) or not isinstance(root[0], Number):
        raise ValueError("not a v1 frame")
    payloads = [objects(item) for item in root[1:-2]]
    whole_book = any(item.has("as") for item in payloads)
    if whole_book != any(item.has("bs") for item in payloads):
        raise ValueError("a snapshot without one of its sides")
    if whole_book == any(item.has(key) for item in payloads for key in ("a", "b")):
        raise ValueError("neither snapshot nor update, or both")
    sides: dict[str, Levels] = {"a": [], "b": []}
    times, checksum = [0], None
    for item in payloads:
        checksum = (checksum_of(item["c"]) if item.has("c") else None) if item.get("c") is not None else checksum
        for key in ("as", "bs", "a", "b"):
            for entry in array(item[key]) if item.has(key) else []:
                sides[key[0]].append(level(entry, 3))
                times.append(oracle.seconds(str(entry[2]) if isinstance(entry[2], str) else None))
    return [row(symbol(root[-1]), whole_book, sides["b"], sides["a"], max(times), checksum=checksum)]


def kraken_future(root: Any) -> list[Row] | None:
    if not isinstance(root, Object) or root.has("event") or not root.has("feed"):
        return None
    feed = root["feed"]
    if not is_text(feed) or feed not in ("book", "book_snapshot"):
        return None
    native, seq = symbol(root.need("product_id")), whole(root.need("seq"))
    time = oracle.bounded(whole(root["timestamp"]) * 10**6) if root.has("timestamp") else 0
    if feed == "book_snapshot":
        bids, asks = named_levels(root.need("bids")), named_levels(root.need("asks"))
    else:
        side = root.need("side")
        if not is_text(side) or side not in ("buy", "sell"):
            raise ValueError("side")
        one = [(amount(root.need("price")), amount(root.need("qty")))]
        bids, asks = (one, []) if side == "buy" else ([], one)
    return [row(native, feed == "book_snapshot", bids, asks, time, firstSeq=seq, lastSeq=seq)]


def okx(root: Any) -> list[Row] | None:
    if not isinstance(root, Object) or root.has("event") or root.has("op") or not root.has("arg"):
        return None
    arg = objects(root["arg"])
    channel = arg.need("channel")
    if not is_text(channel) or not (channel.startswith("books") or channel == "bbo-tbt"):
        return None
    native, snapshot = symbol(arg.need("instId")), True
    if channel not in ("books5", "bbo-tbt"):
        snapshot = is_snapshot(root.need("action"))
    rows = []
    for item in map(objects, array(root.need("data"))):
        told: dict[str, Any] = {}
        if item.has("checksum"):
            told["checksum"] = signed(item["checksum"]) or None
            if not -(2**31) <= (told["checksum"] or 0) < 2**31:
                raise ValueError("checksum")
        if item.has("prevSeqId"):
            previous = signed(item["prevSeqId"])
            if previous < -1:
                raise ValueError("prevSeqId")
            told["prevSeq"] = previous if previous >= 0 else None
        if item.has("seqId"):
            told["firstSeq"] = told["lastSeq"] = whole(item["seqId"])
        time = item.need("ts")
        if not isinstance(time, str) or (time and not re.fullmatch("0|[1-9][0-9]*", time, re.ASCII)):
            raise ValueError(f"not a time: {time!r}")
        if isinstance(time, Number) or time:
            told["time"] = oracle.bounded(int(time) * 10**6)
        rows.append(row(native, snapshot, levels(item.need("bids"), 4), levels(item.need("asks"), 4), **told))
    return rows


def _epoch(value: Any) -> int:
    number = whole(value, 2**63)
    return oracle.bounded(number * (1000 if number >= 10**15 else 10**6))


def _last_time(item: Object, keys: tuple[str, ...]) -> int:
    return ([_epoch(item[key]) for key in keys if item.has(key)] or [0])[-1]


def binance(root: Any, native: str = "") -> list[Row] | None:
    if not isinstance(root, Object):
        return None
    stream = ""
    if root.has("stream"):
        stream = root["stream"]
        if not is_text(stream):
            raise ValueError("stream")
        root = root.need("data")
    named = "@depth" in stream
    if not isinstance(root, Object):
        if named:
            raise ValueError("data must be an object")
        return None
    event = root["e"] if root.has("e") else None
    root.has("lastUpdateId"), root.has("bidPrice")
    if event == "depthUpdate" and is_text(event):
        first, last = whole(root.need("U")), whole(root.need("u"))
        if first > last:
            raise ValueError("U above u")
        previous = root["pu"] if root.has("pu") else Number("-1")
        told = {"prevSeq": None if previous == "-1" and isinstance(previous, Number) else whole(previous)}
        time = _last_time(root, ("T", "E"))
        bids, asks = levels(root.need("b")), levels(root.need("a"))
        whole_book = PARTIAL.fullmatch(stream) is not None
        return [row(symbol(root.need("s")), whole_book, bids, asks, time, firstSeq=first, lastSeq=last, **told)]
    if root.has("e") and not named:
        return None
    if root.has("lastUpdateId") and not root.has("bidPrice"):
        whose = stream.partition("@")[0].upper() if stream else native
        if not whose or "\0" in whose or len(whose.encode()) > 32:  # a name that is none
            whose = symbol(root.need("symbol"))
        number = whole(root["lastUpdateId"])
        time = _last_time(root, ("T", "E"))
        sides = levels(root.need("bids")), levels(root.need("asks"))
        return [row(whose, True, *sides, time, firstSeq=number, lastSeq=number)]
    if named:
        raise ValueError("a depth without its keys")
    return None


def _coinbase_time(root: Object, key: str) -> int:
    if root.has(key) and is_text(root[key]) and root[key].startswith("0001-01-01T"):
        return 0
    return rfc3339(root, key)


def coinbase(root: Any) -> list[Row] | None:
    if not isinstance(root, Object):
        return None
    if root.has("type"):
        kind = root["type"] if is_text(root["type"]) else ""
        if kind not in ("snapshot", "l2update"):
            return None
        if kind == "snapshot":
            bids, asks = levels(root.need("bids")), levels(root.need("asks"))
        else:
            changes = [array(item) for item in array(root.need("changes"))]
            if not all(len(item) >= 3 and is_text(item[0]) and item[0] in ("buy", "sell") for item in changes):
                raise ValueError("not a change")
            bids = [level(item[1:], 2) for item in changes if item[0] == "buy"]
            asks = [level(item[1:], 2) for item in changes if item[0] == "sell"]
        return [row(symbol(root.need("product_id")), kind == "snapshot", bids, asks, _coinbase_time(root, "time"))]
    if not root.has("channel") or not is_text(root["channel"]):
        return None
    numbered = root.has("sequence_num")
    number = whole(root["sequence_num"]) if numbered else None
    time = _coinbase_time(root, "timestamp") if numbered else 0
    if root["channel"] != "l2_data":
        return None
    rows = []
    for event in map(objects, array(root.need("events"))):
        sides: dict[bool, Levels] = {True: [], False: []}
        for item in map(objects, array(event.need("updates"))):
            side = item.need("side")
            if not is_text(side) or side not in ("bid", "offer", "ask"):
                raise ValueError("side")
            sides[side == "bid"].append((amount(item.need("price_level")), amount(item.need("new_quantity"))))
        snapshot = is_snapshot(event.need("type"))
        native = symbol(event.need("product_id"))
        rows.append(row(native, snapshot, sides[True], sides[False], time, firstSeq=number, lastSeq=number))
    return rows


READERS: dict[str, Callable[[Any], list[Row] | None]] = {
    "kraken": kraken, "kraken_future": kraken_future, "okx": okx, "okx_swap": okx, "binance": binance,
    "binance_future": binance, "coinbase": coinbase,
}  # fmt: skip
KEEP_ALIVE = [b"ping", b"pong"]
TEXTS = {"kraken": [b"CloudFlare WebSocket proxy restarting"], "okx": KEEP_ALIVE, "okx_swap": KEEP_ALIVE}


def read(venue: str, frame: bytes, native: str = "") -> list[Row] | None:
    if frame.rstrip(b"\r\n ") in TEXTS.get(venue, ()):
        return None
    root = load(frame)
    rows = binance(root, native) if venue.startswith("binance") else READERS[venue](root)
    if rows is None:
        oracle.read(venue, frame)  # it may be broken all the same
    return rows
