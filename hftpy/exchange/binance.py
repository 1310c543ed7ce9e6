"""Binance spot: combined market streams, best bid and ask (``bookTicker``) and trades.

Source: https://github.com/binance/binance-spot-api-docs, web-socket-streams.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from hftcore.enums import Channel, Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair
from hftpy.exchange.market import FeedRules, MarketProtocol
from hftpy.exchange.stream import gather_all
from hftpy.exchange.venue import NativeStream

URL = "wss://stream.binance.com:9443/stream"
STREAMS_PER_MESSAGE = 200


class BinanceMarketProtocol(MarketProtocol):
    """One combined connection of ``bookTicker``, ``trade`` or ``aggTrade`` streams.

    An unknown symbol is acknowledged like any other and never delivers: only its silence tells (`Stale`).
    """

    exchange = Exchange.BINANCE
    url = URL
    rules = FeedRules(tickers="newest", trades="by_one")
    streams_per_connection: ClassVar[int] = 1024
    send_interval_s = 0.25  # the venue closes at more than 5 incoming messages a second, pongs included

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self._aggregate = bool(self.args.pop("aggregate", False))
        self._asked: dict[int, tuple[CurrencyPair, ...]] = {}
        self._number = 0

    @property
    def stream_name(self) -> str:
        """What follows ``<symbol>@``."""
        if self.channel is Channel.TICKER:
            return "bookTicker"
        return "aggTrade" if self._aggregate else "trade"

    def open(self) -> list[str]:
        self.forget()
        self._asked.clear()
        messages = []
        natives = list(self.natives)
        for start in range(0, len(natives), STREAMS_PER_MESSAGE):
            end = start + STREAMS_PER_MESSAGE
            self._number += 1
            self._asked[self._number] = self.pairs[start:end]
            streams = [f"{native.lower()}@{self.stream_name}" for native in natives[start:end]]
            message = {"method": "SUBSCRIBE", "params": streams, "id": self._number, **self.args}
            messages.append(msgspec.json.encode(message).decode())
        return messages

    def control_frame(self, frame: bytes, kind: FrameKind) -> None:
        try:
            message = msgspec.json.decode(frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as failed:
            raise ParseError(f"a frame must be JSON: {failed}") from failed
        if not isinstance(message, dict):
            return
        data = message.get("data", message)
        if isinstance(data, dict) and data.get("e") == "serverShutdown":
            self.fault = "the venue is about to shut this connection down"
            return
        number = message.get("id")
        error = message.get("error")
        if error is None and "code" in message and "msg" in message:
            error = message
        if error is not None:
            reason = f"{error.get('code')}: {error.get('msg')}" if isinstance(error, dict) else str(error)
            refused = self._asked.get(number, ()) if isinstance(number, int) else tuple(self.pending)
            self.refused.update({pair: reason for pair in refused if pair in self.pending})
            self.pending.difference_update(refused)
        elif "result" in message and isinstance(number, int):
            self.pending.difference_update(self._asked.get(number, ()))


class BinanceStream(NativeStream):
    """Binance spot: ticker (``bookTicker``) and trade (``trade``; ``aggTrade`` with ``{"aggregate": True}``).

    More than 1024 pairs are spread over several connections.
    """

    exchange = Exchange.BINANCE
    protocol: ClassVar[type[BinanceMarketProtocol]] = BinanceMarketProtocol

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self._market(Channel.TICKER)

    async def trade_channel(self) -> None:
        """Trades; lost ones are found by the venue's trade numbers."""
        await self._market(Channel.TRADE)

    async def _market(self, channel: Channel) -> None:
        pairs, most = self.currency_pairs, self.protocol.streams_per_connection
        parts = [pairs[i : i + most] for i in range(0, len(pairs), most)]
        args = self.args_of(channel)
        await gather_all([self.run_protocol(self.protocol(channel, part, args)) for part in parts])
