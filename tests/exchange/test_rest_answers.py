"""Lists of instruments and depth snapshots by REST: answers in pieces, refusals, pages, and what is none."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from hftcore.symbols import CurrencyPair
from hftpy.errors import VenueError
from hftpy.exchange import book_rest, instruments
from hftpy.exchange.book_rest import SnapshotLoader
from hftpy.exchange.instruments import VENUES, fetch_instruments

PIECE = 50_000
BTC = CurrencyPair("btc/usd")


class Rest:
    """Answers each request with the next of its answers, in pieces; the last one stays."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked = 0
        self.host = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        status, headers, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        for start in range(0, len(body), PIECE):
            await response.write(body[start : start + PIECE])
            await asyncio.sleep(0)
        return response


@asynccontextmanager
async def rest() -> AsyncIterator[Rest]:
    rest = Rest()
    app = web.Application()
    app.router.add_get("/{path:.*}", rest.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        rest.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield rest
    finally:
        await runner.cleanup()


async def test_a_list_that_comes_in_pieces_is_read_whole() -> None:
    rows = [{"symbol": f"A{number}BTC", "baseAsset": f"A{number}", "quoteAsset": "BTC"} for number in range(10_000)]
    async with rest() as venue:
        venue.answers = [(200, {}, json.dumps({"symbols": rows}).encode())]
        found, _, body = await fetch_instruments("binance", venue.host, register=False)
    assert [item.native for item in found] == [row["symbol"] for row in rows]
    assert len(body) > 2 * PIECE


@pytest.mark.parametrize("venue_name", VENUES)
@pytest.mark.parametrize(
    "body",
    [
        b'{"code":-1003,"msg":"Too many"}', b'{"error":["EService:Unavailable"]}', b"[]", b"5", b"null", b'"x"',
        b"<html>busy</html>", b"", b'{"symbols":[', b"\xff\xfe", b'{"symbols":null,"data":null}', b"[" * 100_000,
    ],
)  # fmt: skip
async def test_what_is_no_list_is_one_error(venue_name: str, body: bytes) -> None:
    async with rest() as venue:
        venue.answers = [(200, {}, body)]
        with pytest.raises(ValueError, match=r"the list of instruments of .* cannot be read"):
            await fetch_instruments(venue_name, venue.host)


async def test_an_entry_that_is_none_costs_no_other() -> None:
    rows = [None, 5, "x", [], {}, {"symbol": "ETHBTC", "baseAsset": "ETH", "quoteAsset": "BTC"}, {"symbol": "A"}]
    async with rest() as venue:
        venue.answers = [(200, {}, json.dumps({"symbols": rows}).encode())]
        found, _, _ = await fetch_instruments("binance", venue.host, register=False)
    assert [str(item.symbol) for item in found] == ["eth/btc"]


async def test_a_list_that_is_too_long_or_refused_is_a_venue_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "MAX_BODY_BYTES", 3 * PIECE)
    async with rest() as venue:
        venue.answers = [(200, {}, b" " * (3 * PIECE + 1))]
        with pytest.raises(VenueError, match="at most 150000 bytes"):
            await fetch_instruments("binance", venue.host)
        venue.answers = [(503, {}, b"<html>")]
        with pytest.raises(VenueError, match="HTTP 503: <html>") as caught:
            await fetch_instruments("binance", venue.host)
        assert caught.value.retryable


async def test_snapshots_come_in_the_end_whatever_was_answered_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_rest, "MAX_BYTES", 4 * PIECE)
    monkeypatch.setattr(book_rest, "DEFAULT_BLOCK_S", 0.01)
    whole = json.dumps({"lastUpdateId": 1, "bids": [], "asks": [], "x": " " * 2 * PIECE}).encode()
    taken: list[bytes] = []
    done = asyncio.Event()

    def take(pair: CurrencyPair, body: bytes) -> bool:
        taken.append(body)
        done.set()
        return True

    async with rest() as venue:
        venue.answers = [
            (500, {}, b"<html>"), (429, {"Retry-After": "nan"}, b"busy"), (418, {"Retry-After": "tomorrow"}, b""),
            (200, {}, b" " * (4 * PIECE + 1)), (200, {"Content-Encoding": "gzip"}, b"no gzip"), (302, {}, b""),
            (200, {}, whole),
        ]  # fmt: skip
        wrong = len(venue.answers) - 1
        loader = SnapshotLoader(venue.host, lambda pair: f"/{pair}", take, lambda pair: None, 0.0)
        try:
            async with asyncio.timeout(20):
                while not done.is_set():
                    loader.fetch(BTC)
                    await asyncio.sleep(0.02)
        finally:
            await loader.close()
    assert taken[0] == whole
    assert loader.failed >= wrong and loader.fetched == len(taken)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0", 1.0), ("-3", 1.0), ("nan", 30.0), ("inf", 3600.0), ("", 30.0), ("Sat, 21 Nov 2026", 30.0)],
)
def test_how_long_a_venue_says_to_wait(text: str, seconds: float) -> None:
    assert book_rest._seconds(text) == seconds
