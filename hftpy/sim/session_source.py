"""A recording in place of the connections of a task's streams: frame by frame in its order, by its own clock."""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from hftcore.book_feed import BookFeed
from hftcore.enums import BookState, Channel, Exchange, Flag
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair, native_symbol
from hftpy.exchange.ib_protocol import IBProtocol
from hftpy.exchange.market import MarketProtocol
from hftpy.exchange.runner import Session
from hftpy.exchange.venue import VenueProtocol, VenueSession
from hftpy.sim.recording import (
    UNKNOWN_LOSS,
    SessionEntry,
    channels_of_name,
    classify_frame,
    depth_snapshot,
    is_partial,
    iter_recording,
    names_subscribed,
    recorded_book_depth,
    register_session_instruments,
    session_exchange,
)
from hftpy.sim.text import wire_bytes

PLAYED = (Channel.TICKER, Channel.TRADE, Channel.BOOK, Channel.KLINE, Channel.FUNDING)
OKX = (Exchange.OKX, Exchange.OKX_SWAP)
# Where nothing but a checksum proves a book, one of which messages may be missing cannot be shown.
UNNUMBERED = (Exchange.KRAKEN,)
_label = re.compile(r"[a-z_]+\.([a-z_]+)\.\d+")  # of our recorder's connections
_number = re.compile(r'"sequence_num":\s*(\d+)')

log = logging.getLogger(__name__)


class RecordedSource:
    """Serves the sessions of streams from a recording; see `hftpy.exchange.hooks.SESSION_SOURCE`.

    Events bear the flag REPLAY and the recorded time of receipt. A connection that was made again in the recording is
    lost and made again here; messages that the recorder lost, and files that do not go on where the last one ends, are
    told as a Gap of source ``recording``. Where the recording has several connections, a session hears those that
    carried its channel, and of those what it subscribed; or, where that was not recorded, what stands in for it
    (``aggTrade`` for ``trade``). Sessions of other venues, and private ones, hear nothing.

    A book that waits for a snapshot gets it where the recording has it, in band or as the answer of a REST request:
    nothing is asked for. What the recording did not answer is in `notes` at the end.

    Parameters
    ----------
    paths
        The file, or several in their order.
    settled
        Awaited after each frame: what the frame brought has then been dealt with.
    speed
        1: as recorded, 10: ten times as fast, 0: as fast as `settled` allows.

    Raises
    ------
    ValueError
        If the speed is negative, there is no file, one is no session, they are of several venues, or their venue cannot
        be told.
    OSError
        If a file cannot be read.
    """

    def __init__(
        self, paths: Path | Sequence[Path], settled: Callable[[], Awaitable[None]], speed: float = 0.0
    ) -> None:
        if not 0 <= speed < float("inf"):
            raise ValueError(f"speed must be 0 (flat out) or positive, was {speed}")
        self.paths = [paths] if isinstance(paths, Path) else list(paths)
        if not self.paths:
            raise ValueError("paths must name at least one file, was empty")
        self.exchange = session_exchange(self.paths[0])
        self.frames = 0
        self.sessions: list[VenueSession] = []
        self.notes: list[str] = []
        self._settled = settled
        self._speed = speed
        self._now_ns = 0
        self._carried: dict[str, set[Channel]] = {}  # by connection, each message's kind from one of them alone
        self._labelled: dict[str, Channel] = {}  # connections whose name tells whose they are
        self._names: dict[Channel, dict[str, None]] = {}  # the venue's names that were recorded, in their order
        self._pairs: dict[Channel, set[CurrencyPair]] = {}
        self._has_links = False
        self._answers: dict[str, str] = {}  # of public REST requests, by path and query; the first of each
        self._depths: set[int] = set()  # of the books, where that makes a difference
        self._read()
        self._hearers: dict[str, list[VenueSession]] = {}
        self._urls: dict[str, set[str]] = {}  # by connection: where it was made
        self._wanted: dict[VenueSession, frozenset[str]] = {}

    def _read(self) -> None:
        """What there is; the instruments of the recording are registered on the way."""
        first: dict[tuple[str, CurrencyPair], str] = {}
        for entry in iter_recording(self.paths, self.notes.append):
            if entry.conn and entry.conn not in self._labelled and (label := _label.fullmatch(entry.conn)):
                with contextlib.suppress(ValueError):
                    self._labelled[entry.conn] = Channel.parse(label[1])
            self._has_links = self._has_links or entry.kind == "link"
            if entry.kind == "http":
                register_session_instruments(self.exchange, entry)
                if depth_snapshot(self.exchange, entry) is None:
                    self._answers.setdefault(_path_of(entry.url), entry.data)
            elif entry.kind == "recv":
                key = classify_frame(self.exchange, entry.data)
                if (depth := recorded_book_depth(self.exchange, entry)) is not None:
                    self._depths.add(depth)
                for channel in channels_of_name(self.exchange, key.channel) if key is not None else ():
                    assert key is not None
                    if any(first.setdefault((key.name, pair), entry.conn) == entry.conn for pair in key.pairs):
                        self._carried.setdefault(entry.conn, set()).add(channel)
                    self._names.setdefault(channel, {})[key.name] = None
                    self._pairs.setdefault(channel, set()).update(key.pairs)

    async def serve(self, session: Session) -> None:
        """Take a session in; it hears the recording when that is played."""
        if isinstance(session, VenueSession):
            self._take_in(session)
        else:
            log.warning("%s: nothing of it is replayed", session.name)
        await asyncio.Event().wait()

    def _take_in(self, session: VenueSession) -> None:
        protocol = session.protocol
        played = isinstance(protocol, MarketProtocol | IBProtocol) and protocol.channel in PLAYED
        same = protocol.exchange is self.exchange or {protocol.exchange, self.exchange} <= set(OKX)
        if not same or not played:
            log.warning("%s: nothing of it is replayed; the recording is of %s", session.name, self.exchange)
        else:
            protocol.clock_ns = self.clock_ns
            protocol.event_flags = int(Flag.REPLAY)
            if isinstance(protocol, IBProtocol):
                protocol.now_s, protocol.follows = self._now_s, True
            if isinstance(session.feed, BookFeed):
                session.feed.on_ask = None  # the recording brings a snapshot where there was one
            self._wanted[session] = self._chosen(session)
            self.sessions.append(session)

    def answer(self, url: str) -> str | None:
        """The first recorded answer to a public request; see `hftpy.exchange.hooks.SessionSource`."""
        return self._answers.get(_path_of(url))

    def _chosen(self, session: VenueSession) -> frozenset[str]:
        """The venue's names of which a session hears frames: what it subscribes, else the first that stands in."""
        recorded = self._names.get(session.protocol.channel, {})
        subscribed = set(names_subscribed(session.protocol)) & recorded.keys()
        stands_in = sorted(recorded, key=is_partial)[:1] if session.protocol.channel is not Channel.KLINE else []
        return frozenset(subscribed or stands_in)

    def _check_depth(self, session: VenueSession) -> None:
        """Books of another depth than the recorded one would keep levels that have gone, or lack some that have not."""
        depth = getattr(session.protocol, "depth", None)
        if isinstance(session.feed, BookFeed) and self._depths and depth not in self._depths:
            recorded = ", ".join(map(str, sorted(self._depths)))
            raise ValueError(
                f"depth of the books of {self.exchange} must be the recorded one ({recorded}), was {depth}: set "
                f'subscribe_args {{"book": {{"depth": {max(self._depths)}}}}}'
            )

    def _now_s(self) -> float:
        return self._now_ns / 1e9

    def clock_ns(self) -> int:
        """The recorded time of the frame at hand."""
        return self._now_ns

    async def play(self) -> None:
        """Play all of it to the sessions that were taken in.

        Raises
        ------
        ValueError
            If there is no such session, a line cannot be read, or a book's depth is not the recorded one.
        """
        if not self.sessions:
            files = ", ".join(map(str, self.paths))
            raise ValueError(f"no stream takes what was recorded of {self.exchange} ({files})")
        if self.exchange is Exchange.IB and not self._has_links:
            files = ", ".join(map(str, self.paths))
            raise ValueError(f'recording must have lines "link", which say what each request of ib is for ({files})')
        for session in self.sessions:
            self._check_depth(session)
            await session.opened()
        self._set_clock(0)
        self.notes.clear()  # the cuts are met again
        loop = asyncio.get_running_loop()
        begin, first_ns = loop.time(), 0
        for entry in iter_recording(self.paths, self.notes.append):
            first_ns = first_ns or entry.time_ns
            if self._speed and (wait := begin + (entry.time_ns - first_ns) / 1e9 / self._speed - loop.time()) > 0:
                await asyncio.sleep(wait)
            if entry.time_ns != self._now_ns:
                self._set_clock(entry.time_ns)
            await self._take(entry)
        await self._settled()
        self._look_back()

    def _set_clock(self, time_ns: int) -> None:
        self._now_ns = time_ns
        for session in self.sessions:
            if session.feed is not None:
                session.feed.replay_at(time_ns, int(Flag.REPLAY))

    async def _take(self, entry: SessionEntry) -> None:
        if entry.lost:
            await self._missed(entry.lost)
        if entry.kind == "conn" and entry.url:
            await self._connected(entry)
        elif entry.kind == "link":
            self._link(entry)
        elif (symbol := depth_snapshot(self.exchange, entry)) is not None:
            self._whole_book(symbol, entry)
            await self._settled()
        elif entry.kind == "recv":
            self.frames += 1
            self._frame(entry)
            await self._settled()

    def _frame(self, entry: SessionEntry) -> None:
        hearers = self._hearers_of(entry.conn)
        if not hearers:
            return
        frame = wire_bytes(entry.data)
        if self.exchange is Exchange.IB:
            for session in hearers:
                session.frame(frame)
            return
        key = classify_frame(self.exchange, entry.data)
        channels = channels_of_name(self.exchange, key.channel) if key is not None else ()
        for session in hearers:
            mine = session.protocol.channel in channels
            if key is None or not channels or (mine and key.name in self._wanted[session]):
                session.frame(frame)
            elif self.exchange is Exchange.COINBASE:
                # Of another channel, but all frames of a connection are counted.
                session.frame(_counted(entry.data) if mine else frame)

    def _link(self, entry: SessionEntry) -> None:
        """A connection's facts, which Interactive Brokers' messages cannot be read without."""
        try:
            fact = json.loads(entry.data)
        except ValueError as error:
            raise ValueError(f"fact of connection {entry.conn!r} cannot be read: {error} in {entry.data!r}") from error
        for session in self._hearers_of(entry.conn):
            protocol = session.protocol
            if isinstance(protocol, IBProtocol) and (pair := protocol.follow(fact)) is not None:
                self._pairs.setdefault(protocol.channel, set()).add(pair)

    def _whole_book(self, symbol: str, entry: SessionEntry) -> None:
        """The snapshot of one symbol for each book that waits for one."""
        for session in self.sessions:
            feed = session.feed
            if not isinstance(feed, BookFeed):
                continue
            for pair in session.protocol.pairs:
                own = native_symbol(session.protocol.exchange, pair)
                if (symbol in ("", own) if len(session.protocol.pairs) == 1 else symbol == own) and feed.waits(pair):
                    try:
                        feed.snapshot(pair, wire_bytes(entry.data))
                    except ParseError as error:
                        self._note(f"{pair}: a recorded snapshot of its book cannot be read: {error}")

    async def _missed(self, lost: int) -> None:
        reason = "not recorded"
        for session in self.sessions:
            session.missed(reason, None if lost == UNKNOWN_LOSS else lost)
            if isinstance(session.feed, BookFeed) and session.protocol.exchange in UNNUMBERED:
                session.feed.reset()
        await self._settled()

    async def _connected(self, entry: SessionEntry) -> None:
        known = self._urls.setdefault(entry.conn, set())
        # Without names, another address is another connection.
        again = entry.conn in self._hearers and (entry.conn != "" or entry.url in known)
        known.add(entry.url)
        if again:
            for session in self._hearers[entry.conn]:
                await session.lost("disconnected")
                session.ready = False
                await session.opened()
            await self._settled()
        else:
            self._hearers_of(entry.conn)

    def _hearers_of(self, conn: str) -> list[VenueSession]:
        hearers = self._hearers.get(conn)
        if hearers is None:
            hearers = [session for session in self.sessions if self._hears(session.protocol.channel, conn)]
            self._hearers[conn] = hearers
        return hearers

    def _hears(self, channel: Channel, conn: str) -> bool:
        if channel in self._labelled.values():
            return self._labelled.get(conn) is channel
        return channel in self._carried.get(conn, ())

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _look_back(self) -> None:
        """What was asked of the recording and is not in it."""
        for session in self.sessions:
            protocol = session.protocol
            recorded = self._pairs.get(protocol.channel, set())
            if isinstance(protocol, IBProtocol):
                if not recorded:
                    self._note(f"{protocol.exchange}.{protocol.channel}: nothing of it was recorded")
                elif missing := [pair for pair in protocol.pairs if pair not in recorded]:
                    self._note(_nothing_of(protocol, missing))
                continue
            natives = {native_symbol(self.exchange, pair) for pair in recorded}
            wanted = {pair: native_symbol(protocol.exchange, pair) for pair in protocol.pairs}
            if not self._wanted[session]:
                names = " and ".join(names_subscribed(protocol)) or str(protocol.channel)
                self._note(f"{protocol.exchange}.{protocol.channel}: {names} was not recorded")
                continue
            missing = [pair for pair, native in wanted.items() if pair not in recorded and native not in natives]
            if missing:
                self._note(_nothing_of(protocol, missing))
            for pair in protocol.pairs if isinstance(session.feed, BookFeed) else ():
                book = session.feed.book(pair)  # type: ignore[union-attr]
                if pair not in missing and book.state is not BookState.VALID:
                    self._note(f"{protocol.exchange}.book: no snapshot was recorded that {pair} waits for ({book.why})")


def _path_of(url: str) -> str:
    return "/" + url.partition("://")[2].partition("/")[2]


def _nothing_of(protocol: VenueProtocol, pairs: Sequence[CurrencyPair]) -> str:
    names = ", ".join(map(str, pairs[:5])) + (", …" if len(pairs) > 5 else "")
    return f"{protocol.exchange}.{protocol.channel}: nothing was recorded of {names}"


def _counted(text: str) -> bytes:
    """A frame that has nothing but the number of another."""
    number = _number.search(text)
    return f'{{"channel":"heartbeats","sequence_num":{number[1] if number else 0},"events":[]}}'.encode()
