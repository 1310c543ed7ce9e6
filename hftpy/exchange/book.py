"""What the order book protocols of all venues share: the native feed, and how a book is asked for again.

A venue says where its snapshots come from: ``in_band``, then a symbol is unsubscribed and subscribed again by the
messages of `ask_again`; or ``outside``, then `fetch` of the stream gets one by REST. No other symbol is touched.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from hftcore.book_feed import BookFeed
from hftcore.book_parse import BookParser
from hftcore.enums import Channel
from hftcore.errors import ParseError
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair
from hftcore.watch import SilenceWatch
from hftpy.errors import ConfigError
from hftpy.exchange.market import MarketProtocol
from hftpy.exchange.venue import Item

DEFAULT_LEVELS = 20
MAX_LEVELS = 256


def _nobody() -> None:
    """While no session drives the protocol."""


class Resyncs:
    """When books that do not hold are asked for: at once, then with growing patience. Per symbol, without I/O.

    Parameters
    ----------
    needed
        Whether a pair's book still has no snapshot.
    answer_s
        How long an answer may take until it is asked for again.
    initial_s, longest_s
        The pauses between asking twice: the first, doubled each time; the longest. A book that held for `longest_s` is
        asked for at once again.
    """

    def __init__(
        self,
        needed: Callable[[CurrencyPair], bool],
        answer_s: float = 10.0,
        initial_s: float = 1.0,
        longest_s: float = 60.0,
    ) -> None:
        self._needed = needed
        self._answer_s = answer_s
        self._initial_s = initial_s
        self._longest_s = longest_s
        self._due: dict[CurrencyPair, float] = {}
        self._asked: dict[CurrencyPair, tuple[float, int]] = {}  # when last, and how often in a row
        self.asked = 0

    def _pause(self, times: int) -> float:
        return min(self._initial_s * 2.0 ** min(times - 1, 30), self._longest_s) if times else 0.0

    def expect(self, pairs: Iterable[CurrencyPair], now: float) -> None:
        """Snapshots are on their way: ask for those that do not come."""
        for pair in pairs:
            self._due[pair] = now + self._answer_s

    def ask(self, pair: CurrencyPair, now: float) -> None:
        """A snapshot is needed."""
        at, times = self._asked.get(pair, (now, 0))
        if times and now - at >= self._longest_s:
            times = 0
            del self._asked[pair]
        due = max(now, at + self._pause(times)) if times else now
        # An answer that is awaited already keeps its time.
        self._due[pair] = min(due, self._due.get(pair, due))

    def next_deadline(self) -> float | None:
        """The `time.monotonic()` of the next one."""
        return min(self._due.values(), default=None)

    def due(self, now: float) -> list[CurrencyPair]:
        """The pairs to ask for now; each is due again unless its book holds by then."""
        found = []
        for pair in [pair for pair, at in self._due.items() if at <= now]:
            if not self._needed(pair):
                del self._due[pair]
                continue
            times = self._asked.get(pair, (now, 0))[1] + 1
            self._asked[pair] = now, times
            self._due[pair] = now + max(self._answer_s, self._pause(times))
            self.asked += 1
            found.append(pair)
        return found

    def forget(self) -> None:
        """A new connection asks for everything; how often each was asked for is remembered."""
        self._due.clear()


class BookProtocol(MarketProtocol):
    """Order books of a venue that `hftcore.book_parse.BookParser` reads.

    A venue puts this class before its own MarketProtocol, so that `open` and `control_frame` are that one's, and writes
    `ask_again`; with snapshots from outside its stream sets `fetch`.

    Subscribe arguments: `depth` (of the venue's books, where it has a choice), `levels` (of each Snapshot that is
    delivered, 1 to 256, default 20).

    Raises
    ------
    ConfigError
        If an argument cannot be used.
    """

    snapshots: ClassVar[Literal["in_band", "outside"]] = "in_band"
    default_depth: ClassVar[int] = 0
    depths: ClassVar[tuple[int, ...]] = ()  # what the venue offers; empty: anything
    answer_s: ClassVar[float] = 10.0

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        own = dict(args)
        self.levels: int = own.pop("levels", DEFAULT_LEVELS)
        self.depth: int = own.pop("depth", self.default_depth)
        if not isinstance(self.levels, int) or isinstance(self.levels, bool) or not 1 <= self.levels <= MAX_LEVELS:
            raise ConfigError(f"levels must be 1 to {MAX_LEVELS}, was {self.levels!r}")
        if not isinstance(self.depth, int) or isinstance(self.depth, bool) or self.depth < 0:
            raise ConfigError(f"depth must be a number of levels, was {self.depth!r}")
        if self.depths and self.depth not in self.depths:
            offered = ", ".join(map(str, self.depths))
            raise ConfigError(f"depth must be one of {offered} at {self.exchange}, was {self.depth!r}")
        super().__init__(channel, pairs, own)
        self.native_of = {pair: native for native, pair in self.natives.items()}
        self._book_parser = BookParser(self.exchange, symbols=self.spellings())
        self.fetch: Callable[[CurrencyPair], object] | None = None  # gets a snapshot from outside
        self.resyncs = Resyncs(lambda pair: self.feed is not None and self.feed.waits(pair), self.answer_s)
        self.feed: BookFeed | None = None
        self._began: set[CurrencyPair] = set()  # whose first snapshot was asked for
        self.wake: Callable[[], None] = _nobody  # a deadline has come nearer

    @property
    def kept_depth(self) -> int:
        """How many levels a book keeps; 0: all."""
        return self.depth

    def make_feed(self, watch: SilenceWatch) -> BookFeed:  # type: ignore[override]  # in place of the market's
        self.feed = BookFeed(
            self.exchange, self.pairs, depth=self.kept_depth, levels=self.levels, snapshots=self.snapshots,
            natives=self.spellings(), watch=watch,
        )  # fmt: skip
        return self.feed

    def forget(self) -> None:
        """Forget the last connection; everything is asked for again."""
        super().forget()
        self.resyncs.forget()
        self._began.clear()
        if self.snapshots == "in_band":
            self.resyncs.expect(self.pairs, time.monotonic())
            self._began.update(self.pairs)

    def receive(self, frame: bytes, local_ns: int) -> Sequence[Item]:
        try:
            self._book_parser.parse(frame, local_ns)
        except ParseError:
            if self.is_notice(frame):
                return ()
            self.unreadable(frame)
            raise
        self.control_frame(frame, self._book_parser.kind or FrameKind.OTHER)
        return ()

    def unreadable(self, frame: bytes) -> None:
        """A frame could not be read. Where the venue counts its frames, the next one shows what is missing."""

    def ask(self, pair: CurrencyPair) -> None:
        """A book needs a snapshot."""
        self.resyncs.ask(pair, time.monotonic())
        self.wake()

    def take_snapshot(self, pair: CurrencyPair, body: bytes) -> bool:
        """Take a snapshot from outside; False: another is needed.

        Raises
        ------
        ParseError
            If it is none.
        """
        return self.feed is None or self.feed.snapshot(pair, body)

    def next_deadline(self) -> float | None:
        return self.resyncs.next_deadline()

    def due(self, now: float) -> list[str]:
        messages: list[str] = []
        for pair in self.resyncs.due(now):
            if pair in self.refused:
                continue
            self.asked_again += pair in self._began
            self._began.add(pair)
            if self.snapshots == "in_band":
                messages += self.ask_again(pair)
            elif self.fetch is not None:
                self.fetch(pair)
        return messages

    def ask_again(self, pair: CurrencyPair) -> list[str]:
        """The messages that unsubscribe and subscribe one symbol's book."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a book is asked for again")
