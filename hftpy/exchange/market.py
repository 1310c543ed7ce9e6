"""What market data protocols share: which events are delivered, and how lost, repeated and old ones are found.

A venue says how it counts by `FeedRules`. They are obeyed twice: natively by `hftcore.feed.Feed`, and by
`MarketProtocol.receive`, which serves the client websockets and is the model that the native way is tested against.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from hftcore.enums import Channel
from hftcore.errors import ParseError
from hftcore.feed import Feed
from hftcore.parse import FrameKind, Parser
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftcore.watch import SilenceWatch
from hftpy.exchange.venue import Item, VenueProtocol, natives_of

KINDS: Mapping[Channel, type[Ticker] | type[Trade]] = {Channel.TICKER: Ticker, Channel.TRADE: Trade}


@dataclass(frozen=True, slots=True)
class FeedRules:
    """How a venue counts.

    Parameters
    ----------
    tickers
        ``all``; ``newest``: a ticker whose `seq` is lower than the symbol's last is dropped as outdated;
        ``newest_or_anew``: not if its time is later: the venue may begin to count anew.
    trades
        ``all``; ``by_one``: a symbol's trades count by one: lost ones are told as a Gap, repeated ones dropped;
        ``rising``: repeated ones are dropped, but numbers may be left out.
    number
        The number of a trade; 0 is none.
    newest_first
        A frame of several trades lists the newest first. They are delivered with the oldest first.

    Where the venue counts all frames of a connection (`Parser.frameNumber`), a missing frame is told as a Gap of all
    symbols, and the events of an old or repeated one are dropped as outdated.
    """

    tickers: Literal["all", "newest", "newest_or_anew"] = "all"
    trades: Literal["all", "by_one", "rising"] = "all"
    number: Literal["tradeId", "seq"] = "tradeId"
    newest_first: bool = False


class FrameCounter:
    """Finds lost and old frames where a venue counts all frames of a connection, from 0 and by one.

    Some old numbers in a row are a venue that counts anew: else nothing would ever be delivered again.
    """

    ANEW_AFTER = 3

    def __init__(self) -> None:
        self._next = self._old_next = self._run = 0

    def check(self, number: int) -> tuple[bool, int | None]:
        """Whether a frame is to be taken, and how many are missing before it; None: unknown, it counts anew."""
        lost: int | None = 0
        if number < self._next:
            self._run = self._run + 1 if number == self._old_next else 1
            self._old_next = number + 1
            if self._run < self.ANEW_AFTER:
                return False, 0
            lost = None
        elif number > self._next:
            lost = number - self._next
        self._run, self._next = 0, number + 1
        return True, lost


class TradeCounter:
    """Finds lost and repeated trades where a venue numbers the trades of a symbol."""

    def __init__(self, protocol: VenueProtocol, rules: FeedRules) -> None:
        self._protocol = protocol
        self._rules = rules
        self._last: dict[CurrencyPair, tuple[int, int]] = {}  # number and time

    def in_order(self, trades: list[Trade]) -> list[Trade]:
        """A frame's trades, the oldest first."""
        if self._rules.newest_first and len(trades) > 1:
            name, last = self._rules.number, trades[-1]
            first = next(trade for trade in trades if trade.symbol is last.symbol)
            if getattr(first, name) > getattr(last, name):
                return trades[::-1]
        return trades

    @property
    def started(self) -> bool:
        """Whether any numbered trade has been seen."""
        return bool(self._last)

    def check(self, trades: Iterable[Trade]) -> list[Item]:
        """The trades to deliver, each lost stretch as a Gap before the next trade."""
        if self._rules.trades == "all":
            return list(trades)
        items: list[Item] = []
        for trade in trades:
            gaps = self._judge(trade.symbol, getattr(trade, self._rules.number), trade.tradeTimeNs)
            if gaps is None:
                self._protocol.duplicates += 1
            else:
                items += (*gaps, trade)
        return items

    def pass_over(self, symbol: CurrencyPair, number: int, time_ns: int) -> list[Item]:
        """A trade that is no event but uses up its `tradeId`: what it shows to be lost."""
        if self._rules.trades == "all" or self._rules.number == "seq":
            return []
        return list(self._judge(symbol, number, time_ns) or ())

    def _judge(self, symbol: CurrencyPair, number: int, time_ns: int) -> Sequence[Item] | None:
        """What is to be told before the trade with this number; None: it was told before."""
        last = self._last.get(symbol)
        gaps: Sequence[Item] = ()
        if number and last is not None:
            if number <= last[0]:
                if time_ns <= last[1]:
                    return None
                # A lower number at a later time: the venue counts anew. Going on to compare would drop everything.
                gaps = [self._protocol.gap(symbol, "trade ids started anew", None)]
            elif self._rules.trades == "by_one" and number != last[0] + 1:
                gaps = [self._protocol.gap(symbol, "trade ids", number - last[0] - 1)]
        if number:
            self._last[symbol] = (number, time_ns)
        return gaps


class MarketProtocol(VenueProtocol):
    """Ticker or trade of a venue that `hftcore.parse.Parser` reads.

    A venue says `rules`, writes `open`, which begins with `forget`, and takes the other frames in `control_frame`.
    """

    rules: ClassVar[FeedRules] = FeedRules()

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self._kind = KINDS.get(channel, Ticker)  # order books have a feed of their own
        # How the venue spells what was subscribed: its answers then carry the pairs that were asked for.
        self.natives = natives_of(self.exchange, self.pairs)
        self._parser = Parser(self.exchange, symbols=self.spellings())
        self._trades = TradeCounter(self, self.rules)
        self._last_update: dict[CurrencyPair, tuple[int, int]] = {}  # seq and time
        self._frame_counter = FrameCounter()
        self._feed: Feed | None = None

    @property
    def trades_started(self) -> bool:
        """Whether any numbered trade has been seen, on whatever connection."""
        return self._trades.started or (self._feed is not None and self._feed.counting)

    def make_feed(self, watch: SilenceWatch) -> Feed | None:
        if type(self).receive is not MarketProtocol.receive:
            return None  # a venue that reads its frames by itself
        rules = self.rules
        self._feed = Feed(
            self.exchange, self._kind, self.pairs, tickers=rules.tickers, trades=rules.trades, number=rules.number,
            newest_first=rules.newest_first, watch=watch, natives=self.spellings(),
        )  # fmt: skip
        return self._feed

    def spellings(self) -> Mapping[str, CurrencyPair]:
        """How the venue may spell the pairs in its answers: by default as they were subscribed."""
        return self.natives

    def forget(self) -> None:
        """Forget the last connection; everything is asked for again."""
        self.fault, self.refused, self.pending = "", {}, set(self.pairs)
        self.to_send.clear()
        self._last_update.clear()
        self._frame_counter = FrameCounter()

    def receive(self, frame: bytes, local_ns: int) -> Sequence[Item]:
        parser = self._parser
        try:
            events = parser.parse(frame, local_ns, self.event_flags)
        except ParseError:
            if self.is_notice(frame):
                return ()
            raise
        is_new, gaps = self._follow(parser.frameNumber)
        if parser.kind is not FrameKind.EVENTS:
            self.control_frame(frame, parser.kind or FrameKind.OTHER)
            return gaps
        if not is_new:
            self.outdated += len(events)
            return ()
        return [*gaps, *self._checked(events)] if gaps else self._checked(events)

    def _checked(self, events: list[Ticker | Trade]) -> Sequence[Item]:
        """The events to deliver, of one frame that is no old one."""
        kind = self._kind
        if kind is Trade and events and type(events[0]) is Trade:
            events = self._trades.in_order(events)  # type: ignore[assignment,arg-type]
        wanted = [event for event in events if type(event) is kind and event.symbol in self.wanted]
        self.unwanted += len(events) - len(wanted)
        if kind is Trade:
            if not events and (passed := self._parser.passedOver) is not None and passed[0] in self.wanted:
                return self._trades.pass_over(*passed)
            return self._trades.check(wanted)  # type: ignore[arg-type]
        if self.rules.tickers != "all":
            return [ticker for ticker in wanted if self._is_newer(ticker)]
        return wanted

    def _follow(self, number: int | None) -> tuple[bool, list[Item]]:
        """Whether a frame is no old one, and what is missing before it. A feed follows the numbers by itself."""
        if number is None or self._feed is not None:
            return True, []
        is_new, lost = self._frame_counter.check(number)
        if lost == 0:
            return is_new, []
        return is_new, [self.gap(None, "frame numbers" if lost else "frame numbers started anew", lost)]

    def _is_newer(self, ticker: Ticker | Trade) -> bool:
        last, last_ns = self._last_update.get(ticker.symbol, (0, 0))
        if ticker.seq < last and (self.rules.tickers == "newest" or ticker.exchangeTimeNs <= last_ns):
            self.outdated += 1
            return False
        self._last_update[ticker.symbol] = ticker.seq, ticker.exchangeTimeNs
        return True

    def is_notice(self, frame: bytes) -> bool:
        """Whether a frame that is no JSON is one that the venue may send all the same."""
        return False

    @abstractmethod
    def control_frame(self, frame: bytes, kind: FrameKind) -> None:
        """Take a frame without events: acknowledgements and faults show in `pending`, `refused` and `fault`.

        Raises
        ------
        ParseError
            If the frame is not what the protocol says.
        """
