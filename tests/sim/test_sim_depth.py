"""The simulated venue's order books, rebuilt by a slow client by each venue's own rules."""

import json
import zlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from hftcore.enums import Exchange, Side
from hftpy.sim import SimVenue, SyntheticMarket
from hftpy.sim.desk import OrderRequest

Side2 = dict[Decimal, str]


def put(side: Side2, levels: Iterable[Any]) -> None:
    for price, size in levels:
        if Decimal(size) == 0:
            side.pop(Decimal(price), None)
        else:
            side[Decimal(price)] = f"{price}|{size}"


def best(side: Side2, depth: int, *, highest: bool) -> list[str]:
    return [side[price] for price in sorted(side, reverse=highest)[:depth]]


class KrakenBook:
    """By docs.kraken.com: levels in order, then both sides cut to the depth, then the checksum."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: Side2 = {}
        self.asks: Side2 = {}
        self.checked = 0

    def take(self, text: str) -> None:
        frame = json.loads(text, parse_float=str, parse_int=str)
        if frame.get("channel") != "book":
            return
        (row,) = frame["data"]
        if frame["type"] == "snapshot":
            self.bids, self.asks = {}, {}
        for side, name in ((self.bids, "bids"), (self.asks, "asks")):
            put(side, [(level["price"], level["qty"]) for level in row[name]])
        self.bids = {price: self.bids[price] for price in sorted(self.bids, reverse=True)[: self.depth]}
        self.asks = {price: self.asks[price] for price in sorted(self.asks)[: self.depth]}
        lexemes = "|".join(best(self.asks, 10, highest=False) + best(self.bids, 10, highest=True)).split("|")
        digits = "".join(lexeme.replace(".", "").lstrip("0") for lexeme in lexemes)
        assert zlib.crc32(digits.encode()) == int(row["checksum"])
        self.checked += 1


def place_some(venue: SimVenue, round_: int) -> None:
    """Orders of a client's own, some inside the spread, more than a depth of 10 can hold."""
    pair = venue.market.pairs[0]
    state = venue.market.state(pair)
    quote = state.quote
    assert quote is not None and quote.bid is not None
    request = OrderRequest(
        pair=pair, side=Side.BUY, amount=state.instrument.minimum * (round_ + 1),
        price=quote.bid[0] - state.instrument.tick * (round_ % 30),
    )  # fmt: skip
    venue.desk.place("me", request)


@pytest.mark.parametrize("depth", [10, 25])
async def test_kraken_books_match_their_checksums(depth: int) -> None:
    market = SyntheticMarket(["btc/usd"], rate=300)
    async with SimVenue(market) as venue, connect(venue.ws_url("kraken") + "/v2") as socket:
        params = {"channel": "book", "symbol": ["BTC/USD"], "depth": depth}
        await socket.send(json.dumps({"method": "subscribe", "params": params}))
        book = KrakenBook(depth)
        while book.checked < 150:
            book.take(str(await socket.recv()))
            if book.checked % 5 == 4:
                place_some(venue, book.checked)
        assert len(book.bids) == 10 if depth == 10 else 12 < len(book.bids) <= depth


async def ask(socket: ClientConnection, method: str, **params: Any) -> dict[str, Any]:
    params = {"channel": "book", "symbol": ["BTC/USD"], **params}
    await socket.send(json.dumps({"method": method, "params": params}))
    while True:
        answer: dict[str, Any] = json.loads(await socket.recv())
        if answer.get("method") == method:
            return answer


async def test_kraken_subscriptions_of_books_need_a_depth_that_exists_and_the_same_one_to_end() -> None:
    async with (
        SimVenue(SyntheticMarket(["btc/usd"], autostart=False)) as venue,
        connect(venue.ws_url("kraken") + "/v2") as socket,
    ):
        assert "not supported: 11" in (await ask(socket, "subscribe", depth=11))["error"]
        assert (await ask(socket, "subscribe", depth=25))["result"]["depth"] == 25
        assert json.loads(await socket.recv())["type"] == "snapshot"
        assert (await ask(socket, "unsubscribe", depth=10))["success"] is False
        assert (await ask(socket, "unsubscribe", depth=25))["success"] is True


async def test_binance_deltas_follow_the_rest_snapshot_without_a_gap() -> None:
    market = SyntheticMarket(["btc/usdt"], rate=300)
    async with (
        SimVenue(market, (Exchange.BINANCE,)) as venue,
        connect(venue.ws_url("binance") + "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker") as socket,
        aiohttp.ClientSession() as session,
    ):
        waiting = [json.loads(await socket.recv()) for _ in range(20)]
        async with session.get(venue.rest_url("binance") + "/api/v3/depth?symbol=BTCUSDT&limit=5000") as reply:
            snapshot = await reply.json()
        bids: Side2 = {}
        asks: Side2 = {}
        put(bids, snapshot["bids"])
        put(asks, snapshot["asks"])
        last, applied, compared = snapshot["lastUpdateId"], 0, 0
        while applied < 150:
            message = waiting.pop(0) if waiting else json.loads(await socket.recv())
            data = message["data"]
            if data.get("e") != "depthUpdate":
                if applied and data["u"] == last:
                    top = best(bids, 1, highest=True) + best(asks, 1, highest=False)
                    assert top == [f"{data['b']}|{data['B']}", f"{data['a']}|{data['A']}"]
                    compared += 1
                continue
            if data["u"] <= snapshot["lastUpdateId"]:
                continue
            assert data["U"] <= last + 1 <= data["u"] if not applied else data["U"] == last + 1
            put(bids, data["b"])
            put(asks, data["a"])
            last, applied = data["u"], applied + 1
            if applied % 5 == 4:
                place_some(venue, applied)
        assert compared > 20


async def test_binance_depth_by_rest_refuses_what_it_cannot_read() -> None:
    market = SyntheticMarket(["btc/usdt"], autostart=False)
    async with SimVenue(market, (Exchange.BINANCE,)) as venue, aiohttp.ClientSession() as session:
        url = venue.rest_url("binance") + "/api/v3/depth?symbol=BTCUSDT&limit="
        async with session.get(url + "x") as reply:
            assert reply.status == 400 and (await reply.json())["code"] == -1100
        async with session.get(url + "3") as reply:
            assert [len((await reply.json())[side]) for side in ("bids", "asks")] == [3, 3]
