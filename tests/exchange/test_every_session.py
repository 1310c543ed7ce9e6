"""Every recorded session, all of it, through the streams: each ticker, trade and book update, in its order.

Any session of the venues is taken, whatever is in it: what must come is read slowly by `reference/session_rows.py`.
"""

import asyncio
import gzip
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from session_rows import SlowBook, Update, rows_of, updates_of
from session_server import SessionServer, Step
from sim_session import following

from hftcore.book import Snapshot
from hftcore.symbols import pair_of_native
from hftpy.common import Exchange, Gap, Reconnected, Side, Stale, Ticker, Trade
from hftpy.exchange import get_exchange_stream
from hftpy.sim.recording import iter_session, register_session_instruments, session_exchange

pytestmark = pytest.mark.recorded
LEVELS = 5
BINANCE = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)


def recorded_sessions() -> list[Path]:
    root = os.environ.get("HFTPY_FIXTURES")
    return sorted((Path(root) / "real" / "sessions").glob("*.jsonl*")) if root else []


@pytest.fixture(params=recorded_sessions() or [None], ids=lambda path: path.name if path else "none")
def path(request) -> Path:
    if request.param is None:
        pytest.skip("HFTPY_FIXTURES does not name a folder of recorded venue messages")
    return request.param


def entries(path: Path) -> Iterator[tuple[int, Any]]:
    """The received lines of a session with their line numbers; instruments are registered on the way."""
    exchange = session_exchange(path)
    for line, entry in enumerate(iter_session(path), 2):
        register_session_instruments(exchange, entry)
        if entry.kind in ("recv", "http"):
            yield line, entry


def seen(item: Any) -> tuple[Any, ...]:
    if isinstance(item, Trade):
        return str(item.symbol), item.tradeId or item.seq, item.price, item.volume, item.side is Side.BUY
    return str(item.symbol), item.bidPrice, item.bidVolume, item.askPrice, item.askVolume


@pytest.mark.parametrize("channel", ["ticker", "trade"])
async def test_every_ticker_and_trade_arrives_in_order(path: Path, channel: str) -> None:
    exchange = session_exchange(path)
    received = [entry.data for _, entry in entries(path) if entry.kind == "recv"]
    wanted = [row for text in received for row in rows_of(exchange, text, channel)]
    if not wanted:
        pytest.skip(f"{path.name} has no {channel}")
    async with following(path, channel) as run:
        await run.play()
        assert [seen(item) for item in run.observer.of(Ticker, Trade)] == wanted
        assert not run.observer.of(Gap, Stale, Reconnected)
        for name in ("parse_errors", "duplicates", "outdated", "unwanted", "gaps"):
            assert run.stats[name] == 0, name


class Books:
    """What a session's books are after each update, and which of them must be shown."""

    def __init__(self, path: Path) -> None:
        self.exchange = session_exchange(path)
        self.tops: dict[str, list[tuple[int, Any]]] = {}  # by pair: number and top
        self.by_line: dict[tuple[int, str], Any] = {}
        self.lines: dict[tuple[str, int], int] = {}
        books: dict[str, SlowBook] = {}
        waiting: dict[str, list[tuple[int, Update]]] = {}
        alone = {update.pair for _, entry in entries(path) for update in updates_of(self.exchange, entry.data)}
        last: dict[str, int] = {}
        for line, entry in entries(path):
            for update in updates_of(self.exchange, entry.data, symbol_of(entry, alone, self.exchange)):
                book = books.setdefault(update.pair, SlowBook())
                book.depth = update.depth or book.depth
                if self.exchange not in BINANCE:
                    book.take(update)
                    self.note(line, update, book)
                elif update.whole:
                    if update.pair in last:
                        continue  # a later one of a book that holds
                    book.take(update)
                    last[update.pair] = update.last
                    self.note(line, update, book)
                    for held_line, held in waiting.pop(update.pair, []):
                        self.follow(held_line, held, book, last)
                elif update.pair in last:
                    self.follow(line, update, book, last)
                else:
                    waiting.setdefault(update.pair, []).append((line, update))

    def follow(self, line: int, update: Update, book: SlowBook, last: dict[str, int]) -> None:
        # USD-M: the update that the snapshot ends with is the first that goes onto it.
        first = len(self.tops[update.pair]) == 1 and self.exchange is Exchange.BINANCE_FUTURE
        if update.last > last[update.pair] - first:
            last[update.pair] = update.last
            book.take(update)
            self.note(line, update, book)

    def note(self, line: int, update: Update, book: SlowBook) -> None:
        top = tuple([(float(price), float(size)) for price, size in side] for side in book.top(LEVELS))
        self.tops.setdefault(update.pair, []).append((update.last, top))
        self.lines[update.pair, line] = len(self.tops[update.pair]) - 1


def symbol_of(entry: Any, alone: set[str], exchange: Exchange) -> str:
    """Whose a snapshot by REST is."""
    if entry.kind == "http":
        return str(entry.url.partition("symbol=")[2].partition("&")[0]) if "/depth?" in entry.url else ""
    if entry.data.startswith('{"lastUpdateId"') and len(alone) == 1:
        return next(iter(alone)).partition(":")[0].replace("/", "").upper()
    return ""


def shown(item: Snapshot) -> Any:
    sides = ((item.bidsPrice, item.bidsVolume), (item.asksPrice, item.asksVolume))
    return tuple(list(zip(prices.tolist(), sizes.tolist(), strict=True)) for prices, sizes in sides)


async def test_every_book_update_is_shown_and_every_proven_top_holds(path: Path) -> None:
    books = Books(path)
    if not books.tops:
        pytest.skip(f"{path.name} has no books")
    async with following(path, "book", levels=LEVELS) as run:
        await run.play()
        assert not run.observer.of(Gap, Stale, Reconnected)
        assert run.stats["gaps"] == run.stats["resyncs"] == run.stats["parse_errors"] == run.stats["unwanted"] == 0
        got: dict[str, list[tuple[int, Any]]] = {}
        for item in run.observer.of(Snapshot):
            got.setdefault(str(item.symbol), []).append((item.seq, shown(item)))
        assert all(run.stream.book(pair).state.name == "VALID" for pair in books.tops)
    for pair, wanted in books.tops.items():
        if books.exchange in BINANCE:
            # The first that is shown is the snapshot, or the first update, whichever was fetched.
            assert got[pair][0] in wanted[:2]
            assert got[pair] == wanted[wanted.index(got[pair][0]) :]
        else:
            assert [top for _, top in got[pair]] == [top for _, top in wanted]
    assert got.keys() == books.tops.keys()
    check_proofs(path, books, got)


@cache
def proofs(folder: Path) -> tuple[dict[str, Any], ...]:
    files = sorted(folder.glob("*/DERIVED_TOB.jsonl.gz"))
    return tuple(json.loads(line) for file in files for line in gzip.open(file, "rt"))


def check_proofs(path: Path, books: Books, got: dict[str, list[tuple[int, Any]]]) -> None:
    """The best bid and ask of each line that a source proves is what the stream showed."""
    tops = {pair: dict(rows) for pair, rows in got.items()}
    for row in proofs(path.parent.parent):
        if not row["file"].endswith(f"sessions/{path.name}"):
            continue
        pair = str(pair_of_native(books.exchange, row["symbol"]))
        best = [list(side[0]) for side in tops[pair][row["u"]]]
        assert best == [[float(text) for text in row[side]] for side in ("bid", "ask")], row


# Books of the venues' channel files: their proofs are checksums, so they name lines of those files.

CHANNEL_FILES = {
    "v1_book_1000": ("kraken", "kraken", "v1_book.jsonl", "book-1000"),
    "v1_book_10": ("kraken", "kraken", "v1_book_pks.jsonl", "book-10"),
    "v2_book_10": ("kraken", "kraken", "v2_book_pks.jsonl", "book"),
    "okx_spot_books": ("okx", "okx_spot", "books.jsonl", "books"),
    "okx_spot_tbt": ("okx", "okx_spot", "books.jsonl", "books-l2-tbt"),
    "okx_swap_books": ("okx_swap", "okx_swap", "books.jsonl", "books"),
    "okx_swap_tbt": ("okx_swap", "okx_swap", "books.jsonl", "books-l2-tbt"),
}


def channel_of(text: str) -> str:
    frame = json.loads(text)
    if isinstance(frame, list):
        return str(frame[-2])
    return str(frame.get("arg", frame).get("channel", ""))


def acknowledgements(message: dict[str, Any], server: SessionServer) -> Iterator[str]:
    """Of Kraken and OKX."""
    if "args" in message:
        for arg in message["args"]:
            yield json.dumps({"event": "subscribe", "arg": arg})
    elif message.get("method") == "subscribe":
        for symbol in message["params"]["symbol"]:
            result = {"channel": "book", "symbol": symbol, "depth": message["params"]["depth"]}
            yield json.dumps({"method": "subscribe", "req_id": message["req_id"], "result": result, "success": True})


class LineObserver:
    """Keeps what the stream shows with the number of the frame that brought it."""

    def __init__(self) -> None:
        self.shown: dict[int, Any] = {}
        self.events: dict[int, Any] = {}
        self.stream: Any = None
        self.acknowledged = 0
        self.book_queue = self.event_queue = self

    def put_nowait(self, item: Any) -> None:
        (self.shown if isinstance(item, Snapshot) else self.events)[self.stream.stats["book"]["frames"]] = item


@pytest.mark.parametrize("name", CHANNEL_FILES)
async def test_every_top_that_a_checksum_proves_is_shown_by_the_stream(fixtures: Path, name: str) -> None:
    venue, folder, file, channel = CHANNEL_FILES[name]
    exchange = Exchange.parse(venue)
    wanted = {row["line"]: row for row in proofs(fixtures) if row["file"] == file and proven_in(row, folder)}
    lines: list[tuple[int, str]] = []
    packed = fixtures / folder / f"{file}.gz"
    with gzip.open(packed, "rt") if packed.exists() else (fixtures / folder / file).open() as texts:
        for number, text in enumerate(texts, 1):
            # What no source proves begins in the midst of a session, or was edited; Kraken's v1 snapshots cannot be.
            if channel_of(text) == channel and (number in wanted or '"as":' in text):
                lines.append((number, text.strip()))
    pairs = list(dict.fromkeys(update.pair for _, text in lines for update in updates_of(exchange, text)))
    wanted = {number: row for number, row in wanted.items() if any(number == line for line, _ in lines)}
    depth = {"depth": int(channel.partition("-")[2] or 10)} if exchange is Exchange.KRAKEN else {}
    observer = LineObserver()
    async with SessionServer([Step(text) for _, text in lines], acknowledgements) as server:
        server.pause.clear()
        stream = get_exchange_stream(
            exchange=exchange, currency_pairs=pairs, subscribe_channels=["book"], api_host=server.url,
            subscribe_args={"book": {"levels": 1, **depth}}, stale_after=0,
        )  # fmt: skip
        observer.stream = stream
        stream.bind_observer(observer)
        running = asyncio.create_task(stream.start())
        try:
            async with asyncio.timeout(60):
                while not stream.stats["book"]["connected"]:
                    await asyncio.sleep(0.01)
                before = stream.stats["book"]["frames"]
                if name == "v2_book_10":
                    # Whoever recorded it lost the zeros at the ends of the numbers, which the checksum wants.
                    stream.book(pairs[0]).set_decimals(1, 8)
                server.pause.set()
                await server.done.wait()
                while stream.stats["book"]["frames"] < before + len(lines):
                    await asyncio.sleep(0.01)
        finally:
            await stream.stop()
            await asyncio.gather(running, return_exceptions=True)
    assert len(wanted) > 80 and not observer.events
    for place, (number, _) in enumerate(lines, before + 1):
        if number not in wanted:
            continue
        item, row = observer.shown[place], wanted[number]
        top = [(item.bidPrice, item.bidVolume), (item.askPrice, item.askVolume)]
        assert top == [tuple(map(float, row[side])) for side in ("bid", "ask")], (number, row)


def proven_in(row: dict[str, Any], folder: str) -> bool:
    """The files of OKX's two folders have one name."""
    return not folder.startswith("okx") or str(row["symbol"]).endswith("-SWAP") == (folder == "okx_swap")
