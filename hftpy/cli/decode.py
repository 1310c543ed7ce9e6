"""`hftpy decode VENUE [FILE …]`: raw frames, or a recorded session, into one JSON line per event.

Each input line gives at least one output line. An event has `type` ``ticker``, ``trade``, ``kline``, ``funding`` or
``book``: the best levels after an update, as the venue's own digits, and whether the book is `valid` by the venue's own
rules (snapshots by REST that a session holds count). A frame without events gives ``control`` (acknowledgements,
heartbeats, status, refusals; also an entry of a session that is not a received frame) or ``other`` (data of none of our
channels, or a data frame whose list of events is empty), with its `class` (`hftpy.exchange.frame_names.FrameClass`) and
the venue's own `name` of it; or ``error`` with `reason`.
"""

import gzip
import io
import json
import sys
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from hftcore.book_parse import BookParser
from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.kline import Kline, PeriodicParser
from hftcore.parse import FrameKind, Parser
from hftcore.spelling import pair_text
from hftcore.symbols import CurrencyPair, register_instruments
from hftcore.types import Ticker, Trade
from hftpy.cli.decode_books import DEFAULT_DEPTH, BookRows, depth_of_rest, rest_of
from hftpy.exchange.frame_names import FrameClass, FrameName, name_frame
from hftpy.sim.session_lines import ZSTD_MAGIC, ZstdReader
from hftpy.sim.session_venue import exchange_of_url

GZIP_MAGIC = b"\x1f\x8b"
# One frame is at most 16 MiB; as a string inside a session entry it grows by its escapes.
MAX_LINE_BYTES = 64 << 20
# What the entries of a session are that are no received frames.
SESSION_CONTROL = {
    "header": "header", "send": "sent", "http": "rest answer", "conn": "connection", "link": "connection",
}  # fmt: skip
# Whose ticker frames may tell of funding as well.
TICKERS_TELL_FUNDING = frozenset({Exchange.KRAKEN_FUTURE})
CONTROL_CLASSES = frozenset({
    FrameClass.ACKNOWLEDGEMENT, FrameClass.REFUSAL, FrameClass.REQUEST, FrameClass.HEARTBEAT, FrameClass.STATUS,
    FrameClass.NOTICE, FrameClass.REST_REFUSAL,
})  # fmt: skip


def decode_lines(
    exchange: Exchange, lines: Iterable[bytes], depth: int = DEFAULT_DEPTH
) -> Iterator[dict[str, Any]]:
    """Decode frames, one per line, or a recorded session.

    Parameters
    ----------
    exchange
        The venue that sent them.
    lines
        The lines, with or without their line ends. If the first is a session's header, the others are its entries.
    depth
        How many levels of each side a book's line holds.

    Yields
    ------
    dict
        One per event, and at least one per line, in order: `type`, `line` (from 1), and the event's fields.

    Raises
    ------
    ValueError
        If there is no parser for the exchange.
    """
    decoder = _decoder(exchange, depth)
    for number, line in enumerate(lines, 1):
        yield from decoder.decode_line(number, line)


def _decoder(exchange: Exchange, depth: int) -> "_Decoder":
    exchange = Exchange.parse(exchange)
    return _IBDecoder(exchange) if exchange is Exchange.IB else _VenueDecoder(exchange, depth)


def decode_files(
    exchange: Exchange, paths: Iterable[Path | str], out: TextIO, depth: int = DEFAULT_DEPTH
) -> None:
    """Decode files, ``-`` being standard input, and write one JSON line per event.

    Parameters
    ----------
    exchange
        The venue that sent the frames.
    paths
        Plain or gzip files; none stands for standard input. With more than one, each output line has the key `file`,
        and the line numbers start again in each. Books go on from one file of a recording to the one that continues it.
    out
        Where to write.
    depth
        As of `decode_lines`.

    Raises
    ------
    ValueError
        If there is no parser for the exchange.
    OSError
        If a file cannot be opened.
    """
    names = [str(path) for path in paths] or ["-"]
    decoder = _decoder(exchange, depth)
    for name in names:
        origin = {"file": name} if len(names) > 1 else {}
        decoder.begin(Path(name).name)
        with closing(_Source(name)) as source:
            for number, line in enumerate(source.lines(), 1):
                for row in decoder.decode_line(number, line):
                    out.write(json.dumps(origin | row) + "\n")
            if source.failure:
                row = _error(source.count + 1, exchange, source.failure)
                out.write(json.dumps(origin | row) + "\n")


def run(venue: str, files: list[Path], out: TextIO, depth: int = DEFAULT_DEPTH) -> int:
    """The command: decode `files` of `venue` to `out`.

    Returns
    -------
    int
        The exit status: 0 whatever the frames, 2 for a venue without a parser or a file that cannot be opened.
    """
    try:
        decode_files(Exchange.parse(venue), files, out, depth)
    except BrokenPipeError:
        return 0  # the reader (such as head) has seen enough
    except (ValueError, OSError) as error:
        print(f"hftpy decode: {error}", file=sys.stderr)
        return 2
    return 0


class _Decoder:
    """Decodes the lines of one input."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._session = False
        self._file = self._before = ""
        self._conn = ""  # which of a session's connections the frame at hand came by

    def begin(self, name: str) -> None:
        """The next lines are of a file of that name."""
        self._before, self._file = self._file, name

    def decode_line(self, number: int, line: bytes) -> Iterator[dict[str, Any]]:
        frame = line.rstrip(b"\r\n")
        if number == 1:
            header = _header_of(frame)
            self._session, self._conn = header is not None, ""
            if header is None or not self._before or header.get("continues") != self._before:
                self._forget()
            if header is not None:
                return iter([self._session_row("header", number)])
        if not frame.strip():
            return iter([_error(number, self._exchange, "a line must hold a frame, was blank")])
        if self._session:
            return self._decode_entry(number, frame)
        return self._decode_frame(number, frame, 0)

    def _decode_entry(self, number: int, line: bytes) -> Iterator[dict[str, Any]]:
        try:
            entry = json.loads(line, parse_float=Decimal, parse_constant=_refuse_constant)
            if not isinstance(entry, dict):
                raise ValueError("a session entry must be an object")
            kind = entry.get("t")
            self._conn = str(entry.get("conn") or "")
            if isinstance(kind, str) and kind in SESSION_CONTROL:
                if (other := self._other_venue(entry.get("url"))) is not None:
                    return iter([_error(number, self._exchange, other)])
                books = self._take_rest(entry) if kind == "http" else []
                if kind == "conn":
                    self._take_connection(entry)
                if books:
                    return (self._row("book", number) | row for row in books)
                return iter([self._session_row(kind, number)])
            if kind != "recv":
                raise ValueError(f"t must be header, conn, link, send, http or recv, was {kind!r}")
            data = entry.get("data")
            if not isinstance(data, str):
                raise ValueError(f"data must be a string, was {data!r:.80}")
            local_time_ns = _local_time_ns(entry)
            # Bytes that are no UTF-8 were recorded as lone surrogates; any other one is a UnicodeEncodeError.
            frame = data.encode("utf-8", "surrogateescape")
        except (ValueError, ArithmeticError, RecursionError) as error:
            return iter([_error(number, self._exchange, f"a session entry is malformed: {error}")])
        return self._decode_frame(number, frame, local_time_ns)

    @abstractmethod
    def _decode_frame(self, number: int, frame: bytes, local_time_ns: int) -> Iterator[dict[str, Any]]:
        """The rows of one frame; one at least."""

    def _other_venue(self, url: object) -> str | None:
        """What is to be said of an entry of a session of another venue."""
        try:
            found = exchange_of_url(url) if isinstance(url, str) else None
        except ValueError as error:
            return str(error)
        if found in (None, self._exchange) or {found, self._exchange} == {Exchange.OKX, Exchange.OKX_SWAP}:
            return None
        return f"the session must be of {self._exchange}, was of {found} ({url:.80})"

    def _forget(self) -> None:
        """What comes next is not what goes on from the last file."""

    def _take_rest(self, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is learnt of a recorded answer of a REST API: the rows of the book that it holds, if any."""
        return []

    def _take_connection(self, entry: Mapping[str, Any]) -> None:
        """A connection of a session is made, or made again, or messages of it are missing."""

    def _row(self, kind: str, number: int) -> dict[str, Any]:
        return {"type": kind, "line": number, "exchange": str(self._exchange)}

    def _named_row(self, name: FrameName, number: int) -> dict[str, Any]:
        kind = "control" if name.kind in CONTROL_CLASSES else "other"
        return self._row(kind, number) | {"class": str(name.kind), "name": name.name}

    def _session_row(self, kind: str, number: int) -> dict[str, Any]:
        return self._row("control", number) | {"class": SESSION_CONTROL[kind], "name": ""}


class _IBDecoder(_Decoder):
    """Decodes the messages of Interactive Brokers."""

    def __init__(self, exchange: Exchange) -> None:
        # Imported where it is used: no other venue needs it.
        from hftpy.cli import decode_ib

        super().__init__(exchange)
        self._read = decode_ib.read_line

    def _decode_frame(self, number: int, frame: bytes, local_time_ns: int) -> Iterator[dict[str, Any]]:
        try:
            read = self._read(frame, local_time_ns)
        except ParseError as error:
            return iter([_error(number, self._exchange, str(error))])
        if isinstance(read, FrameName):
            return iter([self._named_row(read, number)])
        return iter([self._row(read["type"], number) | {"symbol": None, "nativeSymbol": ""} | read])


class _VenueDecoder(_Decoder):
    """Decodes the frames of a venue with a parser."""

    def __init__(self, exchange: Exchange, depth: int) -> None:
        super().__init__(exchange)
        self._parser = Parser(exchange)
        self._depth = depth
        self._books: dict[str, BookRows] = {}  # by connection: each is numbered for itself
        self._urls: set[str] = set()
        self._early: dict[str, str] = {}  # REST snapshots by symbol, which may come before its first update
        try:
            self._periodic: PeriodicParser | None = PeriodicParser(exchange)
        except ValueError:
            self._periodic = None  # a venue without klines and funding

    def _decode_frame(self, number: int, frame: bytes, local_time_ns: int) -> Iterator[dict[str, Any]]:
        parser = self._parser
        books = self._books_of(self._conn)
        rows: list[dict[str, Any]] = []
        try:
            events = parser.parse(frame, local_time_ns)
            kind = parser.kind
            rows += [self._event_row(number, *event) for event in zip(events, parser.nativeSymbols, strict=True)]
            if kind is FrameKind.OTHER or parser.frameNumber is not None:
                # A number that counts all frames of a connection proves the books, whatever the frame carries.
                rows += [self._row("book", number) | row for row in books.rows(frame, local_time_ns) or ()]
            if kind is FrameKind.OTHER or (events and self._exchange in TICKERS_TELL_FUNDING):
                rows += self._periodic_rows(number, frame, local_time_ns)
        except ParseError as error:
            # Events of another reading of the same frame stand.
            rows.append(_error(number, self._exchange, str(error)))
        if rows:
            return iter(rows)
        books.take_acknowledgement(frame)
        return iter([self._named_row(name_frame(self._exchange, frame), number)])

    def _books_of(self, conn: str) -> BookRows:
        if conn not in self._books:
            self._books[conn] = BookRows(self._exchange, self._depth, self._early)
        return self._books[conn]

    def _forget(self) -> None:
        self._books.clear()
        self._urls.clear()
        self._early.clear()

    def _event_row(self, number: int, event: Ticker | Trade, native: str) -> dict[str, Any]:
        kind = "ticker" if isinstance(event, Ticker) else "trade"
        fields: dict[str, Any] = event.to_dict()
        symbol = fields.pop("symbol")
        return self._row(kind, number) | {"symbol": symbol, "nativeSymbol": native} | fields

    def _periodic_rows(self, number: int, frame: bytes, local_time_ns: int) -> Iterator[dict[str, Any]]:
        if self._periodic is None:
            return
        events = self._periodic.parse(frame, local_time_ns)
        for event, native in zip(events, self._periodic.nativeSymbols, strict=True):
            told = event.to_dict() if isinstance(event, Kline) else event | {"symbol": str(event["symbol"])}
            # JSON has no NaN: a quote volume that is not told.
            fields = {key: None if value != value else value for key, value in told.items() if key != "exchange"}
            kind = "kline" if isinstance(event, Kline) else "funding"
            yield self._row(kind, number) | {"symbol": fields.pop("symbol"), "nativeSymbol": native} | fields

    def _take_rest(self, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._learn_instruments(entry.get("data"))
        url, body = rest_of(entry)
        if native := depth_of_rest(self._exchange, url):
            with suppress(ParseError):  # one that is malformed does not take the place of a good one
                BookParser(self._exchange).parse(body.encode(), 0, symbol=native)
                self._early[native] = body
        local_ns = _local_time_ns(entry)
        return [row for books in self._books.values() for row in books.take_rest(url, body, local_ns)]

    def _take_connection(self, entry: Mapping[str, Any]) -> None:
        if url := entry.get("url"):
            # Without names, another address is another connection.
            if self._conn in self._books and (self._conn or url in self._urls):
                self._books[self._conn].reset()
            self._urls.add(str(url))
        elif entry.get("lost") and self._exchange is Exchange.KRAKEN:
            # Where nothing but a checksum proves a book, one of which messages may be missing does not hold.
            for books in self._books.values():
                books.reset()

    def _learn_instruments(self, body: object) -> None:
        """Take the pairs from a venue's list of instruments; any other body tells nothing."""
        try:
            reply = json.loads(body) if isinstance(body, str) else body
        except (ValueError, RecursionError):
            return
        key = "data" if self._exchange in (Exchange.OKX, Exchange.OKX_SWAP) else "symbols"
        items = reply.get(key) if isinstance(reply, Mapping) else None
        if not isinstance(items, list):
            return
        instruments: dict[str, str] = {}
        for item in items:
            try:
                named = _instrument(self._exchange, item) if isinstance(item, Mapping) else None
                if named is not None:
                    instruments[named[0]] = CurrencyPair(named[1])
            except ValueError:
                continue  # one instrument that is no pair must not cost the others
        register_instruments(self._exchange, instruments)


def _instrument(exchange: Exchange, item: Mapping[str, Any]) -> tuple[str, str] | None:
    """Spelling and pair of one entry of Binance's exchangeInfo or OKX's instruments; None if it is none.

    Raises
    ------
    ValueError
        If OKX spells nothing so.
    """
    if exchange in (Exchange.OKX, Exchange.OKX_SWAP):
        native, settle = item.get("instId"), item.get("settleCcy")
        if not isinstance(native, str):
            return None
        pair, derivative, end = pair_text(exchange, native).partition(":")
        # Not by the rule: what is quoted in USD may be settled in another currency than its base.
        _, dated, contract = end.partition("-")
        known = isinstance(settle, str) and settle
        return native, f"{pair}:{settle}{dated}{contract}" if derivative and known else pair + derivative + end
    native, base, quote = item.get("symbol"), item.get("baseAsset"), item.get("quoteAsset")
    if not (isinstance(native, str) and isinstance(base, str) and isinstance(quote, str)):
        return None
    if exchange is not Exchange.BINANCE_FUTURE:
        return native, f"{base}/{quote}"
    settle = item.get("marginAsset")
    _, dated, contract = native.partition("_")
    return native, f"{base}/{quote}:{settle}" + (f"-{contract}" if dated and contract != "PERP" else "")


class _Source:
    """The lines of one file or of standard input, plain, gzip or zstd; a damaged end is told, not raised."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self.failure = ""
        self._own: BinaryIO | None = None
        if name == "-":
            raw: BinaryIO = sys.stdin.buffer
        else:
            self._own = raw = open(name, "rb")  # noqa: SIM115 - closed by close()
        buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw)  # type: ignore[type-var]
        magic = buffered.peek(4)[:4]
        self._kind = "gzip" if magic[:2] == GZIP_MAGIC else "zstd" if magic == ZSTD_MAGIC else "plain"
        stream: Any = buffered
        if self._kind == "gzip":
            stream = gzip.GzipFile(fileobj=buffered)
        elif self._kind == "zstd":
            stream = io.BufferedReader(ZstdReader(buffered, name))
        self._stream: BinaryIO = stream

    def lines(self) -> Iterator[bytes]:
        try:
            while line := self._stream.readline(MAX_LINE_BYTES):
                self.count += 1
                yield line
                # The rest of a line that is longer than any frame: its number must not shift the others.
                while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                    line = self._stream.readline(MAX_LINE_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.failure = f"the {self._kind} stream is damaged: {error}"

    def close(self) -> None:
        if self._own is not None:
            self._own.close()


def _error(number: int, exchange: Exchange, reason: str) -> dict[str, Any]:
    return {"type": "error", "line": number, "exchange": str(exchange), "reason": reason}


def _header_of(line: bytes) -> dict[str, Any] | None:
    """A session's header; None: the line is none."""
    if b'"header"' not in line:
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and entry.get("t") == "header" else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"a number must be finite, was {name}")


def _local_time_ns(entry: Mapping[str, Any]) -> int:
    """`ts_ns`, or `ts` in seconds, exactly; digits below a nanosecond are cut. 0 if there is neither."""
    if "ts_ns" in entry:
        value, scale = entry["ts_ns"], 1
    else:
        value, scale = entry.get("ts", 0), 1_000_000_000
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError(f"a time must be a number, was {value!r}")
    try:
        number = Decimal(value)
        # Checked before the conversion: the whole number of 1E+999999999 does not fit a machine.
        if not 0 <= number * scale < 2**63:
            raise ValueError(f"a time must fit 63 bits of nanoseconds, was {value!r}")
        return int(number * scale)
    except ArithmeticError:
        raise ValueError(f"a time must be a number, was {value!r}") from None
