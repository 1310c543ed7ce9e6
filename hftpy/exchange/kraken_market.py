"""Kraken spot: ticker and trade of the WebSocket API v2.

Source: https://docs.kraken.com/api/docs/websocket-v2 (ticker, trade, heartbeat, status).
"""

from collections.abc import Iterator
from typing import Any

from hftcore.enums import Channel
from hftcore.parse import FrameKind
from hftcore.symbols import native_symbol
from hftpy.exchange.kraken_v2 import KrakenV2Protocol, decode_control, is_proxy_restart
from hftpy.exchange.market import FeedRules, MarketProtocol

SYMBOLS_PER_MESSAGE = 200


class KrakenMarketProtocol(MarketProtocol, KrakenV2Protocol):
    """Ticker, trade or, as the base of another, book of the v2 API."""

    rules = FeedRules(trades="by_one")

    def open(self) -> list[str]:
        self.forget()
        self._asked.clear()
        natives = {native_symbol(self.exchange, pair): pair for pair in self.pairs}
        self._pair_of = natives
        messages = []
        for symbols in _chunks(list(natives), SYMBOLS_PER_MESSAGE):
            params: dict[str, Any] = {"channel": str(self.channel), "symbol": symbols, **self.args}
            if self.channel is Channel.TICKER:
                # The venue's own default moves the ticker on trades only.
                params.setdefault("event_trigger", "bbo")
            elif self.channel is Channel.TRADE:
                params.pop("event_trigger", None)
                if self.trades_started:
                    # History fills what the lost connection missed; what was delivered before is left out.
                    params["snapshot"] = True
            messages.append(self.request(params, [natives[symbol] for symbol in symbols]))
        return messages

    def control_frame(self, frame: bytes, kind: FrameKind) -> None:
        if kind is FrameKind.CONTROL and not frame.startswith(b'{"channel":"heartbeat"'):
            self.control(decode_control(frame))

    def is_notice(self, frame: bytes) -> bool:
        return is_proxy_restart(frame)


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
