"""Kraken spot: order books of the WebSocket API v2.

Frames are not counted; the checksum over the ten best levels is the only proof. A book that fails it is unsubscribed
and subscribed again, at the same depth.

Source: https://docs.kraken.com/api/docs/websocket-v2 (book), "Spot WebSocket book checksum".
"""

from typing import Any

import msgspec

from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair
from hftpy.exchange.book import BookProtocol
from hftpy.exchange.kraken_v2 import KrakenV2Protocol, decode_control, is_proxy_restart

SYMBOLS_PER_MESSAGE = 200


class KrakenBookProtocol(BookProtocol, KrakenV2Protocol):
    """Books of the v2 API; `depth` 10, 25, 100, 500 or 1000."""

    default_depth = 100
    depths = (10, 25, 100, 500, 1000)

    def open(self) -> list[str]:
        self.forget()
        self._asked.clear()
        self._pair_of = dict(self.natives)
        natives = list(self.natives)
        messages = []
        for start in range(0, len(natives), SYMBOLS_PER_MESSAGE):
            symbols = natives[start : start + SYMBOLS_PER_MESSAGE]
            messages.append(self.request(self._params(symbols), [self.natives[symbol] for symbol in symbols]))
        return messages

    def _params(self, symbols: list[str]) -> dict[str, Any]:
        return {**self.args, "channel": "book", "symbol": symbols, "depth": self.depth, "snapshot": True}

    def ask_again(self, pair: CurrencyPair) -> list[str]:
        symbols = [self._native_of[pair]]
        params = {"channel": "book", "symbol": symbols, "depth": self.depth}
        self._number += 1
        leave = msgspec.json.encode({"method": "unsubscribe", "params": params, "req_id": self._number}).decode()
        return [leave, self.request(self._params(symbols), [pair])]

    def control_frame(self, frame: bytes, kind: FrameKind) -> None:
        if kind is FrameKind.CONTROL and not frame.startswith(b'{"channel":"heartbeat"'):
            self.control(decode_control(frame))

    def is_notice(self, frame: bytes) -> bool:
        return is_proxy_restart(frame)
