"""Binance: combined market streams, best bid and ask (``bookTicker``) and trades.

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
