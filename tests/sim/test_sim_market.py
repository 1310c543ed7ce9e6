"""The synthetic market, the order desk's accounts, and serving by hand."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.client import connect

from hftcore.enums import Exchange, OrderStatus, Side
from hftcore.symbols import CurrencyPair
from hftpy.sim import SimVenue, SyntheticMarket
from hftpy.sim.desk import OrderDesk, OrderRefused, OrderRequest
from hftpy.sim.market import MarketTrade, Quote
from hftpy.sim.run import serve

PAIR = CurrencyPair("btc/usd")


class Recorder:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_quote(self, quote: Quote) -> None:
        self.events.append(quote)

    def on_market_trade(self, trade: MarketTrade) -> None:
        self.events.append(trade)

    def on_fills(self, pair: object, fills: object) -> None: ...

    async def on_raw(self, frame: object, *, wait: bool) -> None: ...

    async def drained(self) -> None: ...


def course(seed: int) -> list[Any]:
    market = SyntheticMarket([PAIR], seed, clock_ns=lambda: 1)
    recorder = Recorder()
    market.listen(recorder)
    for _ in range(500):
        market.step(PAIR)
    return recorder.events


async def test_same_seed_same_course() -> None:
    assert course(7) == course(7) != course(8)


async def test_prices_and_sizes_stand_on_tick_and_lot_and_never_cross() -> None:
    instrument = SyntheticMarket([PAIR]).instruments[0]
    events = course(3)
    assert {type(event) for event in events} == {Quote, MarketTrade}
    ids = [event.trade_id for event in events if isinstance(event, MarketTrade)]
    assert ids == list(range(1, len(ids) + 1))
    for event in events:
        if isinstance(event, Quote):
            assert event.bid is not None and event.ask is not None and event.bid[0] < event.ask[0]
            numbers, sizes = (event.bid[0], event.ask[0]), (event.bid[1], event.ask[1])
        else:
            numbers, sizes = (event.price,), (event.amount,)
        assert not any(number % instrument.tick for number in numbers)
        assert not any(size % instrument.lot for size in sizes) and all(sizes)


async def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="rate must be positive, was 0"):
        SyntheticMarket([PAIR], rate=0)
    with pytest.raises(ValueError, match="pairs must not be empty"):
        SyntheticMarket([])
    with pytest.raises(ValueError, match=r"venue must be one of kraken, binance, .*, was 'ib'"):
        SimVenue(SyntheticMarket([PAIR]), (Exchange.IB,))
    with pytest.raises(ValueError, match=r"loopback address, was '0\.0\.0\.0'"):
        SimVenue(SyntheticMarket([PAIR]), host="0.0.0.0")


def buy(amount: str, price: str | None) -> OrderRequest:
    limit = Decimal(price) if price is not None else None
    return OrderRequest(pair=PAIR, side=Side.BUY, amount=Decimal(amount), price=limit)


async def test_open_orders_reserve_funds_and_give_them_back() -> None:
    desk = OrderDesk(SyntheticMarket([PAIR]), balances={"usd": Decimal(1000)}, taker_bps=Decimal(0))
    order, _ = desk.place("me", buy("0.01", "50000"))
    account = desk.account("me")
    assert account.available("usd") == 500
    with pytest.raises(OrderRefused, match="EOrder:Insufficient funds"):
        desk.place("me", buy("0.02", "50000"))
    with pytest.raises(OrderRefused, match="EOrder:Insufficient funds"):
        desk.place("me", OrderRequest(pair=PAIR, side=Side.SELL, amount=Decimal(1), price=None))
    desk.cancel("me", order.book.order_id)
    assert account.available("usd") == 1000 and desk.orders_refused == 2


async def test_partial_fill_keeps_the_rest_reserved() -> None:
    market = SyntheticMarket([PAIR])
    desk = OrderDesk(market, balances={"usd": Decimal(1_000_000)}, taker_bps=Decimal(0), maker_bps=Decimal(0))
    book = market.state(PAIR).book
    order, _ = desk.place("me", buy("10", "50000"))
    fills, left = book.market_trade(Side.SELL, Decimal(50000), Decimal(4))
    desk.take_fills(PAIR, fills)
    account = desk.account("me")
    assert left == 0 and order.book.status is OrderStatus.PARTIAL_FILLED
    assert account.total("usd") == 800_000 and account.total("btc") == 4
    assert account.available("usd") == 500_000
    desk.cancel("me", order.book.order_id)
    assert account.available("usd") == 800_000


async def test_two_clients_trade_with_each_other_once() -> None:
    market = SyntheticMarket([PAIR])
    recorder = Recorder()
    market.listen(recorder)
    desk = OrderDesk(market)
    price = (market.state(PAIR).instrument.start_price - 100).quantize(Decimal("0.1"))
    market.state(PAIR).book.set_market([], [])
    desk.place("maker", buy("0.5", str(price)))
    _, events = desk.place("taker", OrderRequest(pair=PAIR, side=Side.SELL, amount=Decimal("0.5"), price=price))
    fills = [event for event in events if event.kind == "trade" and event.fill is not None]
    prints = [event for event in recorder.events if isinstance(event, MarketTrade)]
    assert [(event.side, event.price, event.amount) for event in prints] == [(Side.SELL, price, Decimal("0.5"))]
    assert {event.fill.trade_id for event in fills if event.fill} == {prints[0].trade_id} and len(fills) == 2
    total = sum(account.total("btc") for account in desk.accounts.values())
    assert total == 2_000_000


async def test_serves_by_hand_until_cancelled() -> None:
    addresses: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(["kraken", "binance"], announce=addresses.set_result))
    async with asyncio.timeout(20):
        urls = (await addresses)["venues"]
        async with connect(urls["kraken"]["ws"] + "/v2") as socket:
            assert "status" in str(await socket.recv())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(OSError):
        async with connect(urls["kraken"]["ws"] + "/v2"):
            pass


async def test_starts_again_after_a_stop() -> None:
    venue = SimVenue(SyntheticMarket([PAIR]))
    for _ in range(2):
        await venue.start()
        async with connect(venue.ws_url("kraken") + "/v2") as socket:
            assert "status" in str(await socket.recv())
        await venue.stop()


async def test_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    async with SimVenue(SyntheticMarket([PAIR])) as first:
        second = SimVenue(SyntheticMarket([PAIR]), ws_port=first.ws_port)
        with pytest.raises(OSError):
            await second.start()
