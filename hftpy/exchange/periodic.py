"""What comes by the clock: klines, and funding with mark prices. Shared by the venues' protocols.

About one message a second and symbol: parsed natively, checked and delivered in Python.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hftcore.enums import Channel, Flag
from hftcore.errors import ParseError
from hftcore.kline import Kline, PeriodicParser
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair
from hftpy.common.funding import Funding
from hftpy.errors import ConfigError
from hftpy.exchange.market import MarketProtocol
from hftpy.exchange.venue import Item

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
FUNDING_FIELDS = {
    "rate": "rate",
    "nextRate": "next_rate",
    "markPrice": "mark_price",
    "indexPrice": "index_price",
}


class PeriodicProtocol(MarketProtocol):
    """Klines or funding of a venue that `hftcore.kline.PeriodicParser` reads; stands before the venue's own class.

    Subscribe arguments: `interval` of klines, such as ``1m``, ``4h``, ``1d`` (default `default_interval`).

    Where the venue numbers all frames of a connection, a missing one is told as a Gap of all symbols; elsewhere nothing
    numbers these messages, and lost ones cannot be found. An older state of the same kline, or of the same funding
    message, is dropped as outdated. A history that begins a subscription comes with the oldest first; on a new
    connection those of it that were delivered before are dropped as duplicates.
    """

    intervals: ClassVar[Mapping[str, str]] = {}  # from ours to the venue's
    default_interval: ClassVar[str] = "1m"

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        own = dict(args)
        self.interval = ""
        if channel is Channel.KLINE:
            self.interval = own.pop("interval", self.default_interval)
            if self.interval not in self.intervals:
                raise ConfigError(
                    f"interval must be one of {', '.join(self.intervals)} at {self.exchange}, was {self.interval!r}"
                )
        super().__init__(channel, pairs, own)
        self._periodic = PeriodicParser(self.exchange, symbols=self.spellings())
        self._klines: dict[CurrencyPair, Kline] = {}
        self._newest_ns: dict[CurrencyPair, int] = {}  # where the newest kline opened, on whatever connection
        self._fundings: dict[CurrencyPair, Funding] = {}
        self._told_ns: dict[tuple[CurrencyPair, bool], int] = {}  # by symbol and whether it was the rate's message

    @property
    def interval_s(self) -> int:
        """Seconds of the interval."""
        return int(self.interval[:-1]) * UNIT_SECONDS[self.interval[-1]]

    def forget(self) -> None:
        super().forget()
        self._klines.clear()
        self._fundings.clear()
        self._told_ns.clear()

    def receive(self, frame: bytes, local_ns: int) -> Sequence[Item]:
        try:
            events = self._periodic.parse(frame, local_ns, self.event_flags)
        except ParseError:
            if self.is_notice(frame):
                return ()
            raise
        is_new, gaps = self._follow(self._periodic.frameNumber)
        if self._periodic.kind != FrameKind.EVENTS:
            self.control_frame(frame, FrameKind(self._periodic.kind))
            return gaps
        if not is_new:
            self.outdated += len(events)
            return ()
        items: list[Item] = list(gaps)
        for event in _oldest_first(events):
            if isinstance(event, Kline):
                if self.channel is not Channel.KLINE or event.symbol not in self.wanted or self._is_other(event):
                    self.unwanted += 1
                elif self._is_news(event):
                    items.append(event)
            elif self.channel is not Channel.FUNDING or event["symbol"] not in self.wanted:
                self.unwanted += 1
            elif (funding := self._merge(event)) is not None:
                items.append(funding)
        return items

    def _is_other(self, kline: Kline) -> bool:
        return kline.intervalS != self.interval_s

    def _is_news(self, kline: Kline) -> bool:
        newest_ns = self._newest_ns.get(kline.symbol, kline.openTimeNs)
        if kline.openTimeNs < newest_ns and Flag.SNAPSHOT in kline.flags:
            self.duplicates += 1
            return False
        self._newest_ns[kline.symbol] = max(kline.openTimeNs, newest_ns)
        last = self._klines.get(kline.symbol)
        if last is not None:
            if kline.openTimeNs == last.openTimeNs:
                stale = kline.exchangeTimeNs < last.exchangeTimeNs or (last.closed and not kline.closed)
            else:
                # The end of the one before may come after the beginning of the next.
                stale = kline.openTimeNs < last.openTimeNs and not kline.closed
            if stale:
                self.outdated += 1
                return False
        if last is None or kline.openTimeNs >= last.openTimeNs:
            self._klines[kline.symbol] = kline
        return True

    def _merge(self, told: Mapping[str, Any]) -> Funding | None:
        """All that is known of a symbol after a message; None for one that is older than the last of its kind."""
        symbol: CurrencyPair = told["symbol"]
        key = symbol, "rate" in told
        if told["exchangeTimeNs"] < self._told_ns.get(key, 0):
            self.outdated += 1
            return None
        self._told_ns[key] = told["exchangeTimeNs"]
        before = self._fundings.get(symbol)
        known: dict[str, Any] = {}
        if before is not None:
            known = {name: getattr(before, name) for name in (*FUNDING_FIELDS.values(), "next_funding_time")}
        if "rate" in told:
            known["next_rate"] = known["next_funding_time"] = None  # both belong to their rate
        known.update({ours: told[name] for name, ours in FUNDING_FIELDS.items() if name in told})
        if "fundingTimeNs" in told:
            known["next_funding_time"] = told["fundingTimeNs"] // 1000
        found = Funding(
            exchange=self.exchange, symbol=symbol, timestamp=told["exchangeTimeNs"] // 1000,
            local_timestamp=told["localTimeNs"] // 1000, **known,
        )  # fmt: skip
        self._fundings[symbol] = found
        return found


def _oldest_first(events: Sequence[Any]) -> Sequence[Any]:
    """A frame's events; a history of klines, in whatever order the venue lists it, from its beginning."""
    if len(events) > 1 and isinstance(events[0], Kline) and Flag.SNAPSHOT in events[0].flags:
        return sorted(events, key=lambda kline: kline.openTimeNs)
    return events
