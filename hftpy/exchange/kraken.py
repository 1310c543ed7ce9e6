"""Kraken spot: WebSocket API v2, ticker and trade; private channels in `kraken_executions`.

Source: https://docs.kraken.com/api/docs/websocket-v2 (ticker, trade, heartbeat, status).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from hftcore.enums import Channel, Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind, Parser
from hftcore.symbols import CurrencyPair, native_symbol
from hftcore.types import Ticker, Trade
from hftpy.exchange.runner import LimitedLog
from hftpy.exchange.venue import Item, NativeStream, TradeCounter, VenueProtocol

PUBLIC_URL = "wss://ws.kraken.com/v2"
SYMBOLS_PER_MESSAGE = 200
# Refusals that pass by themselves, or with a new token.
RETRYABLE = (
    "EService:",
    "EAPI:Rate limit",
    "EAPI:Invalid token",
    "ESession:",
    "Exceeded msg rate",
    "EGeneral:Internal",
)
# The proxy in front of the venue says this as bare text, not as JSON, before it closes.
PROXY_RESTART = b"CloudFlare"

_status_log = LimitedLog(60.0)


class KrakenV2Protocol(VenueProtocol):
    """What public and private connections of the v2 API share: acknowledgements, status, heartbeats."""

    exchange = Exchange.KRAKEN
    url = PUBLIC_URL
    heartbeat_timeout_s: ClassVar[float | None] = 10.0  # the venue sends one about every second
    fatal_close_codes = frozenset({1008})

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self._asked: dict[int, list[Any]] = {}  # request number -> what it asked for
        self._pair_of: dict[str, CurrencyPair] = {}
        self._number = 0

    def retryable(self, reason: str) -> bool:
        return reason.startswith(RETRYABLE)

    def request(self, params: Mapping[str, Any], asked: Sequence[Any]) -> str:
        """A numbered subscribe request."""
        self._number += 1
        self._asked[self._number] = list(asked)
        return msgspec.json.encode({"method": "subscribe", "params": params, "req_id": self._number}).decode()

    def control(self, message: Mapping[str, Any]) -> None:
        """Take an acknowledgement, a refusal or a status; everything else is none of ours."""
        method = message.get("method")
        if method == "subscribe":
            self._acknowledge(message)
        elif method == "error":
            _status_log.warning(f"kraken.{self.channel}: the venue refused a message: {message.get('error')}")
        elif message.get("channel") == "status":
            for status in message.get("data") or ():
                if isinstance(status, dict) and status.get("system") not in (None, "online"):
                    _status_log.warning(f"kraken.{self.channel}: the venue's status is {status.get('system')}")

    def _acknowledge(self, message: Mapping[str, Any]) -> None:
        result = message.get("result")
        symbol = result.get("symbol") if isinstance(result, dict) else message.get("symbol")
        if isinstance(symbol, str):
            asked = [self._pair_of[symbol]] if symbol in self._pair_of else []
        else:
            asked = self._asked.get(message.get("req_id") or 0, [])
        for what in asked:
            if what in self.pending:
                self.pending.discard(what)
                if message.get("success") is not True:
                    self.refused[what] = str(message.get("error") or "no reason given")


class KrakenMarketProtocol(KrakenV2Protocol):
    """Ticker or trade of the v2 API."""

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self._parser = Parser(self.exchange)
        self._trades = TradeCounter(self)

    def open(self) -> list[str]:
        self.fault, self.refused, self.pending = "", {}, set(self.pairs)
        self._asked.clear()
        natives = {native_symbol(self.exchange, pair): pair for pair in self.pairs}
        self._pair_of = natives
        messages = []
        for symbols in _chunks(list(natives), SYMBOLS_PER_MESSAGE):
            params: dict[str, Any] = {"channel": str(self.channel), "symbol": symbols, **self.args}
            if self.channel is Channel.TICKER:
                # The venue's own default moves the ticker on trades only.
                params.setdefault("event_trigger", "bbo")
            else:
                params.pop("event_trigger", None)
                if self._trades.started:
                    # History fills what the lost connection missed; what was delivered before is left out.
                    params["snapshot"] = True
            messages.append(self.request(params, [natives[symbol] for symbol in symbols]))
        return messages

    def receive(self, frame: bytes, local_ns: int) -> Sequence[Item]:
        parser = self._parser
        try:
            events = parser.parse(frame, local_ns)
        except ParseError:
            if frame.startswith(PROXY_RESTART):
                return ()
            raise
        if parser.kind is not FrameKind.EVENTS:
            if parser.kind is FrameKind.CONTROL and not frame.startswith(b'{"channel":"heartbeat"'):
                self.control(decode(frame))
            return ()
        kind = Ticker if self.channel is Channel.TICKER else Trade
        wanted = [event for event in events if type(event) is kind and event.symbol in self.wanted]
        self.unwanted += len(events) - len(wanted)
        return self._trades.check(wanted) if kind is Trade else wanted  # type: ignore[arg-type, return-value]


def decode(frame: bytes) -> Mapping[str, Any]:
    """A frame as a dict; empty where it is bare text of the proxy.

    Raises
    ------
    ParseError
        If it is no JSON object.
    """
    if frame.startswith(PROXY_RESTART):
        return {}
    try:
        message = msgspec.json.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ParseError(f"a frame must be JSON: {error}") from error
    if not isinstance(message, dict):
        raise ParseError(f"a control frame must be an object, was {type(message).__name__}")
    return message


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class KrakenStream(NativeStream):
    """Kraken spot: ticker, trade.

    `subscribe_args` go into the subscribe request: ``{"ticker": {"event_trigger": "trades"}}``,
    ``{"trade": {"snapshot": True}}``. The ticker follows the best bid and offer unless told otherwise.
    """

    exchange = Exchange.KRAKEN

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self.run_protocol(self._market(Channel.TICKER))

    async def trade_channel(self) -> None:
        """Trades; lost ones are found by the venue's trade numbers."""
        await self.run_protocol(self._market(Channel.TRADE))

    def _market(self, channel: Channel) -> VenueProtocol:
        return KrakenMarketProtocol(channel, self.currency_pairs, self.args_of(channel))
