"""Recorded sessions: whole connections in arrival order, one JSON object per line; how they are compressed is for
`hftpy.sim.session_lines` to know.

The first line is a header ``{"t":"header",…}``; then ``{"t":"recv"|"send"|"http"|"conn"|"link",…,"data"?}`` where
`data` is the frame exactly as it was on the wire; a byte that is no UTF-8 stands as a lone surrogate, U+DC80 to U+DCFF
(PEP 383), which `hftpy.sim.text.wire_bytes` takes back.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Literal, cast

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair, pair_of_native, register_instruments
from hftpy.sim.session_lines import CUT, session_lines
from hftpy.sim.session_venue import exchange_of_frame, exchange_of_url

Path = str | os.PathLike[str]
EntryKind = Literal["header", "recv", "send", "http", "conn", "link"]
FRAMES_TO_GUESS_FROM = 200
UNKNOWN_LOSS = -1
SNAPSHOT_START = '{"lastUpdateId"'  # a snapshot of Binance that a recorder put among the frames
# {"method":"subscribe","result":{"channel":"book","depth":100, …; […,"book-1000","XBT/USD"]
_KRAKEN_DEPTH = re.compile(r'"result":\s*{"channel":\s*"book",[^{}]*"depth":\s*(\d+)|"book-(\d+)",\s*"[^"]+"\]$')
_PARTIAL = re.compile(r"depth(?:5|10|20)(?:@.*)?|books5")
_DEPTH = re.compile(r"/depth\?(?:.*&)?symbol=([A-Z0-9_]+)")

log = logging.getLogger(__name__)

BINANCE_CHANNELS = {
    "bookTicker": Channel.TICKER,
    "trade": Channel.TRADE,
    "aggTrade": Channel.TRADE,
    "depth": Channel.BOOK,
    "kline": Channel.KLINE,
    "markPrice": Channel.FUNDING,
}
EVENT_STREAMS = {"depthUpdate": "depth", "markPriceUpdate": "markPrice"}  # of frames without their stream's name
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
    """One line of a session. `time_ns` is 0 where the line gives no time.

    `lost` tells that so many messages before this line are missing; `UNKNOWN_LOSS`: nobody knows how many.
    """

    kind: EntryKind
    time_ns: int
    data: str
    url: str
    conn: str = ""  # which connection of several, where the session says so
    lost: int = 0


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

    @property
    def name(self) -> str:
        """What is subscribed to get it, without the symbol: ``depth@100ms``, ``candle1m``, ``level2``, ``book``."""
        if self.channel == "l2_data":
            return "level2"
        if ":" in self.stream:
            return self.stream.partition(":")[0]
        return self.stream.partition("@")[2] or self.channel

    @property
    def partial(self) -> bool:
        """Whether it is one of a stream of small whole books, which are not what the stream of changes goes onto."""
        return is_partial(self.name)


def is_partial(name: str) -> bool:
    """Whether a stream of that name (`FrameKey.name`) sends small whole books."""
    return _PARTIAL.fullmatch(name) is not None


def is_session(first_line: str | bytes) -> bool:
    """Whether a file's first line is a session's header."""
    try:
        header = json.loads(first_line)
    except ValueError:
        return False
    return isinstance(header, dict) and header.get("t") == "header"


def _tell_cut(text: str) -> None:
    log.warning("%s", text)


def _passed_over(text: str) -> None:
    """A cut that is told when the session is read again."""


def session_header(path: Path) -> dict[str, Any]:
    """A session's header; empty where it cannot be read.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    try:
        header = json.loads(next(session_lines(path, _passed_over), b""))
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def _header_exchange(path: Path) -> Exchange | None:
    """The venue that a session's header names."""
    name = session_header(path).get("exchange")
    try:
        return (Exchange.parse(name) or None) if isinstance(name, str) else None
    except ValueError:
        return None


def iter_session(path: Path, on_cut: Callable[[str], None] = _tell_cut) -> Iterator[SessionEntry]:
    """The entries of a session after its header.

    Parameters
    ----------
    path
        The file.
    on_cut
        Called with a sentence where the file ends before its end, as that of a recorder that was killed does: what
        stands before is given. By default it is logged.

    Raises
    ------
    ValueError
        If it is no session, or damaged, or a line cannot be read; the message names the line.
    OSError
        If the file cannot be read.
    """
    name = os.fspath(path)
    number = 0
    cuts: list[str] = []

    def cut(text: str) -> None:
        cuts.append(text)
        on_cut(text)

    for number, line in enumerate(session_lines(path, cut), 1):
        if number == 1:
            if not is_session(line):
                raise ValueError(f"session must begin with a header line, was {line[:80]!r} ({name})")
            continue
        if not line.strip():
            continue
        try:
            yield _entry(line)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            if not line.endswith(b"\n"):
                if not cuts:
                    cut(f"{name} ends in the middle of line {number}{CUT}")
                return
            raise ValueError(f"session line {number} cannot be read: {error!r} ({name})") from error
    if number == 0:
        found = "cut off before it" if cuts else "empty"
        raise ValueError(f"session must begin with a header line, was {found} ({name})")


def _entry(line: bytes) -> SessionEntry:
    entry = json.loads(line)
    kind, data, url = entry["t"], entry.get("data", ""), entry.get("url") or ""
    # The digits as they stand: a float of seconds times 1e9 is off by up to 100 ns.
    time_ns = int(entry["ts_ns"]) if "ts_ns" in entry else int(Decimal(str(entry.get("ts", 0))).scaleb(9))
    if not 0 <= time_ns < 1 << 63:
        raise ValueError(f"ts_ns must be a time since 1970 in nanoseconds, was {time_ns}")
    lost = int(entry.get("lost") or 0)
    if not 0 <= lost < 1 << 63:
        raise ValueError(f"lost must be a number of messages, was {lost}")
    if not isinstance(kind, str) or not isinstance(url, str):
        raise ValueError(f"t and url must be strings, were {kind!r} and {url!r}")
    return SessionEntry(
        cast("EntryKind", kind), time_ns, data if isinstance(data, str) else json.dumps(data), url,
        str(entry.get("conn") or ""), lost,
    )  # fmt: skip


def iter_recording(paths: Sequence[Path], on_cut: Callable[[str], None] = _tell_cut) -> Iterator[SessionEntry]:
    """The entries of several files, one after the other, such as those that a recorder rotated.

    Between two files of which the second does not go on where the first ends, an entry ``conn`` with `lost` tells so.

    Raises
    ------
    ValueError
        As `iter_session`; or if the files are of several venues.
    OSError
        If a file cannot be read.
    """
    exchange = session_exchange(paths[0])
    cuts: list[str] = []
    last_ns = 0

    def cut(text: str) -> None:
        cuts.append(text)
        on_cut(text)

    for number, path in enumerate(paths):
        if number:
            other = session_exchange(path)
            if other is not exchange:
                raise ValueError(f"all files must be of {exchange}, was {other} ({os.fspath(path)})")
            follows = session_header(path).get("continues") == PurePath(os.fspath(paths[number - 1])).name
            if not follows or cuts:
                on_cut(f"{os.fspath(path)} does not go on where {os.fspath(paths[number - 1])} ends")
                yield SessionEntry("conn", last_ns, "", "", lost=UNKNOWN_LOSS)
            cuts.clear()
        for entry in iter_session(path, cut):
            last_ns = entry.time_ns or last_ns
            yield entry


def session_exchange(path: Path) -> Exchange:
    """Which venue a session was recorded at, by its addresses, else by the shape of its frames.

    Raises
    ------
    ValueError
        If it cannot be told, or is of a market without a stream, or the file is no session.
    """
    named = _header_exchange(path)
    if named is not None:
        return named
    for number, entry in enumerate(iter_session(path, _passed_over)):
        if (exchange := exchange_of_url(entry.url)) is not None:
            return exchange
        if entry.kind == "recv":
            found = exchange_of_frame(entry.data)
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
    for entry in iter_session(path, _passed_over):
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


def names_subscribed(protocol: object) -> tuple[str, ...]:
    """What the venue calls what a protocol of `hftpy.exchange` subscribes, as `FrameKey.name` gives it."""
    for attribute in ("venue_channels", "stream_name", "channel_name", "feed_name", "venue_channel"):
        found = getattr(protocol, attribute, None)
        if found is not None:
            return (found,) if isinstance(found, str) else tuple(found)
    return ()


def channels_of_name(exchange: Exchange, name: str) -> tuple[Channel, ...]:
    """Our channels that frames of the venue's name may feed."""
    found = channel_names(exchange).get(name)
    if exchange is Exchange.KRAKEN_FUTURE and name == "ticker":
        return Channel.TICKER, Channel.FUNDING
    return () if found is None else (found,)


def recorded_book_depth(exchange: Exchange, entry: SessionEntry) -> int | None:
    """The depth of the books that a frame of Kraken tells of: an acknowledgement, or a book of the older API."""
    if exchange is not Exchange.KRAKEN or entry.kind != "recv":
        return None
    found = _KRAKEN_DEPTH.search(entry.data)
    return int(found[1] or found[2]) if found is not None else None


def depth_snapshot(exchange: Exchange, entry: SessionEntry) -> str | None:
    """Which symbol (the venue's spelling) an entry has a whole book of, as Binance's REST answers; None: it has none.

    Empty where the entry does not say whose it is: a recorder of one symbol put it among the frames.
    """
    if exchange not in (Exchange.BINANCE, Exchange.BINANCE_FUTURE):
        return None
    if entry.kind == "recv":
        return "" if entry.data.startswith(SNAPSHOT_START) else None
    found = _DEPTH.search(entry.url) if entry.kind == "http" else None
    return found[1] if found is not None else None


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
        kline = payload.get("k")
        interval = f"_{kline.get('i')}" if event == "kline" and isinstance(kline, dict) else ""
        stream = f"{symbol.lower()}@{EVENT_STREAMS.get(event, event)}{interval}"
    name, _, rest = stream.partition("@")
    channel = binance_channel(rest)
    pairs = _known_pairs(exchange, [symbol if isinstance(symbol, str) else name.upper()])
    return FrameKey(channel, stream, pairs, 1, payload)


def binance_channel(name: str) -> str:
    """A stream's kind, from what follows ``<symbol>@``: ``depth`` of ``depth20@100ms``, ``kline`` of ``kline_1m``."""
    kind = name.partition("@")[0]
    if kind.startswith("kline"):
        return "kline"
    return kind.rstrip("0123456789") if kind.startswith("depth") else kind


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
