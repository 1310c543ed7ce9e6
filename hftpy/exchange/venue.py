"""What a venue is to a stream: a sans-I/O protocol class, and the session that drives it.

A venue's file holds a subclass of `VenueProtocol` (what to send, what a frame means) and of `NativeStream` (which
protocol for which channel). Neither touches a socket.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import msgspec

from hftcore.book import OrderBook, Snapshot
from hftcore.book_feed import BookFeed
from hftcore.enums import Channel, Exchange
from hftcore.errors import ParseError
from hftcore.feed import Feed
from hftcore.kline import Kline
from hftcore.symbols import CurrencyPair, native_symbol
from hftcore.types import Ticker, Trade
from hftcore.watch import SilenceWatch
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.funding import Funding
from hftpy.common.log import LimitedLog
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.errors import SubscribeError
from hftpy.exchange.client import ClientName
from hftpy.exchange.hooks import SESSION_SOURCE
from hftpy.exchange.runner import Runner, Session, logger
from hftpy.exchange.stream import StreamBase, replace_host

Item: TypeAlias = Ticker | Trade | Snapshot | MyOrder | MyTrade | list[MyOrder] | Gap | Kline | Funding
CHANNEL_OF: Mapping[type, Channel] = {
    Ticker: Channel.TICKER,
    Trade: Channel.TRADE,
    Snapshot: Channel.BOOK,
    Kline: Channel.KLINE,
    Funding: Channel.FUNDING,
    MyOrder: Channel.MY_ORDER,
    MyTrade: Channel.MY_TRADE,
    list: Channel.MY_ORDER_BATCH,
}
MARKET = (Ticker, Trade, Kline)
MAX_SILENCE_FACTOR = 8
SHOWN_BYTES = 200


def natives_of(exchange: Exchange, pairs: Iterable[CurrencyPair]) -> dict[str, CurrencyPair]:
    """The pairs by a venue's own spelling.

    Raises
    ------
    ValueError
        If the venue has nothing of the kind of a pair, or spells two of them alike.
    """
    natives: dict[str, CurrencyPair] = {}
    for pair in pairs:
        native = native_symbol(exchange, pair)
        if native in natives:
            raise ValueError(f"{exchange} spells both {str(natives[native])!r} and {str(pair)!r} {native}: name one")
        natives[native] = pair
    return natives


class VenueProtocol(ABC):
    """One connection's side of a venue's protocol, without I/O.

    Parameters
    ----------
    channel
        What the connection carries.
    pairs
        The pairs to subscribe; nothing else is delivered.
    args
        Subscribe arguments of the user.
    """

    exchange: ClassVar[Exchange]
    url: str
    keep_alive: ClassVar[str] = ""  # text that is sent after `keep_alive_s` without a frame
    keep_alive_s: ClassVar[float] = 0.0
    heartbeat_timeout_s: ClassVar[float | None] = None  # silence of all frames after which the connection is dead
    ack_timeout_s: ClassVar[float] = 10.0
    max_silence_factor: ClassVar[int] = MAX_SILENCE_FACTOR
    send_interval_s: ClassVar[float] = 0.0
    fatal_close_codes: ClassVar[frozenset[int]] = frozenset()
    needs_deflate: ClassVar[bool] = False  # the venue wants permessage-deflate, which the client websockets speaks

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        self.channel = channel
        self.pairs = tuple(pairs)
        self.wanted = frozenset(pairs)
        self.args = dict(args)
        self.pending: set[Any] = set()  # what the venue has not answered yet
        self.refused: dict[Any, str] = {}  # what it refused, in its words
        self.fault = ""  # why the connection should be replaced
        self.clock_ns: Callable[[], int] = time.time_ns
        self.event_flags = 0  # flag bits that every event of the market gets
        self.to_send: list[str] = []  # what is to be sent soon, after a frame was received
        self.duplicates = 0
        self.outdated = 0
        self.unwanted = 0
        self.asked_again = 0  # books whose snapshot was asked for once more

    async def prepare(self) -> None:
        """Whatever must be fetched before subscribing, such as a token.

        Raises
        ------
        VenueError
            If it cannot be had.
        """
        return

    @abstractmethod
    def open(self) -> list[str]:
        """Forget the last connection; the messages that subscribe on a new one, `pending` being what they ask for."""

    @abstractmethod
    def receive(self, frame: bytes, local_ns: int) -> Sequence[Item]:
        """What a frame carries; acknowledgements and faults show in `pending`, `refused` and `fault`.

        Raises
        ------
        ParseError
            If the frame is not what the protocol says.
        """

    def make_feed(self, watch: SilenceWatch) -> Feed | BookFeed | None:
        """What reads this protocol's market data natively; None: everything goes through `receive`."""
        return None

    def next_deadline(self) -> float | None:
        """The `time.monotonic()` at which `due` is to be asked, None for never."""
        return None

    def due(self, now: float) -> Sequence[str]:
        """The messages that are to be sent now."""
        return ()

    def retryable(self, reason: str) -> bool:
        """Whether a refusal may be temporary."""
        return False

    def gap(self, symbol: CurrencyPair | None, reason: str, lost: int | None) -> Gap:
        """A Gap of this channel, stamped now."""
        return Gap(
            exchange=self.exchange,
            channel=self.channel,
            symbol=symbol,
            reason=reason,
            lost=lost,
            source="venue",
            timestamp=self.clock_ns() // 1000,
        )


class VenueSession(Session):
    """Drives a protocol: hands on what it yields, watches its acknowledgements, heartbeats and silences.

    Where the client can, frames go natively through the protocol's `Feed` and only the rest comes here.
    """

    def __init__(
        self,
        stream: "NativeStream",
        protocol: VenueProtocol,
        url: str,
        channels: Sequence[Channel],
        native: bool = True,
    ) -> None:
        super().__init__(f"{stream.exchange}.{protocol.channel}")
        self.send_interval_s = protocol.send_interval_s
        self.fatal_close_codes = protocol.fatal_close_codes
        self._stream = stream
        self._protocol = protocol
        self._url = url
        self._channels = channels
        self._counters = {channel: stream.channel_stats(channel) for channel in channels}
        self._stats = stream.channel_stats(protocol.channel)
        self._log = LimitedLog(logger)
        self._limit = stream.stale_after(protocol.channel) if protocol.pairs else None
        self._watch = SilenceWatch()
        self._sent_at = 0.0
        self._kept_alive_at = 0.0
        self._known_refusals = 0
        self._counted = (0, 0, 0)  # the protocol's counters, as far as they are in the channel's
        self._exposed = False  # something may have been missed since the last Gap
        self._was_ready = False
        # A stream that overrides `deliver` wants to see every item.
        delivers = type(stream).deliver is StreamBase.deliver
        # Books have no other way than the native one.
        if protocol.channel is Channel.BOOK or (native and delivers):
            self.feed = protocol.make_feed(self._watch)
        if self.feed is not None:
            self.feed.on_frame = self._frame
            self.feed.on_gap = self._found_gap
            self.feed.on_error = stream.callback_failed(protocol.channel)
            if isinstance(self.feed, BookFeed):
                self.feed.on_ask = self._ask_for_book
                protocol.wake = self.wake  # type: ignore[attr-defined]
            stream.attach_feed(protocol.channel, self.feed, None if delivers else stream.deliver)

    def _ask_for_book(self, pair: CurrencyPair) -> None:
        self._protocol.ask(pair)  # type: ignore[attr-defined]

    def end(self) -> None:
        """The session is over: what its feed counted goes into the stream's counters."""
        if self.feed is not None:
            self._stream.detach_feed(self.feed)

    @property
    def protocol(self) -> VenueProtocol:
        """The venue's side."""
        return self._protocol

    @property
    def delivered(self) -> bool:
        return self._exposed or (self.feed is not None and self.feed.exposed)

    async def url(self) -> str:
        return self._url

    async def opened(self) -> Sequence[str | bytes]:
        await self._protocol.prepare()
        self._sent_at = time.monotonic()
        self._watch.connected()
        self._known_refusals = 0
        messages = self._protocol.open()
        if self.feed is not None:
            self.feed.reset()
            self.feed.on_handled = self._after_frame  # until ready
        # The acknowledgement's time starts when the last message is sent.
        self._sent_at += self.send_interval_s * len(messages)
        return messages

    def sent(self) -> None:
        self._sent_at = time.monotonic()

    def frame(self, data: bytes) -> None:
        if self.feed is not None:
            self.feed.feed(data)
        else:
            self._frame(data)
            self._stream.end_batch()

    def _frame(self, data: bytes) -> None:
        """Take a frame in through the protocol."""
        local_ns = self._protocol.clock_ns()
        self._watch.frame_seen()
        stats = self._stats
        stats.frames += 1
        try:
            items = self._protocol.receive(data, local_ns)
        except ParseError as error:
            stats.parse_errors += 1
            self._log.warning("parse", f"{self.name}: {error} in {data[:SHOWN_BYTES]!r}")
            return
        except Exception as error:  # noqa: BLE001  no frame may end a stream, whatever a protocol class overlooked
            stats.parse_errors += 1
            self._log.warning("receive", f"{self.name}: {error!r} in {data[:SHOWN_BYTES]!r}", exc_info=error)
            return
        self._count()
        if items:
            self._deliver(items)
        self._after_frame()

    def _after_frame(self) -> None:
        if self._protocol.to_send:
            self._sent_at = time.monotonic() + self.send_interval_s * len(self._protocol.to_send)
            self.send(*self._protocol.to_send)
            self._protocol.to_send.clear()
        if self._protocol.fault:
            self.give_up(self._protocol.fault)
        elif not self.ready:
            self._acknowledged()

    def _deliver(self, items: Sequence[Item]) -> None:
        stream, counters, watch = self._stream, self._counters, self._watch
        self._exposed = True
        for item in items:
            if isinstance(item, Gap):
                self._tell(item)
                continue
            if isinstance(item, MARKET):
                watch.event_seen(item.symbol, item.flags)
            elif isinstance(item, Funding):
                watch.event_seen(item.symbol)
            channel = CHANNEL_OF[type(item)]
            counter = counters.get(channel)
            if counter is not None:
                counter.events += 1
                stream.deliver(channel, item)

    def _found_gap(self, symbol: CurrencyPair | None, reason: str, lost: int | None) -> None:
        self._tell(self._protocol.gap(symbol, reason, lost))

    def _tell(self, gap: Gap) -> None:
        for channel in self._channels:
            self._stream.emit(gap if channel is gap.channel else _with_channel(gap, channel))

    def _count(self) -> None:
        """Bring the channel's counters up to date; several connections may share them."""
        protocol, stats, before = self._protocol, self._stats, self._counted
        self._counted = (protocol.duplicates, protocol.outdated, protocol.unwanted)
        stats.duplicates += protocol.duplicates - before[0]
        stats.outdated += protocol.outdated - before[1]
        stats.unwanted += protocol.unwanted - before[2]

    def _acknowledged(self) -> None:
        protocol = self._protocol
        if len(protocol.refused) > self._known_refusals:
            for what, reason in list(protocol.refused.items())[self._known_refusals :]:
                logger.error("%s: the venue refused to subscribe %s: %s", self.name, what, reason)
                self._stats.refused += 1
            self._known_refusals = len(protocol.refused)
        if protocol.pending:
            return
        wanted = protocol.pairs or ("",)
        if len(protocol.refused) >= len(wanted):
            what, reason = next(iter(protocol.refused.items()))
            if self._was_ready or protocol.retryable(reason):
                self.give_up(f"all subscriptions were refused: {reason}")
            else:
                self.fail(SubscribeError(f"{self.name}: {what or protocol.channel} was refused: {reason}", code=reason))
            return
        self._watch.begin([pair for pair in protocol.pairs if pair not in protocol.refused])
        self.ready = self._exposed = self._was_ready = True
        if self.feed is not None:
            self.feed.on_handled = None
        for channel in self._channels:
            self._counters[channel].connected = True
        self.wake()

    def next_deadline(self) -> float | None:
        protocol = self._protocol
        deadlines: list[float] = []
        if not self.ready:
            deadlines.append(self._sent_at + protocol.ack_timeout_s)
        if protocol.heartbeat_timeout_s is not None:
            deadlines.append(self._watch.last_frame_s + protocol.heartbeat_timeout_s)
        if (due := protocol.next_deadline()) is not None:
            deadlines.append(due)
        if protocol.keep_alive:
            deadlines.append(max(self._watch.last_frame_s, self._kept_alive_at) + protocol.keep_alive_s)
        if self.ready and self._limit is not None:
            watch = self._watch
            deadlines.append(watch.last_event_s + self._limit * watch.silence_factor)
            if (oldest := watch.oldest_s) is not None:
                deadlines.append(oldest + self._limit)
        return min(deadlines, default=None)

    def check(self, now: float) -> None:
        protocol, watch = self._protocol, self._watch
        timeout = protocol.heartbeat_timeout_s
        if timeout is not None and now - watch.last_frame_s >= timeout:
            self.fault = f"no frame for {now - watch.last_frame_s:.1f} s"
            return
        asked = protocol.asked_again
        self.send(*protocol.due(now))
        self._stats.resyncs += protocol.asked_again - asked
        if protocol.keep_alive and now - max(watch.last_frame_s, self._kept_alive_at) >= protocol.keep_alive_s:
            self._kept_alive_at = now
            self.send(protocol.keep_alive)
        if not self.ready:
            if now - self._sent_at >= protocol.ack_timeout_s:
                missing = ", ".join(sorted(map(str, protocol.pending))[:5])
                self.fault = f"no acknowledgement within {protocol.ack_timeout_s:g} s for {missing}"
            return
        limit = self._limit
        if limit is None:
            return
        for pair, silent_s in watch.newly_stale(now, limit):
            self._stream.emit(
                Stale(
                    exchange=self._stream.exchange,
                    channel=protocol.channel,
                    symbol=pair,
                    silent_s=silent_s,
                    timestamp=time.time_ns() // 1000,
                )
            )
        silence = now - watch.last_event_s
        if silence >= limit * watch.silence_factor:
            # A quiet market looks the same: each reconnect that brings nothing new doubles the patience.
            watch.silence_factor = min(watch.silence_factor * 2, protocol.max_silence_factor)
            self.fault = f"no data for {silence:.1f} s"

    async def lost(self, reason: str) -> None:
        for channel in self._channels:
            self._counters[channel].connected = False
        self._count()
        if self.feed is not None:
            self._exposed |= self.feed.exposed
            self.feed.exposed = False
            if isinstance(self.feed, BookFeed):
                self.feed.reset()
        if self._exposed and not self._stream.stopping:
            self._exposed = False
            self._tell(self._protocol.gap(None, "disconnected", None))

    def missed(self, reason: str, lost: int | None) -> None:
        """Messages of the connection, which goes on, did not come as far as here: where a recording has a hole."""
        self._tell(msgspec.structs.replace(self._protocol.gap(None, reason, lost), source="recording"))

    def recovered(self, attempts: int, down_s: float) -> None:
        for channel in self._channels:
            self._stream.emit(
                Reconnected(
                    exchange=self._stream.exchange,
                    channel=channel,
                    attempts=attempts,
                    down_s=down_s,
                    timestamp=time.time_ns() // 1000,
                )
            )


def _with_channel(gap: Gap, channel: Channel) -> Gap:
    return Gap(
        exchange=gap.exchange,
        channel=channel,
        symbol=gap.symbol,
        reason=gap.reason,
        lost=gap.lost,
        source=gap.source,
        timestamp=gap.timestamp,
    )


class NativeStream(StreamBase):
    """A stream whose frames are parsed by the compiled core.

    Raises
    ------
    ValueError
        If a market channel is subscribed and there is no currency pair, or one that the venue cannot have.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        market = [channel for channel in self.subscribe_channels if channel not in self.private_channels]
        if market and not self.currency_pairs:
            raise ValueError(f"currency_pairs must name at least one pair for the channel {market[0]}, was empty")
        self.natives = self._spell_pairs() if market else {}

    def _spell_pairs(self) -> dict[str, CurrencyPair]:
        return natives_of(self.exchange, self.currency_pairs)

    def url_of(self, url: str) -> str:
        """The venue's URL, or its path at `api_host`."""
        return replace_host(url, self.api_host) if self.api_host else url

    def book(self, symbol: str) -> OrderBook:
        """The live order book of a pair. It changes with each frame: read it on the event loop's thread.

        Raises
        ------
        ValueError
            If the channel book is not subscribed, or the pair is none of the stream's.
        RuntimeError
            If the stream is not running.
        """
        pair = CurrencyPair(symbol)
        if Channel.BOOK not in self.subscribe_channels or pair not in self.currency_pairs:
            raise ValueError(f"symbol must be a pair whose book is subscribed, was {str(pair)!r}")
        for channel, feed in self._feeds:
            if channel is Channel.BOOK and isinstance(feed, BookFeed) and pair in feed:
                return feed.book(pair)
        raise RuntimeError(f"{self!r} is not running: it has no book of {pair} yet")

    async def run_protocol(self, protocol: VenueProtocol, channels: Sequence[Channel] = ()) -> None:
        """Keep one connection of a protocol alive until the stream stops.

        Parameters
        ----------
        protocol
            The venue's side.
        channels
            The channels that it feeds; empty: its own.
        """
        client: ClientName = "websockets" if protocol.needs_deflate else self._client
        native = client == "picows" or SESSION_SOURCE.get() is not None
        session = VenueSession(self, protocol, self.url_of(protocol.url), channels or (protocol.channel,), native)
        runner = Runner(
            session,
            self._policy,
            client,
            tls=self._tls,
            deflate=protocol.needs_deflate,
        )
        try:
            await runner.run()
        finally:
            session.end()
