"""Recorded sessions: whole connections in arrival order, one JSON object per line, plain or gzip.

The first line is a header ``{"t":"header",…}``; then ``{"t":"recv"|"send"|"http"|"conn","ts"|"ts_ns",…,"data"?}`` where
`data` is the frame exactly as it was on the wire.
"""

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TextIO, cast

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair, pair_of_native, register_instruments

Path = str | os.PathLike[str]
EntryKind = Literal["header", "recv", "send", "http", "conn"]
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
FRAMES_TO_GUESS_FROM = 200

# Part of an address → venue; futures stand before the spot hosts that they contain.
HOSTS = (
    ("fstream.binance.com", Exchange.BINANCE_FUTURE),
    ("fapi.binance.com", Exchange.BINANCE_FUTURE),
    ("futures.kraken.com", Exchange.KRAKEN_FUTURE),
    ("binance", Exchange.BINANCE),
    ("kraken.com", Exchange.KRAKEN),
    ("coinbase.com", Exchange.COINBASE),
    ("okx.com", Exchange.OKX),
    ("okex.com", Exchange.OKX),
)
BINANCE_CHANNELS = {
    "bookTicker": Channel.TICKER,
    "trade": Channel.TRADE,
    "aggTrade": Channel.TRADE,
    "depth": Channel.BOOK,
    "kline": Channel.KLINE,
    "markPrice": Channel.FUNDING,
    "markPriceUpdate": Channel.FUNDING,
}
OKX_CHANNELS = {
    "tickers": Channel.TICKER,
    "bbo-tbt": Channel.TICKER,
    "trades": Channel.TRADE,
    "trades-all": Channel.TRADE,
    "books": Channel.BOOK,
    "books-l2-tbt": Channel.BOOK,
    "books50-l2-tbt": Channel.BOOK,
    "books5": Channel.BOOK,
    "candle": Channel.KLINE,
    "funding-rate": Channel.FUNDING,
    "mark-price": Channel.FUNDING,
}
COINBASE_CHANNELS = {
    "ticker": Channel.TICKER,
    "ticker_batch": Channel.TICKER,
    "market_trades": Channel.TRADE,
    "l2_data": Channel.BOOK,
    "candles": Channel.KLINE,
}
COINBASE_ROWS = ("tickers", "trades", "candles")
KRAKEN_FUTURE_CHANNELS = {
    "ticker": Channel.TICKER,
    "ticker_lite": Channel.TICKER,
    "trade": Channel.TRADE,
    "book": Channel.BOOK,
}
KRAKEN_CHANNELS = {
    "ticker": Channel.TICKER,
    "trade": Channel.TRADE,
    "book": Channel.BOOK,
    "ohlc": Channel.KLINE,
}


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """One line of a session. `time_ns` is 0 where the line gives no time."""

    kind: EntryKind
    time_ns: int
    data: str
    url: str
    conn: str = ""  # which connection of several, where the session says so


@dataclass(frozen=True, slots=True)
class FrameKey:
    """What a frame carries: the venue's channel and stream names, the pairs, and how many events.

    `payload` is the decoded frame (numbers as Decimal), without a combined stream's envelope.
    """

    channel: str
    stream: str
    pairs: tuple[CurrencyPair, ...]
    events: int
    payload: Any


def is_session(first_line: str | bytes) -> bool:
    """Whether a file's first line is a session's header."""
    try:
        header = json.loads(first_line)
    except ValueError:
        return False
    return isinstance(header, dict) and header.get("t") == "header"


def open_session(path: Path) -> TextIO:
    """A session's lines, whatever it is compressed with.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is compressed with zstd and `zstandard` is not installed.
    """
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic[:2] == GZIP_MAGIC:
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8"))
    if magic == ZSTD_MAGIC:
        try:
            import zstandard
        except ImportError:
            raise ValueError(f"session {os.fspath(path)!r} is of zstd: install zstandard to read it") from None
        return cast("TextIO", zstandard.open(path, "rt", encoding="utf-8"))
    return open(path, encoding="utf-8")


def _header_exchange(path: Path) -> Exchange | None:
    """The venue that a session's header names."""
    with open_session(path) as lines:
        line = lines.readline()
    try:
        header = json.loads(line)
        return Exchange.parse(header["exchange"]) if isinstance(header, dict) and "exchange" in header else None
    except ValueError:
        return None


def iter_session(path: Path) -> Iterator[SessionEntry]:
    """The entries of a session after its header.

    Raises
    ------
    ValueError
        If it is no session, or a line cannot be read; the message names the line.
    OSError
        If the file cannot be read.
    """
    with open_session(path) as lines:
        for number, line in enumerate(lines, 1):
            if number == 1:
                if not is_session(line):
                    raise ValueError(f"session must begin with a header line, was {line[:80]!r} ({os.fspath(path)})")
                continue
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                kind = entry["t"]
                time_ns = int(entry["ts_ns"]) if "ts_ns" in entry else round(float(entry.get("ts", 0)) * 1e9)
                data = entry.get("data", "")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"session line {number} cannot be read: {error!r} ({os.fspath(path)})") from error
            yield SessionEntry(
                kind, time_ns, data if isinstance(data, str) else json.dumps(data), entry.get("url") or "",
                str(entry.get("conn") or ""),
            )


def session_exchange(path: Path) -> Exchange:
    """Which venue a session was recorded at, by its addresses, else by the shape of its frames.

    Raises
    ------
    ValueError
        If it cannot be told, or the file is no session.
    """
    named = _header_exchange(path)
    if named is not None:
        return named
    for number, entry in enumerate(iter_session(path)):
        for part, exchange in HOSTS:
            if part in entry.url:
                return exchange
        if entry.kind == "recv":
            found = _exchange_of_frame(entry.data)
            if found is not None:
                return found
        if number > FRAMES_TO_GUESS_FROM:
            break
    raise ValueError(f"the venue of session {os.fspath(path)!r} cannot be told")


def session_pairs(path: Path) -> dict[Channel, list[CurrencyPair]]:
    """The pairs that a session has data of, by channel, in the order in which they appear.

    Its instrument list, if it holds one, is registered on the way.
    """
    exchange = session_exchange(path)
    found: dict[Channel, dict[CurrencyPair, None]] = {}
    names = channel_names(exchange)
    for entry in iter_session(path):
        if entry.kind == "http":
            register_session_instruments(exchange, entry)
        elif entry.kind == "recv":
            key = classify_frame(exchange, entry.data)
            channel = names.get(key.channel) if key is not None else None
            if key is not None and channel is not None:
                found.setdefault(channel, {}).update(dict.fromkeys(key.pairs))
    return {channel: list(pairs) for channel, pairs in found.items()}


def channel_names(exchange: Exchange) -> dict[str, Channel]:
    """From a venue's own channel names to ours."""
    if exchange in (Exchange.OKX, Exchange.OKX_SWAP):
        return OKX_CHANNELS
    if exchange is Exchange.COINBASE:
        return COINBASE_CHANNELS
    if exchange is Exchange.KRAKEN_FUTURE:
        return KRAKEN_FUTURE_CHANNELS
    return KRAKEN_CHANNELS if exchange is Exchange.KRAKEN else BINANCE_CHANNELS


def register_session_instruments(exchange: Exchange, entry: SessionEntry) -> int:
    """Register the instrument list that an `http` entry may hold. Returns how many instruments it has."""
    if exchange not in (Exchange.BINANCE, Exchange.BINANCE_FUTURE) or "exchangeInfo" not in entry.url:
        return 0
    try:
        rows = json.loads(entry.data)["symbols"]
        settle = exchange is Exchange.BINANCE_FUTURE
        pairs = {
            row["symbol"]: f"{row['baseAsset']}/{row['quoteAsset']}" + (f":{row['marginAsset']}" if settle else "")
            for row in rows
            if not settle or row.get("contractType") in (None, "PERPETUAL")
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"exchangeInfo of the session cannot be read: {error!r}") from error
    register_instruments(exchange, pairs)
    return len(pairs)


def classify_frame(exchange: Exchange, text: str) -> FrameKey | None:
    """What a recorded market data frame carries; None for acknowledgements, heartbeats and whatever is no data."""
    try:
        frame = json.loads(text, parse_float=Decimal)
    except ValueError:
        return None
    if exchange in (Exchange.OKX, Exchange.OKX_SWAP):
        return _okx_key(exchange, frame)
    if exchange is Exchange.COINBASE:
        return _coinbase_key(frame)
    if exchange is Exchange.KRAKEN_FUTURE:
        return _kraken_future_key(frame)
    return _kraken_key(frame) if exchange is Exchange.KRAKEN else _binance_key(exchange, frame)


def _okx_key(exchange: Exchange, frame: Any) -> FrameKey | None:
    """`stream` is the channel and the instrument: one frame is of one instrument."""
    arg, data = (frame.get("arg"), frame.get("data")) if isinstance(frame, dict) else (None, None)
    if not isinstance(arg, dict) or not isinstance(data, list):
        return None
    channel, native = arg.get("channel"), arg.get("instId")
    if not isinstance(channel, str) or not isinstance(native, str):
        return None
    name = "candle" if channel.startswith("candle") else channel
    return FrameKey(name, f"{channel}:{native}", _known_pairs(exchange, [native]), len(data), frame)


def _coinbase_key(frame: Any) -> FrameKey | None:
    """Of the Advanced Trade feed. An event is a row of tickers, trades or candles, or the change of a book."""
    if not isinstance(frame, dict) or frame.get("channel") not in COINBASE_CHANNELS:
        return None
    rows: list[dict[str, Any]] = []
    events = frame.get("events")
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict):
            named = next((event[name] for name in COINBASE_ROWS if isinstance(event.get(name), list)), [event])
            rows += [row for row in named if isinstance(row, dict)]
    symbols = list(dict.fromkeys(row["product_id"] for row in rows if isinstance(row.get("product_id"), str)))
    return FrameKey(frame["channel"], "", _known_pairs(Exchange.COINBASE, symbols), len(rows), frame)


def _kraken_future_key(frame: Any) -> FrameKey | None:
    if not isinstance(frame, dict) or "event" in frame or not isinstance(frame.get("feed"), str):
        return None
    native, trades = frame.get("product_id"), frame.get("trades")
    if not isinstance(native, str):
        return None
    pairs = _known_pairs(Exchange.KRAKEN_FUTURE, [native])
    events = len(trades) if isinstance(trades, list) else 1
    return FrameKey(frame["feed"].removesuffix("_snapshot"), "", pairs, events, frame)


def _binance_key(exchange: Exchange, frame: Any) -> FrameKey | None:
    if not isinstance(frame, dict):
        return None
    payload, stream = frame, ""
    if "stream" in frame and isinstance(frame.get("data"), dict):
        payload, stream = frame["data"], str(frame["stream"])
    symbol = payload.get("s")
    if not stream:
        event = payload.get("e", "bookTicker" if {"u", "b", "B", "a", "A"} <= payload.keys() else None)
        if not isinstance(symbol, str) or not isinstance(event, str):
            return None
        stream = f"{symbol.lower()}@{event}"
    name, _, rest = stream.partition("@")
    channel = rest.partition("@")[0].rstrip("0123456789") if rest.startswith("depth") else rest.partition("@")[0]
    channel = channel.partition("_")[0] if channel.startswith("kline") else channel
    pairs = _known_pairs(exchange, [symbol if isinstance(symbol, str) else name.upper()])
    return FrameKey(channel, stream, pairs, 1, payload)


def _kraken_key(frame: Any) -> FrameKey | None:
    if isinstance(frame, list):
        if len(frame) < 4 or not isinstance(frame[-1], str) or not isinstance(frame[-2], str):
            return None
        channel = frame[-2].partition("-")[0]
        events = len(frame[1]) if channel == "trade" and isinstance(frame[1], list) else 1
        return FrameKey(channel, "", _known_pairs(Exchange.KRAKEN, [frame[-1]]), events, frame)
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), list):
        return None
    rows = [row for row in frame["data"] if isinstance(row, dict)]
    symbols = list(dict.fromkeys(row["symbol"] for row in rows if isinstance(row.get("symbol"), str)))
    if not symbols:
        return None
    return FrameKey(str(frame.get("channel")), "", _known_pairs(Exchange.KRAKEN, symbols), len(rows), frame)


def _known_pairs(exchange: Exchange, symbols: list[str]) -> tuple[CurrencyPair, ...]:
    pairs = []
    for symbol in symbols:
        try:
            pairs.append(pair_of_native(exchange, symbol))
        except ValueError:
            continue  # no pair can be made of it: the frame is played by its stream's name alone
    return tuple(pairs)


def _exchange_of_frame(text: str) -> Exchange | None:
    """By shape; None where a frame could be several venues'."""
    try:
        frame = json.loads(text)
    except ValueError:
        return None
    if isinstance(frame, list):
        return Exchange.KRAKEN if len(frame) >= 4 and isinstance(frame[-1], str) else None
    if not isinstance(frame, dict):
        return None
    payload = frame.get("data") if "stream" in frame else frame
    if isinstance(payload, dict) and ("stream" in frame or "s" in payload):
        # A future's frames name the event even in bookTicker, and chain depth updates by `pu`.
        future = "pu" in payload or payload.get("e") == "bookTicker"
        return Exchange.BINANCE_FUTURE if future else Exchange.BINANCE
    if isinstance(frame.get("arg"), dict):
        return Exchange.OKX
    if isinstance(frame.get("feed"), str) and "product_id" in frame:
        return Exchange.KRAKEN_FUTURE
    if frame.get("channel") in COINBASE_CHANNELS and isinstance(frame.get("events"), list):
        return Exchange.COINBASE
    if frame.get("event") in ("systemStatus", "subscriptionStatus") or frame.get("channel") == "status":
        return Exchange.KRAKEN
    return Exchange.KRAKEN if frame.get("channel") in KRAKEN_CHANNELS and "data" in frame else None
