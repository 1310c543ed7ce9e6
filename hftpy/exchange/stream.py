"""StreamBase: what every stream shares, whatever its venue.

A stream runs one coroutine ``{channel}_channel()`` per subscribed channel and puts what it receives into the queue
``{channel}_queue`` of each bound observer. Everything happens on one event loop; nothing here is thread-safe.
"""

import asyncio
import inspect
import logging
import time
import weakref
from abc import ABC
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from hftcore.book_feed import BookFeed
from hftcore.enums import Channel, Exchange
from hftcore.feed import Feed
from hftcore.latency import LatencyHistogram
from hftcore.ring import Ring
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.log import LimitedLog
from hftpy.common.loops import end_tasks
from hftpy.errors import ConfigError, ObserverError
from hftpy.exchange.base_url import check_base_url
from hftpy.exchange.client import CLIENTS, ClientName
from hftpy.exchange.json_session import JsonSession
from hftpy.exchange.policy import ReconnectPolicy
from hftpy.exchange.runner import Runner
from hftpy.exchange.sinks import ChannelStats, Deliverer, Sink
from hftpy.exchange.tls import make_tls

logger = logging.getLogger("hftpy.exchange")

# Seconds of silence of one symbol until it is reported; of a whole channel until it is connected again.
STALE_AFTER_S: Mapping[Channel, float] = {
    Channel.TICKER: 30.0,
    Channel.TRADE: 300.0,
    Channel.BOOK: 60.0,
    Channel.KLINE: 300.0,
    Channel.FUNDING: 120.0,
}

StreamEvent = Gap | Stale | Reconnected
_CHANNEL_OF: Mapping[type, Channel] = {Ticker: Channel.TICKER, Trade: Channel.TRADE}
_HANDLERS: dict[type, str] = {Gap: "on_gap", Stale: "on_stale", Reconnected: "on_reconnected"}


class _Run:
    """One call of `start`, from that call on."""

    def __init__(self) -> None:
        self.stop_asked = asyncio.Event()
        self.finished = asyncio.Event()


class _Stopped(Awaitable[None]):
    """What `stop` returns: may be awaited until everything has ended, or ignored."""

    def __init__(self, run: _Run | None) -> None:
        self._run = run

    def __await__(self) -> Generator[Any, None, None]:
        if self._run is not None:
            yield from self._run.finished.wait().__await__()


async def gather_all(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines until all end; the first error ends the others and is raised as it is."""
    tasks = [asyncio.create_task(coroutine, name="hftpy connection") for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end_tasks(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # the first one is on its way to the caller, the others are its consequences


def as_list(value: Any) -> list[Any]:
    """A setting that may be one value or several, or empty."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | int) else list(value)


def replace_host(url: str, api_host: str) -> str:
    """`url` at `api_host` (a base URL): its path is appended unless the base already ends in it."""
    base = api_host.rstrip("/")
    path = urlsplit(url).path.rstrip("/")
    if url.startswith(base) or not path or base.endswith(path):
        return url if url.startswith(base) else base
    return base + path


class StreamBase(ABC):  # noqa: B024  which channel coroutines a subclass has is its own choice
    """A venue's WebSocket data, given to observers by queues.

    A subclass writes one coroutine ``{channel}_channel()`` per channel, which usually awaits `run_channel`.

    Parameters
    ----------
    exchange
        Whose data it is; None: the class attribute `exchange`.
    currency_pairs
        Pairs, or any spelling of them; shared by all channels.
    subscribe_channels
        Channels, or their names.
    api_key, api_secret, api_auth_data
        For private channels; never logged.
    api_host
        A base URL with scheme that replaces the venue's, such as ``ws://127.0.0.1:9001/kraken``.
    reconnect_times
        -1 for ever, a number, or ``{"times", "initial", "max"}`` (seconds).
    subscribe_args
        Merged into the subscribe request; a key that is a channel's name holds arguments for that channel alone.
    client
        ``picows`` or ``websockets``.
    stale_after
        Seconds of silence until a symbol counts as stale: a number for all channels, or a mapping by channel name.
        0: never. Default 30 for ticker, 300 for trade, 60 for book.
    tls
        How ``wss://`` is checked, see `hftpy.exchange.tls`; None: the system's authorities.

    Empty strings and None mean "not given".

    Raises
    ------
    ValueError
        If a pair or channel is none, or there is no channel.
    ConfigError
        If another setting cannot be used.
    """

    exchange: Exchange = Exchange.UNKNOWN
    api_schemes: ClassVar[tuple[str, ...]] = ("ws", "wss")
    absent_channels: ClassVar[Mapping[Channel, str]] = {}  # why the venue has none, to be told whoever asks for it
    private_channels: ClassVar[frozenset[Channel]] = frozenset(
        {Channel.MY_ORDER, Channel.MY_ORDER_BATCH, Channel.MY_TRADE, Channel.BALANCE, Channel.POSITION}
    )

    def __init__(
        self,
        *,
        exchange: Exchange | str | None = None,
        currency_pairs: Iterable[str] | str | None = None,
        subscribe_channels: Iterable[Channel | str] | Channel | str | None = None,
        api_key: str | None = None,
        api_secret: str | None = None,
        api_auth_data: Any = None,
        api_host: str | None = None,
        reconnect_times: Any = None,
        subscribe_args: Mapping[str, Any] | str | None = None,
        client: str | None = None,
        stale_after: float | Mapping[str, float] | None = None,
        tls: Mapping[str, Any] | None = None,
    ) -> None:
        if exchange is not None and exchange != "":
            self.exchange = Exchange.parse(exchange)
        self.currency_pairs = list(dict.fromkeys(CurrencyPair(pair) for pair in as_list(currency_pairs)))
        self.subscribe_channels = list(dict.fromkeys(Channel.parse(name) for name in as_list(subscribe_channels)))
        if not self.subscribe_channels:
            raise ValueError("subscribe_channels must name at least one channel, was empty")
        for channel in self.subscribe_channels:
            if not callable(getattr(self, f"{channel}_channel", None)):
                why = self.absent_channels.get(channel, "")
                raise ConfigError(f"{type(self).__name__} has no channel {str(channel)!r}{why and ': ' + why}")
        if subscribe_args and not isinstance(subscribe_args, Mapping):
            raise ConfigError(f"subscribe_args must be a mapping, was {subscribe_args!r}")
        if client and client not in CLIENTS:
            raise ConfigError(f"client must be one of {', '.join(CLIENTS)}, was {client!r}")
        self.api_host = (
            check_base_url("api_host", api_host, self.api_schemes, port="tcp" in self.api_schemes) if api_host else ""
        )
        self.subscribe_args: dict[str, Any] = dict(subscribe_args) if isinstance(subscribe_args, Mapping) else {}
        self._client: ClientName = "websockets" if client == "websockets" else "picows"
        self._api_key = api_key or ""
        self._api_secret = api_secret or ""
        self._api_auth_data = api_auth_data or {}
        self._tls = make_tls(tls)
        self._policy = ReconnectPolicy.read(reconnect_times)
        self._stale_after = _read_stale_after(stale_after)
        self._observers: list[Any] = []
        self._sinks: dict[Channel, list[Sink]] = {channel: [] for channel in self.subscribe_channels}
        self._stats = {channel: ChannelStats() for channel in self.subscribe_channels}
        self._run: _Run | None = None  # the one that has begun last
        self._starts: weakref.WeakSet[_Run] = weakref.WeakSet()
        self._event_log = LimitedLog(logger)
        self._loss_log = LimitedLog(logger, 1.0)
        self._side_tasks: set[asyncio.Task[Any]] = set()
        self._feeds: list[tuple[Channel, Feed | BookFeed]] = []
        self._drains: list[tuple[Ring[Any], Callable[[Any], Any]]] = []
        self._batch_callbacks: list[Callable[[], Any]] = []
        self._callback_log = LimitedLog(logger)
        self.latency: dict[str, dict[str, LatencyHistogram]] = {}

    def __repr__(self) -> str:
        pairs = ", ".join(self.currency_pairs[:5]) + (", …" if len(self.currency_pairs) > 5 else "")
        return f"<{type(self).__name__} {', '.join(map(str, self.subscribe_channels))}: {pairs}>"

    @property
    def stats(self) -> dict[str, dict[str, Any]]:
        """Counters per channel name; `dropped` is a list with one number per observer, in the order of binding.

        `latency` has percentiles per hop (see docs/streams.md), where the client is picows; the histograms themselves
        are `latency` of the stream, by channel name and hop.
        """
        for channel, feed in self._feeds:
            self._stats[channel].add(feed.take_counts())
        for channel, stats in self._stats.items():
            stats.dropped = [sink.dropped for sink in self._sinks[channel]]
            stats.latency = {
                hop: {"count": found.count, "p50_ns": found.percentile(50), "p99_ns": found.percentile(99),
                      "max_ns": found.max_ns}
                for hop, found in self.latency.get(str(channel), {}).items()
            }  # fmt: skip
        return {str(channel): stats.to_dict() for channel, stats in self._stats.items()}

    def bind_observer(self, observer: Any) -> None:
        """Give `observer` everything from now on.

        Parameters
        ----------
        observer
            Has a queue ``{channel}_queue`` (with `put_nowait`) for each subscribed channel; `Gap`, `Stale` and
            `Reconnected` go to its `event_queue` where it has one, else to `on_gap`, `on_stale`, `on_reconnected`.

        Raises
        ------
        ObserverError
            If a queue is missing.
        """
        if any(bound is observer for bound in self._observers):
            return
        found: list[tuple[Channel, Any]] = []
        for channel in self.subscribe_channels:
            queue = getattr(observer, f"{channel}_queue", None)
            if not callable(getattr(queue, "put_nowait", None)):
                raise ObserverError(
                    f"{type(observer).__name__} must have a queue {channel}_queue, since the channel {channel} is "
                    f"subscribed; was {queue!r}"
                )
            found.append((channel, queue))
        self._observers.append(observer)
        for channel, queue in found:
            self._sinks[channel].append(Sink(f"{type(observer).__name__}.{channel}_queue", queue))
            for bound_channel, feed in self._feeds:
                # A stream that overrides `deliver` has the feed of its books deliver by it.
                if bound_channel is channel and type(self).deliver is StreamBase.deliver:
                    feed.bind(self._sinks[channel][-1].target, self._sinks[channel][-1].failed)

    def drain(self, ring: Ring[Any], callback: Callable[[Any], Any]) -> None:
        """Empty a bound ring into `callback(item)` at the end of each batch of frames, in the socket's own call.

        The shortest way to a strategy: no task is woken. Nothing else may take from the ring meanwhile. What the
        callback raises is counted in `callback_errors` and logged, and the next item follows.

        Parameters
        ----------
        ring
            Of Ticker or Trade; a queue of an observer that is bound.
        callback
            An ordinary function, called on the event loop; it should return soon.

        Raises
        ------
        TypeError
            If `ring` is no Ring or `callback` cannot be called.
        """
        if not isinstance(ring, Ring):
            raise TypeError(f"ring must be a Ring, was {ring!r}")
        if not callable(callback):
            raise TypeError(f"callback must be callable, was {callback!r}")
        self._drains.append((ring, callback))
        for _, feed in self._feeds:
            if isinstance(feed, Feed) and feed.kind is ring.kind:
                feed.drain(ring, callback)

    def on_batch(self, callback: Callable[[], Any]) -> None:
        """Call `callback()` after each batch of frames that delivered something, in the socket's own call.

        A batch is what one read of the socket brought. What the callback raises is counted in `callback_errors`.

        Raises
        ------
        TypeError
            If `callback` cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, was {callback!r}")
        self._batch_callbacks.append(callback)
        for _, feed in self._feeds:
            feed.on_batch(callback)

    def start(self) -> Coroutine[Any, Any, None]:
        """Run all channels until `stop`.

        Returns
        -------
        Coroutine
            To be awaited, or made a task. A `stop` that comes before its first step ends it all the same. After a
            `stop`, it waits until what was stopped has ended.

        Raises
        ------
        ConfigError
            If a channel's arguments or pairs cannot be used.
        SubscribeError
            If the venue refused all symbols of a channel.
        VenueError
            If the venue must not be connected to again, or the reconnect policy is exhausted.
        RuntimeError
            If the stream is already running.
        """
        run = _Run()
        self._starts.add(run)
        return self._run_channels(run)

    async def _run_channels(self, run: _Run) -> None:
        while (before := self._run) is not None and not before.finished.is_set():
            if not before.stop_asked.is_set():
                raise RuntimeError(f"{self!r} is already running")
            await before.finished.wait()
        if run.stop_asked.is_set():
            return
        self._run = run
        stopper = asyncio.create_task(run.stop_asked.wait(), name="hftpy stream stop")
        channels = [
            asyncio.create_task(getattr(self, f"{channel}_channel")(), name=f"hftpy {self.exchange}.{channel}")
            for channel in self.subscribe_channels
        ]
        try:
            running: set[asyncio.Task[Any]] = {*channels}
            while running and not run.stop_asked.is_set():
                done, _ = await asyncio.wait({*running, stopper}, return_when=asyncio.FIRST_COMPLETED)
                running -= done
                for task in done:
                    task.result()
        finally:
            run.stop_asked.set()
            try:
                await end_tasks((stopper, *channels, *self._side_tasks))
            finally:
                for task in channels:
                    if not task.cancelled():
                        task.exception()  # of several errors the first is raised
                run.finished.set()

    def stop(self) -> Awaitable[None]:
        """Let every `start` that was called before return; awaiting the result waits until all is closed."""
        for run in self._starts:
            run.stop_asked.set()
        return _Stopped(self._run)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was asked, or the stream does not run."""
        return self._run is None or self._run.stop_asked.is_set()

    async def run_channel(
        self,
        host: str,
        channel: Channel,
        subscribe: Callable[[], Awaitable[Any]] | None,
        on_packet: Callable[[dict[str, Any]], Any],
        on_connected: Callable[[], Any] | None = None,
        on_disconnected: Callable[[], Any] | None = None,
    ) -> None:
        """Keep one connection of JSON messages, subscribed and alive, until the stream stops.

        Parameters
        ----------
        host
            URL of the connection; without a scheme, ``wss://``. `api_host` replaces its scheme and host.
        channel
            Whose connection it is.
        subscribe
            Coroutine function that gives the message to send after connecting: str, dict, bytes, or a list of them.
        on_packet
            Called with each decoded message; may be a coroutine function. If it raises, that is counted and logged.
        on_connected, on_disconnected
            Called without arguments; may be coroutine functions.

        Raises
        ------
        ConfigError
            If `host` is no address of a WebSocket.
        VenueError
            If the reconnect policy is exhausted.
        """
        url = check_base_url("host", host if "://" in host else f"wss://{host}", ("wss", "ws"), query=True)
        if self.api_host:
            url = replace_host(url, self.api_host)
        session = JsonSession(self, Channel.parse(channel), url, subscribe, on_packet, on_connected, on_disconnected)
        try:
            await Runner(session, self._policy, self._client, tls=self._tls).run()
        finally:
            await session.finish()

    def deliver(self, channel: Channel, item: Any) -> None:
        """Put one item into the channel's queue of every observer."""
        for sink in self._sinks[channel]:
            try:
                sink.put(item)
            except Exception as error:  # noqa: BLE001  one observer's queue must never affect another; counted and logged
                sink.failed(error)

    def end_batch(self) -> None:
        """Drain the rings that `drain` named, then call what `on_batch` named. A native feed does so by itself."""
        for ring, drained in self._drains:
            for _ in range(ring.qsize()):
                try:
                    drained(ring.get_nowait())
                except asyncio.QueueEmpty:
                    break
                except Exception as error:  # noqa: BLE001  a callback's error is the user's: counted, logged
                    self.callback_failed(_CHANNEL_OF[ring.kind])(error)
        for callback in self._batch_callbacks:
            try:
                callback()
            except Exception as error:  # noqa: BLE001  as above
                self.callback_failed(self.subscribe_channels[0])(error)

    def callback_failed(self, channel: Channel) -> Callable[[Exception], None]:
        """What counts and logs the errors of callbacks."""

        def failed(error: Exception) -> None:
            self._stats[channel if channel in self._stats else self.subscribe_channels[0]].callback_errors += 1
            self._callback_log.warning(
                "callback", f"{self.exchange}.{channel}: a callback raised {error!r}", exc_info=error
            )

        return failed

    def attach_feed(
        self, channel: Channel, feed: Feed | BookFeed, deliver: Callable[[Channel, Any], Any] | None = None
    ) -> None:
        """Let a feed deliver to this channel's observers, those of now and those to come; or to `deliver` alone."""
        self._feeds.append((channel, feed))
        if deliver is not None:
            feed.bind(Deliverer(channel, deliver), self.callback_failed(channel))
        for sink in self._sinks[channel] if deliver is None else ():
            feed.bind(sink.target, sink.failed)
        for ring, drained in self._drains:
            if isinstance(feed, Feed) and feed.kind is ring.kind:
                feed.drain(ring, drained)
        for callback in self._batch_callbacks:
            feed.on_batch(callback)
        feed.share_latency(self.latency.setdefault(str(channel), {}))

    def detach_feed(self, feed: Feed | BookFeed) -> None:
        """The feed is at its end; its counters stay."""
        for channel, known in self._feeds:
            if known is feed:
                self._stats[channel].add(feed.take_counts())
        self._feeds = [entry for entry in self._feeds if entry[1] is not feed]

    def emit(self, event: StreamEvent) -> None:
        """Tell every observer about a gap, silence or a new connection."""
        stats = self._stats.get(event.channel)
        if stats is not None:
            stats.gaps += isinstance(event, Gap)
            stats.stale += isinstance(event, Stale)
            stats.reconnects += isinstance(event, Reconnected)
        if isinstance(event, Reconnected):
            logger.info("%s", event)
        else:
            self._loss_log.warning("loss", str(event))
        for observer in self._observers:
            try:
                self._tell(observer, event)
            except Exception as error:  # noqa: BLE001  as in deliver
                self._event_log.warning(
                    "observer", f"{type(observer).__name__} did not take {event}: {error!r}", exc_info=error
                )

    def _tell(self, observer: Any, event: StreamEvent) -> None:
        queue = getattr(observer, "event_queue", None)
        if queue is not None:
            queue.put_nowait(event)
            return
        handler = getattr(observer, _HANDLERS[type(event)], None)
        if handler is None:
            return
        result = handler(event)
        if inspect.iscoroutine(result):
            task = asyncio.ensure_future(result)
            self._side_tasks.add(task)
            task.add_done_callback(self._side_tasks.discard)

    def gap(self, channel: Channel, reason: str, symbol: CurrencyPair | None = None, lost: int | None = None) -> Gap:
        """A Gap of this stream, stamped now."""
        return Gap(
            exchange=self.exchange,
            channel=channel,
            symbol=symbol,
            reason=reason,
            lost=lost,
            source="venue",
            timestamp=time.time_ns() // 1000,
        )

    def channel_stats(self, channel: Channel) -> ChannelStats:
        """The live counters of one subscribed channel.

        Raises
        ------
        ValueError
            If it is not subscribed.
        """
        stats = self._stats.get(channel)
        if stats is None:
            raise ValueError(f"channel must be a subscribed one, was {str(channel)!r}")
        return stats

    def stale_after(self, channel: Channel) -> float | None:
        """Seconds of silence until a symbol of this channel is stale; None: never."""
        return self._stale_after.get(channel) or None

    def args_of(self, channel: Channel) -> dict[str, Any]:
        """The subscribe arguments of one channel: the common ones, then its own."""
        names = {str(item) for item in Channel}
        common = {key: value for key, value in self.subscribe_args.items() if key not in names}
        own = self.subscribe_args.get(str(channel))
        return {**common, **own} if isinstance(own, Mapping) else common


def _read_stale_after(value: float | Mapping[str, float] | None) -> dict[Channel, float]:
    limits = dict(STALE_AFTER_S)
    if isinstance(value, Mapping):
        limits.update({Channel.parse(name): float(seconds) for name, seconds in value.items()})
    elif value is not None:
        limits.update({channel: float(value) for channel in STALE_AFTER_S})
    for channel, seconds in limits.items():
        if not 0 <= seconds < float("inf"):
            raise ConfigError(f"stale_after must be a number of seconds, was {seconds!r} for {channel}")
    return limits
