"""The simulated venue's order desk: accounts, validation, orders and fills; each API key sees only its own."""

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from hftcore.enums import OrderStatus, Side
from hftcore.symbols import CurrencyPair
from hftpy.errors import HftError
from hftpy.sim.market import Market
from hftpy.trading.matching import BookOrder, Fill, TimeInForce

ZERO = Decimal(0)
BASIS_POINT = Decimal("0.0001")
DEFAULT_BALANCE = Decimal(1_000_000)
KEPT_CLOSED_ORDERS = 10_000
RECENT_FILLS = 50
LARGEST = Decimal(10) ** 15
ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

EventKind = Literal["pending_new", "new", "trade", "filled", "canceled"]


class OrderRefused(HftError):
    """The desk refuses a request; `code` is Kraken's word for it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(eq=False, slots=True, kw_only=True)
class DeskOrder:
    """A client's order with what the book does not need to know."""

    book: BookOrder
    pair: CurrencyPair
    opened_ns: int
    changed_ns: int
    fee: Decimal = ZERO
    userref: int = 0
    trades: list[str] = field(default_factory=list)
    reserved: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class DeskFill:
    """One fill as its owner sees it."""

    exec_id: str
    trade_id: int
    price: Decimal
    amount: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    time_ns: int


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """A change of one order."""

    kind: EventKind
    order: DeskOrder
    fill: DeskFill | None
    cumulative: Decimal
    cost: Decimal
    status: OrderStatus
    time_ns: int


@dataclass(slots=True)
class Account:
    """Balances of one API key."""

    balances: dict[str, Decimal]
    default: Decimal
    reserved: dict[str, Decimal] = field(default_factory=dict)

    def total(self, asset: str) -> Decimal:
        return self.balances.setdefault(asset, self.default)

    def available(self, asset: str) -> Decimal:
        return self.total(asset) - self.reserved.get(asset, ZERO)

    def reserve(self, asset: str, amount: Decimal) -> None:
        self.reserved[asset] = self.reserved.get(asset, ZERO) + amount

    def change(self, asset: str, amount: Decimal) -> None:
        self.balances[asset] = self.total(asset) + amount


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a client asks for, already read from its venue's spelling."""

    pair: CurrencyPair
    side: Side
    amount: Decimal
    price: Decimal | None  # None: market
    post_only: bool = False
    time_in_force: TimeInForce = "gtc"
    client_order_id: str = ""
    userref: int = 0


class OrderDesk:
    """Takes orders of all front ends.

    Parameters
    ----------
    market
        Where orders are matched.
    balances
        What each account holds at the beginning, by asset; assets that are not named start with `default_balance`,
        or with nothing if any are named.
    maker_bps, taker_bps
        Fees in basis points of the traded value, in the quote asset.
    seed
        Of order ids.
    """

    def __init__(
        self,
        market: Market,
        *,
        balances: Mapping[str, Decimal] | None = None,
        maker_bps: Decimal = Decimal(16),
        taker_bps: Decimal = Decimal(26),
        seed: int = 0,
    ) -> None:
        self.market = market
        self.maker_bps = maker_bps
        self.taker_bps = taker_bps
        self.orders_placed = 0
        self.orders_refused = 0
        self.fills = 0
        self._initial = dict(balances or {})
        self._default = ZERO if balances else DEFAULT_BALANCE
        self._accounts: dict[str, Account] = {}
        self._orders: dict[str, DeskOrder] = {}
        self._open: dict[str, DeskOrder] = {}
        self._closed: deque[str] = deque()
        self._recent: dict[str, deque[OrderEvent]] = {}
        self._listeners: list[Callable[[OrderEvent], None]] = []
        self._rng = random.Random(seed)

    def listen(self, listener: Callable[[OrderEvent], None]) -> None:
        """Call `listener` with every order event."""
        self._listeners.append(listener)

    def account(self, owner: str) -> Account:
        """The account of an API key, opened on first use."""
        account = self._accounts.get(owner)
        if account is None:
            account = self._accounts[owner] = Account(dict(self._initial), self._default)
        return account

    @property
    def accounts(self) -> dict[str, Account]:
        return self._accounts

    def initial_balance(self, asset: str) -> Decimal:
        """What an account held of an asset at the beginning."""
        return self._initial.get(asset, self._default)

    def open_orders(self, owner: str) -> list[DeskOrder]:
        """An owner's open orders, oldest first."""
        return [order for order in self._open.values() if order.book.owner == owner]

    def closed_orders(self, owner: str) -> list[DeskOrder]:
        """An owner's orders that have ended, oldest first."""
        return [order for order in self._orders.values() if order.book.owner == owner and not self.is_open(order)]

    def is_open(self, order: DeskOrder) -> bool:
        """Whether an order is in the book."""
        return order.book.order_id in self._open

    def recent_fills(self, owner: str) -> list[OrderEvent]:
        """An owner's last fills, oldest first."""
        return list(self._recent.get(owner, ()))

    def order(self, owner: str, order_id: str) -> DeskOrder | None:
        """An owner's order, open or lately closed."""
        order = self._orders.get(order_id)
        return order if order is not None and order.book.owner == owner else None

    def reset(self) -> None:
        """Forget all orders, as after a venue's restart; balances and positions stay."""
        for pair in self.market.pairs:
            self.market.state(pair).book.clear()
            self.market.publish_quote(pair, by_trade=False)
        self._orders.clear()
        self._open.clear()
        self._recent.clear()
        self._closed.clear()
        for account in self._accounts.values():
            account.reserved.clear()

    def check(self, owner: str, request: OrderRequest) -> tuple[str, Decimal]:
        """Check a request without placing it. Returns the asset and the amount that it would reserve.

        Raises
        ------
        OrderRefused
            If the venue would refuse it.
        """
        try:
            state = self.market.state(request.pair)
        except KeyError:
            raise OrderRefused("EQuery:Unknown asset pair") from None
        instrument = state.instrument
        if request.amount < instrument.minimum:
            raise OrderRefused("EGeneral:Invalid arguments:volume minimum not met")
        if request.amount > LARGEST or (request.price is not None and request.price > LARGEST):
            raise OrderRefused(
                "EGeneral:Invalid arguments:volume" if request.amount > LARGEST else "EGeneral:Invalid arguments:price"
            )
        if request.amount % instrument.lot:
            raise OrderRefused(f"EOrder:Invalid volume:{_decimals(instrument.lot)} decimals allowed")
        if request.price is not None:
            if request.price <= 0:
                raise OrderRefused("EGeneral:Invalid arguments:price")
            if request.price % instrument.tick:
                pair = f"{request.pair.base}/{request.pair.quote}".upper()
                raise OrderRefused(
                    f"EOrder:Invalid price:{pair} price can only be specified up to "
                    f"{_decimals(instrument.tick)} decimals."
                )
        if request.client_order_id and any(
            order.book.client_order_id == request.client_order_id for order in self.open_orders(owner)
        ):
            raise OrderRefused("EGeneral:Invalid arguments:cl_ord_id already in use")
        if request.side is Side.SELL:
            asset, needed = request.pair.base, request.amount
        else:
            price = request.price
            if price is None:
                best = state.book.best(Side.SELL)
                price = best[0] if best is not None else ZERO
            asset, needed = request.pair.quote, price * request.amount * (1 + self.taker_bps * BASIS_POINT)
        if needed > self.account(owner).available(asset):
            raise OrderRefused("EOrder:Insufficient funds")
        return asset, needed

    def place(self, owner: str, request: OrderRequest) -> tuple[DeskOrder, list[OrderEvent]]:
        """Place an order. The events are not delivered yet: answer the client, then call `deliver`.

        Raises
        ------
        OrderRefused
            If the venue refuses it.
        """
        try:
            asset, needed = self.check(owner, request)
        except OrderRefused:
            self.orders_refused += 1
            raise
        now = self.market.clock_ns()
        book_order = BookOrder(
            order_id=self._new_id("O"),
            owner=owner,
            side=request.side,
            amount=request.amount,
            price=request.price,
            post_only=request.post_only,
            time_in_force=request.time_in_force,
            client_order_id=request.client_order_id,
        )
        order = DeskOrder(
            book=book_order, pair=request.pair, opened_ns=now, changed_ns=now, userref=request.userref, reserved=needed
        )
        self.account(owner).reserve(asset, needed)
        self.orders_placed += 1
        self._orders[book_order.order_id] = self._open[book_order.order_id] = order
        events = [OrderEvent("pending_new", order, None, ZERO, ZERO, OrderStatus.NONE, now)]
        trade_id = self.market.state(request.pair).next_trade_id
        fills = self.market.state(request.pair).book.submit(book_order)
        if not (book_order.status is OrderStatus.CANCELED and not fills):
            events.append(OrderEvent("new", order, None, ZERO, ZERO, OrderStatus.NEW, now))
        events += self._book_fills(request.pair, fills, trade_id)
        if book_order.status is OrderStatus.CANCELED:
            events.append(self._closing(order, "canceled"))
        self.market.orders_changed(request.pair, fills, is_limit=request.price is not None)
        return order, events

    def cancel(self, owner: str, order_id: str, reason: str = "User requested") -> list[OrderEvent]:
        """Cancel an open order; see `place` for the events.

        Raises
        ------
        OrderRefused
            If the owner has no such open order.
        """
        order = self.order(owner, order_id)
        if order is None or self.market.state(order.pair).book.cancel(order_id, reason) is None:
            raise OrderRefused("EOrder:Unknown order")
        event = self._closing(order, "canceled")
        self.market.publish_quote(order.pair, by_trade=False)
        return [event]

    def find_client_order(self, owner: str, client_order_id: str) -> DeskOrder | None:
        """The owner's open order with this client order id."""
        for order in self.open_orders(owner):
            if order.book.client_order_id == client_order_id:
                return order
        return None

    def take_fills(self, pair: CurrencyPair, fills: list[Fill]) -> None:
        """The outside market filled clients' orders: book and deliver it. Call before the trades are printed."""
        self.deliver(self._book_fills(pair, fills, self.market.state(pair).next_trade_id))

    def deliver(self, events: list[OrderEvent]) -> None:
        """Hand events to the front ends."""
        for event in events:
            for listener in self._listeners:
                listener(event)

    def _book_fills(self, pair: CurrencyPair, fills: list[Fill], trade_id: int) -> list[OrderEvent]:
        events = []
        cumulative: dict[str, tuple[Decimal, Decimal]] = {}
        for fill in fills:
            amount, cost = cumulative.get(fill.order.order_id, (ZERO, ZERO))
            cumulative[fill.order.order_id] = amount + fill.amount, cost + fill.amount * fill.price
        # The orders already carry their state after all fills: go back to the one before, then forward.
        running = {
            fill.order.order_id: (
                fill.order.filled - cumulative[fill.order.order_id][0],
                fill.order.cost - cumulative[fill.order.order_id][1],
            )
            for fill in fills
        }
        now = self.market.clock_ns()
        number = trade_id - 1
        has_taker = any(not fill.maker for fill in fills)
        for fill in fills:
            if not (has_taker and fill.maker):
                number += 1
            order = self._orders[fill.order.order_id]
            order_id = fill.order.order_id
            cost = fill.price * fill.amount
            fee = cost * (self.maker_bps if fill.maker else self.taker_bps) * BASIS_POINT
            account = self.account(fill.order.owner)
            sign = 1 if fill.order.side is Side.BUY else -1
            account.change(pair.base, sign * fill.amount)
            account.change(pair.quote, -sign * cost - fee)
            done = running[order_id][0] + fill.amount, running[order_id][1] + cost
            running[order_id] = done
            order.fee += fee
            order.changed_ns = now
            exec_id = self._new_id("T")
            order.trades.append(exec_id)
            self.fills += 1
            detail = DeskFill(exec_id, number, fill.price, fill.amount, fee, pair.quote, fill.maker, now)
            event = OrderEvent("trade", order, detail, *done, OrderStatus.PARTIAL_FILLED, now)
            events.append(event)
            self._recent.setdefault(fill.order.owner, deque(maxlen=RECENT_FILLS)).append(event)
            if fill.complete:
                events.append(self._closing(order, "filled"))
            else:
                self._release(order, fill.amount / (fill.order.amount - done[0] + fill.amount))
        return events

    def _closing(self, order: DeskOrder, kind: EventKind) -> OrderEvent:
        order.changed_ns = self.market.clock_ns()
        self._release(order, Decimal(1))
        self._open.pop(order.book.order_id, None)
        self._closed.append(order.book.order_id)
        if len(self._closed) > KEPT_CLOSED_ORDERS:
            self._orders.pop(self._closed.popleft(), None)
        return OrderEvent(kind, order, None, order.book.filled, order.book.cost, order.book.status, order.changed_ns)

    def _release(self, order: DeskOrder, part: Decimal) -> None:
        """Give back a part of what the order still reserves."""
        amount = order.reserved * part
        order.reserved -= amount
        asset = order.pair.base if order.book.side is Side.SELL else order.pair.quote
        self.account(order.book.owner).reserve(asset, -amount)

    def _new_id(self, prefix: str) -> str:
        text = "".join(self._rng.choices(ID_ALPHABET, k=16))
        return f"{prefix}{text[:5]}-{text[5:10]}-{text[10:]}"


def _decimals(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
