"""A recording in place of the connections of a task's streams: frame by frame in its order, by its own clock."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from hftcore.enums import Channel, Exchange, Flag
from hftpy.exchange.market import MarketProtocol
from hftpy.exchange.venue import VenueSession
from hftpy.sim.recording import (
    SessionEntry,
    channel_names,
    classify_frame,
    iter_session,
    register_session_instruments,
    session_exchange,
)

PLAYED = (Channel.TICKER, Channel.TRADE, Channel.KLINE, Channel.FUNDING)

log = logging.getLogger(__name__)


class RecordedSource:
    """Serves the sessions of streams from a recording; see `hftpy.exchange.hooks.SESSION_SOURCE`.

    Events bear the flag REPLAY and the recorded time of receipt. A connection that was made again in the recording is
    lost and made again here. Where the recording has several connections, a session hears those that carried its
    channel. Sessions of other venues, and private ones, hear nothing.

    Parameters
    ----------
    path
        The session.
    settled
        Awaited after each frame: what the frame brought has then been dealt with.
    speed
        1: as recorded, 10: ten times as fast, 0: as fast as `settled` allows.

    Raises
    ------
    ValueError
        If the speed is negative, the file is no session, or its venue cannot be told.
    OSError
        If the file cannot be read.
    """

    def __init__(self, path: Path, settled: Callable[[], Awaitable[None]], speed: float = 0.0) -> None:
        if not 0 <= speed < float("inf"):
            raise ValueError(f"speed must be 0 (flat out) or positive, was {speed}")
        self.path = path
        self.exchange = session_exchange(path)
        self.frames = 0
        self.sessions: list[VenueSession] = []
        self._settled = settled
        self._speed = speed
        self._now_ns = 0
        self._channels = self._read_channels()
        self._hearers: dict[str, list[VenueSession]] = {}

    def _read_channels(self) -> dict[str, set[Channel]]:
        """The channels of each connection; the instruments of the recording are registered on the way."""
        names, found = channel_names(self.exchange), dict[str, set[Channel]]()
        for entry in iter_session(self.path):
            if entry.kind == "http":
                register_session_instruments(self.exchange, entry)
            elif entry.kind == "recv":
                key = classify_frame(self.exchange, entry.data)
                channel = names.get(key.channel) if key is not None else None
                if channel is not None:
                    found.setdefault(entry.conn, set()).add(channel)
        return found

    async def serve(self, session: VenueSession) -> None:
        """Take a session in; it hears the recording when that is played."""
        protocol = session.protocol
        played = isinstance(protocol, MarketProtocol) and protocol.channel in PLAYED
        if protocol.exchange is not self.exchange or not played:
            log.warning("%s: nothing of it is replayed; the recording is of %s", session.name, self.exchange)
        else:
            protocol.clock_ns = self.clock_ns
            protocol.event_flags = int(Flag.REPLAY)
            self.sessions.append(session)
        try:
            await asyncio.Event().wait()
        finally:
            session.end()

    def clock_ns(self) -> int:
        """The recorded time of the frame at hand."""
        return self._now_ns

    async def play(self) -> None:
        """Play all of it to the sessions that were taken in.

        Raises
        ------
        ValueError
            If there is no such session, or a line cannot be read.
        """
        if not self.sessions:
            raise ValueError(f"no stream takes what was recorded of {self.exchange} ({self.path})")
        for session in self.sessions:
            await session.opened()
        loop = asyncio.get_running_loop()
        begin, first_ns = loop.time(), 0
        for entry in iter_session(self.path):
            first_ns = first_ns or entry.time_ns
            if self._speed and (wait := begin + (entry.time_ns - first_ns) / 1e9 / self._speed - loop.time()) > 0:
                await asyncio.sleep(wait)
            self._now_ns = entry.time_ns
            if entry.kind == "conn" and entry.url:
                await self._connected(entry)
            elif entry.kind == "recv":
                self.frames += 1
                frame = entry.data.encode("utf-8", "replace")
                for session in self._hearers_of(entry.conn):
                    session.frame(frame)
                await self._settled()
        await self._settled()

    async def _connected(self, entry: SessionEntry) -> None:
        if entry.conn in self._hearers:
            for session in self._hearers[entry.conn]:
                await session.lost("disconnected")
                session.ready = False
                await session.opened()
            await self._settled()
        else:
            self._hearers_of(entry.conn)

    def _carried(self, conn: str) -> set[Channel]:
        """Which of our channels a connection carried."""
        found = self._channels.get(conn, set())
        if self.exchange is not Exchange.KRAKEN_FUTURE or Channel.TICKER not in found:
            return found
        # Its feed `ticker` is two of our channels: a recorder's names tell whose connection it was.
        own = f"{self.exchange}.{Channel.FUNDING}."
        if conn.startswith(own):
            return {Channel.FUNDING}
        return found if any(name.startswith(own) for name in self._channels) else found | {Channel.FUNDING}

    def _hearers_of(self, conn: str) -> list[VenueSession]:
        hearers = self._hearers.get(conn)
        if hearers is None:
            carried = self._carried(conn)
            hearers = [session for session in self.sessions if session.protocol.channel in carried]
            self._hearers[conn] = hearers
        return hearers
