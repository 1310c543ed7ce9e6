"""OKX v5: best bid and ask, trades and order books of spot, perpetual swaps, dated futures and options.

All instruments are on the same addresses; two streams differ only in what ``btc/usdt`` names.

Source: OKX API documentation v5, WebSocket: connect, subscribe, notification; public and business channels.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from hftcore.enums import Channel, Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair
from hftpy.common.log import LimitedLog
from hftpy.exchange.book import BookProtocol
from hftpy.exchange.market import FeedRules, MarketProtocol
from hftpy.exchange.runner import logger
from hftpy.exchange.venue import NativeStream

HOST = "wss://ws.okx.com:8443/ws/v5"
# What the venue serves on its business address; asked for on the public one it is refused with 60018.
BUSINESS_CHANNELS = ("trades-all", "candle", "sprd-")
CHANNELS: Mapping[Channel, tuple[str, ...]] = {
    Channel.TICKER: ("bbo-tbt", "tickers"),
    Channel.TRADE: ("trades", "trades-all"),
    Channel.BOOK: ("books", "books5", "books-l2-tbt", "books50-l2-tbt"),  # those with l2 need a login
}
MAX_MESSAGE_BYTES = 32 * 1024  # the venue takes 64 KiB, and 480 messages an hour
SERVICE_UPGRADE = "64008"
TOO_FREQUENT = "60014"
# Refusals that pass by themselves: too frequent, internal errors, services that are down or being upgraded.
RETRYABLE = (TOO_FREQUENT, "63999", "64", "50001", "50011", "50013", "50026")
_INSTRUMENT = re.compile(r"instId\W{1,8}([A-Za-z0-9][A-Za-z0-9._-]*)")

_notice_log = LimitedLog(logger, 60.0)


class OkxProtocol(MarketProtocol):
    """One connection of one channel: ``bbo-tbt`` or ``tickers``, ``trades`` or ``trades-all``.

    Trades are numbered, but one entry of ``trades`` may stand for several and nothing proves that the numbers leave
    none out: repeated trades are found, lost ones are not.
    """

    exchange = Exchange.OKX
    rules = FeedRules(tickers="newest_or_anew", trades="rising")
    send_interval_s = 0.1
    # The venue closes after 30 s without traffic. It is asked before, and given up if it does not answer.
    keep_alive = "ping"
    keep_alive_s: ClassVar[float] = 15.0
    heartbeat_timeout_s: ClassVar[float | None] = 28.0

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.venue_channel = self._channel_of(channel)
        address = "business" if self.venue_channel.startswith(BUSINESS_CHANNELS) else "public"
        self.url = f"{HOST}/{address}"
        self._asked: dict[str, list[CurrencyPair]] = {}
        self._number = 0

    def _channel_of(self, channel: Channel) -> str:
        known = CHANNELS[channel]
        name = self.args.pop("channel", known[0])
        if name not in known:
            raise ValueError(f"channel of {self.exchange}.{channel} must be one of {', '.join(known)}, was {name!r}")
        return str(name)

    def retryable(self, reason: str) -> bool:
        return reason.startswith(RETRYABLE)

    def open(self) -> list[str]:
        self.forget()
        self._asked.clear()
        messages = []
        for natives in self._parts():
            self._number += 1
            self._asked[str(self._number)] = [self.natives[native] for native in natives]
            asked = [{"channel": self.venue_channel, "instId": native, **self.args} for native in natives]
            message = {"id": str(self._number), "op": "subscribe", "args": asked}
            messages.append(msgspec.json.encode(message).decode())
        return messages

    def _parts(self) -> Iterator[list[str]]:
        """The instruments, as many together as one message takes."""
        each = len(msgspec.json.encode({"channel": self.venue_channel, "instId": "", **self.args})) + 1
        part: list[str] = []
        size = 0
        for native in self.natives:
            more = each + len(native.encode())
            if part and size + more > MAX_MESSAGE_BYTES:
                yield part
                part, size = [], 0
            part.append(native)
            size += more
        if part:
            yield part

    def control_frame(self, frame: bytes, kind: FrameKind) -> None:
        if kind is not FrameKind.CONTROL or not frame.startswith(b"{"):
            return  # data of another channel; text of the keep-alive
        try:
            message = msgspec.json.decode(frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as failed:
            raise ParseError(f"a frame must be JSON: {failed}") from failed
        event, code = message.get("event"), str(message.get("code", ""))
        if event == "subscribe":
            arg = message.get("arg")
            native = arg.get("instId") if isinstance(arg, dict) else None
            if isinstance(native, str) and native in self.natives:
                self.pending.discard(self.natives[native])
        elif code == SERVICE_UPGRADE:
            self.fault = f"the venue is about to close this connection for an upgrade ({code})"
        elif event == "error":
            self._refuse(message, code)
        elif event == "notice":
            _notice_log.warning("notice", f"{self.exchange}.{self.channel}: {code}: {message.get('msg')}")

    def _refuse(self, message: Mapping[str, Any], code: str) -> None:
        """The venue names the instrument in its words at best, else the message it refuses, else nothing."""
        reason = f"{code}: {message.get('msg')}"
        if code == TOO_FREQUENT:
            self.fault = f"the venue refused a message: {reason}"
            return
        named = [self.natives[native] for native in _INSTRUMENT.findall(reason) if native in self.natives]
        number = message.get("id")
        asked = self._asked.get(number, []) if isinstance(number, str) else []
        refused = [pair for pair in named or asked or self.pairs if pair in self.pending]
        if not refused:
            _notice_log.warning("refused", f"{self.exchange}.{self.channel}: the venue refused a message: {reason}")
        self.refused.update(dict.fromkeys(refused, reason))
        self.pending.difference_update(refused)


class OkxSwapProtocol(OkxProtocol):
    """As `OkxProtocol`, for the swaps."""

    exchange = Exchange.OKX_SWAP


class OkxBookProtocol(BookProtocol, OkxProtocol):
    """Order books: ``books`` (400 levels), whose updates name the one before; ``books5``, which are whole each time."""

    def ask_again(self, pair: CurrencyPair) -> list[str]:
        asked = [{"channel": self.venue_channel, "instId": self.native_of[pair], **self.args}]
        messages = []
        for operation in ("unsubscribe", "subscribe"):
            self._number += 1
            self._asked[str(self._number)] = [pair]
            messages.append(msgspec.json.encode({"id": str(self._number), "op": operation, "args": asked}).decode())
        return messages


class OkxSwapBookProtocol(OkxBookProtocol):
    """As `OkxBookProtocol`, for the swaps."""

    exchange = Exchange.OKX_SWAP


class OkxStream(NativeStream):
    """OKX: ticker, trade and book. ``btc/usdt`` is spot; derivatives have their settlement in their name.

    ``btc/usdt:usdt`` and ``btc/usd:btc`` are perpetual swaps, ``btc/usd:btc-270326`` a dated future,
    ``btc/usd:btc-270326-60000-c`` an option. Sizes of derivatives are contracts.

    `subscribe_args`: ``{"ticker": {"channel": "tickers"}}`` for the slower channel (at most every 100 ms; ``bbo-tbt``
    every 10 ms), ``{"trade": {"channel": "trades-all"}}`` for every single trade.

    Raises
    ------
    ValueError
        If a channel of `subscribe_args` is none, when the stream starts.
    """

    exchange = Exchange.OKX
    protocol: ClassVar[type[OkxProtocol]] = OkxProtocol
    book_protocol: ClassVar[type[OkxBookProtocol]] = OkxBookProtocol

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self._market(Channel.TICKER)

    async def trade_channel(self) -> None:
        """Trades; repeated ones are found by the venue's trade numbers."""
        await self._market(Channel.TRADE)

    async def book_channel(self) -> None:
        """Order books; a missing update is found by the number of the one before."""
        args = self.args_of(Channel.BOOK)
        await self.run_protocol(self.book_protocol(Channel.BOOK, self.currency_pairs, args))

    async def _market(self, channel: Channel) -> None:
        await self.run_protocol(self.protocol(channel, self.currency_pairs, self.args_of(channel)))


class OkxSwapStream(OkxStream):
    """As `OkxStream`, but ``btc/usdt`` is the perpetual swap; events carry the pair as it was subscribed."""

    exchange = Exchange.OKX_SWAP
    protocol = OkxSwapProtocol
    book_protocol = OkxSwapBookProtocol
