"""Interactive Brokers: market data over the socket of TWS or IB Gateway, by ib_async (extra ``ib``).

See docs/ib.md for which contract a pair means, and for what this feed can and cannot tell.
Source: https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc.
"""

import json
import random
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from hftcore.enums import Channel, Exchange, Flag
from hftcore.latency import LatencyHistogram
from hftcore.symbols import CurrencyPair
from hftpy.common.events import Gap, Reconnected
from hftpy.errors import ConfigError, SubscribeError
from hftpy.exchange.client import Connection, OnClosed, OnFrame
from hftpy.exchange.ib_contracts import MAX_CLIENT_ID, IBOptions
from hftpy.exchange.ib_link import Details, open_link, require_ib_async
from hftpy.exchange.ib_protocol import URL, IBProtocol
from hftpy.exchange.runner import Runner, logger
from hftpy.exchange.venue import MARKET, Item, NativeStream, VenueSession

RETRY_S = 60.0  # until a symbol that has no data for now is asked for again; twice as long each time
MAX_RETRY_S = 960.0
MAX_VENUE_LATENCY_NS = 3600 * 1_000_000_000


class IBSession(VenueSession):
    """Drives an IB protocol: refusals come at any time, and some symbols are asked for again."""

    _protocol: IBProtocol

    def __init__(self, stream: "IBStream", protocol: IBProtocol, url: str, client_id: int | None) -> None:
        super().__init__(stream, protocol, url, (protocol.channel,), native=False)
        self._client_id = client_id
        self._retry_at: dict[CurrencyPair, float] = {}
        protocol.on_request = self._note_request
        self._hops = stream.latency.setdefault(str(protocol.channel), {})
        for hop in ("venue_to_socket", "socket_to_parse", "parse_to_ring"):
            self._hops.setdefault(hop, LatencyHistogram())

    async def dial(self, url: str, on_frame: OnFrame, on_closed: OnClosed) -> Connection:
        """The connection, with the contracts known."""
        client_id = self._client_id
        if client_id is None:
            # TWS keeps a client that is gone for a while: a new number each time is never in use.
            client_id = random.randrange(1, MAX_CLIENT_ID)
        protocol = self._protocol
        # What comes within the handshake cannot be read before its version is known.
        early: list[bytes] = []
        is_open = False

        def take(data: bytes) -> None:
            (on_frame if is_open else early.append)(data)

        try:
            link = await open_link(url, client_id, protocol.details, take, on_closed, self._read)
            protocol.server_version = link.server_version
            if self.note is not None:
                self.note("link", json.dumps(protocol.link_fact()))
        finally:
            is_open = True
            for data in early:
                on_frame(data)
        return link

    def _note_request(self, number: int, pair: CurrencyPair) -> None:
        if self.note is not None:
            self.note("link", json.dumps(self._protocol.request_fact(number, pair)))

    def _read(self, read_ns: int) -> None:
        self._protocol.read_ns = read_ns

    def _deliver(self, items: Sequence[Item]) -> None:
        stream, watch, protocol = self._stream, self._watch, self._protocol
        counter, channel = self._stats, self._protocol.channel
        parsed_ns = time.time_ns()
        for item in items:
            if isinstance(item, Gap | Reconnected):
                self._tell_state(item)
                continue
            if not isinstance(item, MARKET):
                continue
            self._exposed = True
            watch.event_seen(item.symbol, item.flags | (Flag.SNAPSHOT if protocol.is_first(item.symbol) else 0))
            counter.events += 1
            stream.deliver(channel, item)
            if not item.flags & Flag.REPLAY:
                self._measure(item, parsed_ns)

    def _measure(self, item: Any, parsed_ns: int) -> None:
        # Whole seconds are no time to measure a latency by.
        venue_ns, local_ns = item.exchangeTimeNs, item.localTimeNs
        if venue_ns % 1_000_000_000 and local_ns - venue_ns < MAX_VENUE_LATENCY_NS:
            self._hops["venue_to_socket"].record(local_ns - venue_ns)
        self._hops["socket_to_parse"].record(parsed_ns - local_ns)
        self._hops["parse_to_ring"].record(time.time_ns() - parsed_ns)

    def _tell_state(self, event: Gap | Reconnected) -> None:
        symbol = event.symbol if isinstance(event, Gap) else None
        if symbol is None:
            # A second Gap before there was anything more to lose would tell nothing.
            self._exposed = isinstance(event, Reconnected)
            self._stats.connected = self.ready and not self._protocol.is_down
        self._stream.emit(event)

    def _after_frame(self) -> None:
        super()._after_frame()
        if self._protocol.suspended:
            self._plan_retries()
        if self.ready and self._protocol.newly_refused:
            self._refused_late()

    def _refused_late(self) -> None:
        protocol = self._protocol
        for pair, reason in protocol.newly_refused:
            if reason:
                logger.error("%s: the venue refused to subscribe %s: %s", self.name, pair, reason)
                self._stats.refused += 1
            else:
                logger.info("%s: %s has data in spite of its refusal", self.name, pair)
        protocol.newly_refused.clear()
        left = [pair for pair in protocol.pairs if pair not in protocol.refused]
        if left:
            self._watch.begin(left)
            return
        pair, reason = next(iter(protocol.refused.items()))
        self.fail(SubscribeError(f"{self.name}: {pair} was refused: {reason}", code=reason.partition(":")[0]))

    def _plan_retries(self) -> None:
        protocol = self._protocol
        for pair, reason in protocol.suspended.items():
            if pair in self._retry_at:
                continue
            retries = protocol.retries.get(pair, 0)
            delay = min(RETRY_S * 2.0 ** min(retries, 64), max(MAX_RETRY_S, RETRY_S))
            self._retry_at[pair] = time.monotonic() + delay
            self.wake()  # its deadline is sooner now
            if retries:
                logger.warning(
                    "%s: still no data of %s after asking %d times (%s); again in %g s",
                    self.name, pair, retries, reason, delay,
                )  # fmt: skip

    def next_deadline(self) -> float | None:
        deadline, retry = super().next_deadline(), min(self._retry_at.values(), default=None)
        return retry if deadline is None else deadline if retry is None else min(deadline, retry)

    def check(self, now: float) -> None:
        super().check(now)
        if self.fault.startswith("no data") and self._protocol.is_down:
            # TWS has said why there is none, and will say when there is again.
            self.fault = ""
            self._watch.connected()
        for pair, due in list(self._retry_at.items()):
            if now >= due:
                del self._retry_at[pair]
                if pair in self._protocol.suspended and not self.fault:
                    self._protocol.retries[pair] = self._protocol.retries.get(pair, 0) + 1
                    self._stats.resyncs += 1
                    self.send(self._protocol.subscribe(pair))

    async def lost(self, reason: str) -> None:
        self._retry_at.clear()
        await super().lost(reason)


class IBStream(NativeStream):
    """Interactive Brokers: ticker and trade, tick by tick or (many symbols) as market data lines.

    `api_host` is where TWS or IB Gateway listens, ``tcp://127.0.0.1:7497`` unless given; it holds the session, so
    that keys, secrets and `tls` are not used. `client` names a WebSocket client and is not used either. The subscribe
    arguments are those of `hftpy.exchange.ib_contracts.IBOptions`.

    Raises
    ------
    ConfigError
        If ib_async is not installed, or a setting cannot be used.
    """

    exchange = Exchange.IB
    api_schemes: ClassVar[tuple[str, ...]] = ("tcp",)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        require_ib_async()
        self._options = {channel: self._read_options(channel) for channel in self.subscribe_channels}

    def _spell_pairs(self) -> dict[str, CurrencyPair]:
        return {}  # a pair means a contract of many fields

    def _read_options(self, channel: Channel) -> IBOptions:
        options = IBOptions.read(self.args_of(channel), self.currency_pairs)
        if options.delayed and channel is Channel.TRADE:
            raise ConfigError("subscribe_args.delayed is for the ticker alone: IB has no delayed trades")
        return options

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self._market(Channel.TICKER)

    async def trade_channel(self) -> None:
        """Trades; the side is not known, and lost ones are not found."""
        await self._market(Channel.TRADE)

    async def _market(self, channel: Channel) -> None:
        options = self._options[channel]
        protocol = IBProtocol(channel, options, Details(options.contracts))
        client_id = options.client_id
        if client_id is not None and "client_id" in self.subscribe_args:
            client_id += self.subscribe_channels.index(channel)
        session = IBSession(self, protocol, self.api_host or URL, client_id)
        runner = Runner(session, self._policy, "picows", dial=session.dial)
        try:
            await runner.run()
        finally:
            session.end()
