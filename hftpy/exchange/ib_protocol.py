"""Interactive Brokers' side of one channel, without I/O: what is asked for, and what each message means.

TWS numbers requests, not events: there is no sequence by which a lost tick could be found. What it tells are its own
connections (to IB, and IB's data farms) and what it refuses.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hftcore.enums import Channel, Exchange, Flag
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftpy.common.events import Gap, Reconnected
from hftpy.common.log import LimitedLog
from hftpy.exchange.ib_codes import (
    FARM_BROKEN,
    FARM_OK,
    PASSING,
    START_AGAIN,
    TOO_FAST,
    UPSTREAM_LOST,
    UPSTREAM_RESTORED,
    is_remark,
)
from hftpy.exchange.ib_contracts import IBOptions
from hftpy.exchange.ib_link import Details
from hftpy.exchange.ib_messages import (
    UNSET,
    DataType,
    Last,
    Message,
    NextId,
    Notice,
    Quote,
    TickPrice,
    TickSize,
    TickText,
    payload_of,
    read_message,
    read_rt_volume,
)
from hftpy.exchange.runner import logger
from hftpy.exchange.venue import VenueProtocol

URL = "tcp://127.0.0.1:7497"
FIRST_REQUEST = 1000  # below are the requests for details
RECEIPT = payload_of(8, 1, 1).decode()  # asks for the next id: TWS answers in order, so it has read what stands before
RT_VOLUME = "233"
LIVE, DELAYED = 1, 3

BID_PRICE, ASK_PRICE, BID_SIZE, ASK_SIZE = 1, 2, 0, 3
# Tick type -> what it is, and whether it is delayed.
_LINE_TICKS = {
    1: (BID_PRICE, False), 2: (ASK_PRICE, False), 0: (BID_SIZE, False), 3: (ASK_SIZE, False),
    66: (BID_PRICE, True), 67: (ASK_PRICE, True), 69: (BID_SIZE, True), 70: (ASK_SIZE, True),
}  # fmt: skip
_TRADE_TICKS = (48, 77)

IBItem: TypeAlias = Ticker | Trade | Gap | Reconnected


@dataclass(slots=True)
class _Line:
    """What a market data line has told so far; None: nothing yet, NaN prices: the venue has none."""

    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    kind: int = LIVE
    delayed: bool = False
    told: tuple[float, float, float, float, int] | None = None


class IBProtocol(VenueProtocol):
    """Ticker or trade of one connection.

    Parameters
    ----------
    channel
        TICKER or TRADE.
    options
        The subscribe arguments; their `contracts` say which pairs there are.
    details
        The contracts, once they are found.
    """

    exchange = Exchange.IB
    url = URL
    keep_alive = payload_of(49, 1).decode()  # asks for the time: TWS sends no heartbeat by itself
    keep_alive_s = 5.0
    heartbeat_timeout_s = 15.0
    send_interval_s = 1 / 40  # TWS allows 50 messages a second
    max_silence_factor = 64  # most of its markets are closed most of the time

    def __init__(self, channel: Channel, options: IBOptions, details: Details) -> None:
        super().__init__(channel, list(options.contracts), {})
        self.options = options
        self.details = details
        self.server_version = 0
        self.read_ns = 0  # when the socket was read; 0: not known
        self._remarks = LimitedLog(logger)
        self.suspended: dict[CurrencyPair, str] = {}  # without data for now, and why
        self.retries: dict[CurrencyPair, int] = {}  # how often what lost its data was asked for since
        self._told: set[CurrencyPair] = set()  # whose loss is told, and that had nothing since
        self.known: set[CurrencyPair] = set()  # had data once
        self.newly_refused: list[tuple[CurrencyPair, str]] = []  # since the receipt; an empty reason: has data again
        self._silent: set[CurrencyPair] = set()  # had no data since they were subscribed
        self._pair_of: dict[int, CurrencyPair] = {}
        self._lines: dict[int, _Line] = {}
        self._number = FIRST_REQUEST
        self._down: dict[str, float] = {}  # what is broken, and since when
        self._last_text: dict[CurrencyPair, str] = {}
        self.now_s: Callable[[], float] = time.monotonic
        self.on_request: Callable[[int, CurrencyPair], None] | None = None  # hears which request is for which pair
        self.follows = False  # the requests are those of a recording, see `follow`
        self._takers: dict[type, Callable[[Any, int], Sequence[IBItem]]] = {
            Quote: self._quote,
            Last: self._last,
            TickPrice: self._tick,
            TickSize: self._tick,
            TickText: self._tick_text,
            DataType: self._data_type,
            NextId: self._receipt,
            Notice: self._notice,
        }

    @property
    def is_down(self) -> bool:
        """Whether TWS has no data to send: its connection to IB, or one of IB's farms, is broken."""
        return bool(self._down)

    def open(self) -> list[str]:
        self.fault = ""
        self.refused = dict(self.details.refused)
        self.newly_refused.clear()
        self.pending = {"nextValidId"}
        self.suspended.clear()
        self._told.clear()  # what comes after this connection's Reconnected is another loss
        self._pair_of.clear()
        self._lines.clear()
        self._silent.clear()
        self._down.clear()
        messages = []
        if self.options.feed == "market_data":
            messages.append(payload_of(59, 1, DELAYED if self.options.delayed else LIVE).decode())
        if not self.follows:
            messages += [self.subscribe(pair) for pair in self.pairs if pair not in self.refused]
        return [*messages, RECEIPT]

    def subscribe(self, pair: CurrencyPair) -> str:
        """The message that asks for a pair, by a new request; what comes for older ones is not delivered any more."""
        self._number += 1
        self._asked(self._number, pair, self.options.feed)
        if self.on_request is not None:
            self.on_request(self._number, pair)
        contract = self.details.contract(pair).wire_fields()
        if self.options.feed == "tick_by_tick":
            kind = "BidAsk" if self.channel is Channel.TICKER else "Last" if self.options.last_only else "AllLast"
            return payload_of(97, self._number, *contract, kind, 0, 0).decode()
        ticks = RT_VOLUME if self.channel is Channel.TRADE else ""
        return payload_of(1, 11, self._number, *contract, 0, ticks, 0, 0, "").decode()

    def _asked(self, number: int, pair: CurrencyPair, feed: str) -> None:
        for request in [request for request, known in self._pair_of.items() if known == pair]:
            self._forget(request)
        self.suspended.pop(pair, None)
        self._pair_of[number] = pair
        self._silent.add(pair)
        if feed == "market_data":
            self._lines[number] = _Line()

    def link_fact(self) -> dict[str, Any]:
        """What is known of a new connection and stands in none of its messages, for a recording."""
        contracts = {str(pair): self.details.contract(pair).to_dict() for pair in self.pairs}
        refused = {str(pair): reason for pair, reason in self.details.refused.items()}
        return {"server_version": self.server_version, "contracts": contracts, "refused": refused}

    def request_fact(self, number: int, pair: CurrencyPair) -> dict[str, Any]:
        """Which pair a request is for, for a recording."""
        return {"request": number, "pair": str(pair), "feed": self.options.feed}

    def follow(self, fact: Mapping[str, Any]) -> CurrencyPair | None:
        """Take over a fact of a recording (`link_fact`, `request_fact`). Returns the pair that a request is for.

        Raises
        ------
        ValueError
            If it is no such fact, or a pair meant another contract when it was recorded.
        """
        try:
            if "request" not in fact:
                self.server_version = int(fact["server_version"])
                self.details.recall(fact["contracts"], fact["refused"])
                return None
            number, pair, feed = int(fact["request"]), CurrencyPair(fact["pair"]), fact["feed"]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"fact of a connection to TWS cannot be read: {error!r} in {fact!r}") from error
        # A file that goes on from another one repeats what holds.
        if pair in self.wanted and self._pair_of.get(number) != pair:
            self._asked(number, pair, feed)
        return pair

    def receive(self, frame: bytes, local_ns: int) -> Sequence[IBItem]:  # type: ignore[override]
        message: Message = read_message(frame, self.server_version)
        take = self._takers.get(type(message))
        return take(message, self.read_ns or local_ns) if take is not None else ()

    def is_first(self, pair: CurrencyPair) -> bool:
        """Whether this event is the first since the pair was subscribed: it may be the state of long ago."""
        if pair in self._silent:
            self._silent.discard(pair)
            return True
        return False

    def _pair(self, request: int) -> CurrencyPair | None:
        pair = self._pair_of.get(request)
        if pair is None:
            self.unwanted += 1
            return None
        self.known.add(pair)
        if self._told:
            self._told.discard(pair)
        if self.retries and (retries := self.retries.pop(pair, 0)):
            logger.info("ib.%s: %s has data again, asked for %d times", self.channel, pair, retries)
        if pair in self.refused and not self.pending:
            del self.refused[pair]  # an error that was none of the subscription
            self.newly_refused.append((pair, ""))
        return pair

    def _forget(self, request: int) -> None:
        self._pair_of.pop(request, None)
        self._lines.pop(request, None)

    def _quote(self, quote: Quote, local_ns: int) -> Sequence[IBItem]:
        pair = self._pair(quote.request) if self.channel is Channel.TICKER else None
        if pair is None:
            return ()
        bid, bid_size = side_of_quote(quote.bid, quote.bid_size)
        ask, ask_size = side_of_quote(quote.ask, quote.ask_size)
        ticker = Ticker(
            exchange=self.exchange, symbol=pair, bidPrice=bid, bidVolume=bid_size, askPrice=ask, askVolume=ask_size,
            exchangeTimeNs=quote.time_ns, localTimeNs=local_ns, flags=self.event_flags,
        )  # fmt: skip
        return (ticker,)

    def _last(self, last: Last, local_ns: int) -> Sequence[IBItem]:
        pair = self._pair(last.request) if self.channel is Channel.TRADE else None
        if pair is None:
            return ()
        trade = Trade(
            exchange=self.exchange, symbol=pair, price=last.price, volume=last.size, exchangeTimeNs=last.time_ns,
            tradeTimeNs=last.time_ns, localTimeNs=local_ns, flags=self.event_flags,
        )  # fmt: skip
        return (trade,)

    def _tick(self, tick: TickPrice | TickSize, local_ns: int) -> Sequence[IBItem]:
        line, what = self._lines.get(tick.request), _LINE_TICKS.get(tick.tick)
        if line is None:
            self.unwanted += 1
            return ()
        if what is None or self.channel is not Channel.TICKER:
            return ()
        field, line.delayed = what
        if isinstance(tick, TickPrice):
            if field == BID_PRICE:
                line.bid, line.bid_size = _priced(tick)
            elif field == ASK_PRICE:
                line.ask, line.ask_size = _priced(tick)
        elif field == BID_SIZE:
            line.bid_size = tick.size
        elif field == ASK_SIZE:
            line.ask_size = tick.size
        return self._line_ticker(tick.request, line, local_ns)

    def _line_ticker(self, request: int, line: _Line, local_ns: int) -> Sequence[IBItem]:
        if line.bid is None or line.ask is None or line.bid_size is None or line.ask_size is None:
            return ()
        flags = self.event_flags
        if line.delayed or line.kind in (3, 4):
            flags |= Flag.DELAYED
            if not self.options.delayed:
                self._remarks.warning(
                    "delayed", f"ib.{self.channel}: data of {self._pair_of[request]} is delayed, unasked"
                )
        if line.kind in (2, 4):
            flags |= Flag.SNAPSHOT
        told = (line.bid, line.bid_size, line.ask, line.ask_size, flags)
        if told == line.told:
            return ()
        line.told = told
        pair = self._pair(request)
        if pair is None:
            return ()
        ticker = Ticker(
            exchange=self.exchange, symbol=pair, bidPrice=line.bid, bidVolume=line.bid_size, askPrice=line.ask,
            askVolume=line.ask_size, localTimeNs=local_ns, flags=flags,
        )  # fmt: skip
        return (ticker,)

    def _tick_text(self, tick: TickText, local_ns: int) -> Sequence[IBItem]:
        if self.channel is not Channel.TRADE or tick.tick not in _TRADE_TICKS:
            return ()
        told = read_rt_volume(tick.text)
        if told is None:
            return ()
        pair = self._pair(tick.request)
        if pair is None:
            return ()
        if self._last_text.get(pair) == tick.text:
            self.duplicates += 1  # the state on subscribing again
            return ()
        self._last_text[pair] = tick.text
        flags = self.event_flags | (0 if told.single else Flag.AGGREGATE)
        line = self._lines.get(tick.request)
        if line is not None and line.kind in (3, 4):
            flags |= Flag.DELAYED
        trade = Trade(
            exchange=self.exchange, symbol=pair, price=told.price, volume=told.size, exchangeTimeNs=told.time_ns,
            tradeTimeNs=told.time_ns, localTimeNs=local_ns, flags=flags,
        )  # fmt: skip
        return (trade,)

    def _data_type(self, told: DataType, _local_ns: int) -> Sequence[IBItem]:
        line = self._lines.get(told.request)
        if line is not None:
            line.kind = told.kind
        return ()

    def _receipt(self, _message: NextId, _local_ns: int) -> Sequence[IBItem]:
        self.pending.clear()
        return ()

    def _notice(self, notice: Notice, _local_ns: int) -> Sequence[IBItem]:
        reason = f"{notice.code}: {notice.text}"
        pair = self._pair_of.get(notice.request)
        if pair is not None:
            return self._refusal(notice, pair, reason)
        if notice.code in UPSTREAM_LOST:
            return self._broken("IB", reason)
        if notice.code == FARM_BROKEN:
            return self._broken(_farm(notice.text), reason)
        if notice.code == UPSTREAM_RESTORED:
            return self._restored("IB")
        if notice.code == FARM_OK:
            return self._restored(_farm(notice.text))
        if notice.code in START_AGAIN:
            self.fault = f"{START_AGAIN[notice.code]} ({reason})"
        elif notice.code == TOO_FAST:
            self.fault = reason
        elif 2100 <= notice.code < 2200:
            logger.info("ib.%s: %s", self.channel, reason)
        else:
            self._remarks.warning(f"code {notice.code}", f"ib.{self.channel}: {reason}")
        return ()

    def _refusal(self, notice: Notice, pair: CurrencyPair, reason: str) -> Sequence[IBItem]:
        if is_remark(notice.code):
            self._remarks.warning(f"{pair} {notice.code}", f"ib.{self.channel}: {pair}: {reason}")
            return ()
        # What had data before may have it again.
        if notice.code in PASSING or pair in self.known:
            self._forget(notice.request)
            self.suspended[pair] = reason
            if pair in self._told:
                return ()
            self._told.add(pair)
            logger.error("ib.%s: no data of %s for now: %s", self.channel, pair, reason)
            return (self.gap(pair, reason, None),)
        if not self.pending and pair not in self.refused:
            self.newly_refused.append((pair, reason))
        self.refused[pair] = reason
        return ()

    def _broken(self, what: str, reason: str) -> Sequence[IBItem]:
        if what in self._down:
            return ()
        self._down[what] = self.now_s()
        return (self.gap(None, reason, None),)

    def _restored(self, what: str) -> Sequence[IBItem]:
        since = self._down.pop(what, None)
        if since is None or self._down:
            return ()
        event = Reconnected(
            exchange=self.exchange,
            channel=self.channel,
            attempts=0,
            down_s=self.now_s() - since,
            timestamp=self.clock_ns() // 1000,
        )
        # Those that are still without data would pass for healthy now.
        self._told = set(self.suspended)
        return (event, *(self.gap(pair, reason, None) for pair, reason in self.suspended.items()))


def side_of_quote(price: float, size: float) -> tuple[float, float]:
    """A side of a quote; nothing is 0, 0. A price of -1 is one where there is a size."""
    return (0.0, 0.0) if price == UNSET or (price == -1 and size == 0) else (price, size)


def _priced(tick: TickPrice) -> tuple[float, float | None]:
    return (0.0, 0.0) if tick.price is None else (tick.price, tick.size)


def _farm(text: str) -> str:
    """The farm's name, which stands behind the last colon."""
    return "farm " + text.rpartition(":")[2].strip()


__all__ = ["URL", "IBItem", "IBProtocol"]
