"""Price-time matching of clients' orders against each other and against a market from outside. No sockets, no clock.

One `MatchingBook` per symbol. The market from outside (synthetic or recorded) is a ladder of levels that `set_market`
replaces; clients' orders rest between and behind it. Rules:

- Better prices first. At one price, earlier orders first; a client's order that joins a price where the outside market
  already shows size stands behind that size (`ahead`), which trades and shrinking size work off.
- A taker fills at the resting price. Outside size that a client's order takes is gone until the next `set_market`.
- An outside market that moves through a resting order fills it at the order's own price, up to the size shown.
- An order never trades with one of the same owner: what is left of the newer one is cancelled.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from hftcore.enums import OrderStatus, OrderType, Side

ZERO = Decimal(0)
Level = tuple[Decimal, Decimal]  # price, size
TimeInForce = Literal["gtc", "ioc"]


@dataclass(eq=False, slots=True, kw_only=True)
class BookOrder:
    """A client's order as the book keeps it; the book alone changes `filled`, `cost`, `status`, `reason`."""

    order_id: str
    owner: str
    side: Side
    amount: Decimal
    price: Decimal | None = None  # None: market
    post_only: bool = False
    time_in_force: TimeInForce = "gtc"
    client_order_id: str = ""
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    status: OrderStatus = OrderStatus.NONE
    reason: str = ""
    ahead: Decimal | None = field(default=None, repr=False)  # outside size before it; None: its price was never reached
    sequence: int = field(default=0, repr=False)

    @property
    def order_type(self) -> OrderType:
        return OrderType.MARKET if self.price is None else OrderType.LIMIT

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.filled

    @property
    def average_price(self) -> Decimal:
        return self.cost / self.filled if self.filled else ZERO

    @property
    def is_live(self) -> bool:
        return self.status.is_live


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one client's order. A trade between two clients gives two fills, the taker's first."""

    order: BookOrder
    price: Decimal
    amount: Decimal
    maker: bool
    taker_side: Side
    complete: bool  # whether the order was filled whole by this fill


def opposite(side: Side) -> Side:
    """The other side."""
    return Side.SELL if side is Side.BUY else Side.BUY


class MatchingBook:
    """The resting orders of one symbol."""

    def __init__(self) -> None:
        # Each side is sorted best first by (signed price, sequence); signed is -price for bids: smaller is better.
        self._resting: dict[Side, list[tuple[Decimal, int, BookOrder]]] = {Side.BUY: [], Side.SELL: []}
        self._market: dict[Side, list[list[Decimal]]] = {Side.BUY: [], Side.SELL: []}
        self._orders: dict[str, BookOrder] = {}
        self._sequence = 0

    @property
    def has_orders(self) -> bool:
        return bool(self._orders)

    def orders(self, owner: str | None = None) -> list[BookOrder]:
        """The open orders, oldest first; of one owner if it is given."""
        found = [order for order in self._orders.values() if owner is None or order.owner == owner]
        return sorted(found, key=lambda order: order.sequence)

    def get(self, order_id: str) -> BookOrder | None:
        """The open order with this id, if there is one."""
        return self._orders.get(order_id)

    def best(self, side: Side) -> Level | None:
        """Best price of a side and the size there, clients' orders included; None if the side is empty."""
        resting, market = self._resting[side], self._market[side]
        if not resting:
            return (market[0][0], market[0][1]) if market else None
        own = resting[0][2].price
        assert own is not None
        if market and _better(side, market[0][0], own):
            return market[0][0], market[0][1]
        size = market[0][1] if market and market[0][0] == own else ZERO
        for signed, _, order in resting:
            if signed != resting[0][0]:
                break
            size += order.remaining
        return own, size

    def levels(self, side: Side) -> list[Level]:
        """All prices of a side and the size at each, best first, clients' orders included."""
        sizes: dict[Decimal, Decimal] = {price: size for price, size in self._market[side] if size}
        for _, _, order in self._resting[side]:
            assert order.price is not None
            sizes[order.price] = sizes.get(order.price, ZERO) + order.remaining
        return sorted(sizes.items(), reverse=side is Side.BUY)

    def market_best(self, side: Side) -> Level | None:
        """Best price and size of the outside market alone."""
        market = self._market[side]
        return (market[0][0], market[0][1]) if market else None

    def submit(self, order: BookOrder) -> list[Fill]:
        """Match a new order and rest what is left of it.

        Afterwards `order.status` is NEW, PARTIAL_FILLED, FILLED or CANCELED (then `order.reason` says why).

        Raises
        ------
        ValueError
            If the amount or the price is not positive, or the order id is already open.
        """
        if order.amount <= 0:
            raise ValueError(f"amount must be positive, was {order.amount}")
        if order.price is not None and order.price <= 0:
            raise ValueError(f"price must be positive, was {order.price}")
        if order.order_id in self._orders:
            raise ValueError(f"order id must be new, was {order.order_id!r}")
        self._sequence += 1
        order.sequence = self._sequence
        order.status = OrderStatus.NEW
        if order.post_only and order.price is not None:
            best = self.best(opposite(order.side))
            if best is not None and not _better(order.side, best[0], order.price):
                _cancel(order, "Post only order")
                return []
        fills = self._take(order)
        if order.status in (OrderStatus.CANCELED, OrderStatus.FILLED):
            return fills
        if order.price is None:
            _cancel(order, "Insufficient liquidity")
        elif order.time_in_force == "ioc":
            _cancel(order, "Immediate or cancel")
        else:
            self._rest(order)
        return fills

    def cancel(self, order_id: str, reason: str = "User requested") -> BookOrder | None:
        """Cancel an open order; None if it is not open."""
        order = self._orders.get(order_id)
        if order is not None:
            self._remove(order)
            _cancel(order, reason)
        return order

    def clear(self) -> None:
        """Forget every client's order; the outside market stays."""
        self._orders.clear()
        for resting in self._resting.values():
            resting.clear()

    def set_market(self, bids: Sequence[Level], asks: Sequence[Level]) -> list[Fill]:
        """Replace the outside market (best first; it must not cross itself). Returns the fills of orders it met."""
        new = {Side.BUY: [list(level) for level in bids], Side.SELL: [list(level) for level in asks]}
        self._market = new
        if not self._orders:
            return []
        fills: list[Fill] = []
        for side in (Side.BUY, Side.SELL):
            incoming = opposite(side)
            levels = new[incoming]
            while levels:
                price, size = levels[0]
                left = self._hit(incoming, price, size, fills, by_market=False)
                if left == size:
                    break
                if left:
                    levels[0][1] = left
                    break
                levels.pop(0)
        for side in (Side.BUY, Side.SELL):
            self._requeue(side)
        return fills

    def market_trade(self, side: Side, price: Decimal, size: Decimal) -> tuple[list[Fill], Decimal]:
        """A taker of the outside market trades down (or up) to `price`.

        Returns
        -------
        The fills of clients' orders, and the size left for the outside market.
        """
        fills: list[Fill] = []
        left = self._hit(side, price, size, fills, by_market=True) if self._orders else size
        return fills, left

    def _hit(self, taker: Side, limit: Decimal, size: Decimal, fills: list[Fill], *, by_market: bool) -> Decimal:
        """An outside taker meets resting orders; with `by_market` it also works off the outside size before them."""
        side = opposite(taker)
        left = size
        worked: dict[Decimal, Decimal] = {}
        for _, _, order in list(self._resting[side]):
            assert order.price is not None
            if not left or _better(side, limit, order.price):
                break
            if by_market and order.price == limit:
                passed = worked.get(order.price, ZERO)
                wait = max((order.ahead or ZERO) - passed, ZERO)
                used = min(wait, left)
                worked[order.price] = passed + used
                left -= used
                if not left:
                    break
            amount = min(order.remaining, left)
            left -= amount
            fills.append(self._fill(order, order.price, amount, maker=True, taker_side=taker))
        for price, passed in worked.items():
            for _, _, order in self._resting[side]:
                if order.price == price and order.ahead:
                    order.ahead = max(order.ahead - passed, ZERO)
        # What was worked off the queue before the orders traded with the outside market.
        return left + sum(worked.values(), ZERO)

    def _take(self, order: BookOrder) -> list[Fill]:
        fills: list[Fill] = []
        side = opposite(order.side)
        while order.remaining:
            resting = self._resting[side]
            market = self._market[side]
            maker = resting[0][2] if resting else None
            level = market[0] if market else None
            use_market = level is not None
            if maker is not None and level is not None:
                assert maker.price is not None
                if maker.price == level[0]:
                    use_market = bool(maker.ahead)
                else:
                    use_market = _better(side, level[0], maker.price)
            elif maker is None and level is None:
                break
            if use_market:
                assert level is not None
                if order.price is not None and _better(order.side, level[0], order.price):
                    break
                if not self._take_level(order, side, level, maker, fills):
                    market.pop(0)
            else:
                assert maker is not None and maker.price is not None
                if order.price is not None and _better(order.side, maker.price, order.price):
                    break
                if maker.owner == order.owner:
                    _cancel(order, "Self trade prevention")
                    break
                amount = min(order.remaining, maker.remaining)
                price = maker.price
                fills.append(self._fill(order, price, amount, maker=False, taker_side=order.side))
                fills.append(self._fill(maker, price, amount, maker=True, taker_side=order.side))
        return fills

    def _take_level(
        self, order: BookOrder, side: Side, level: list[Decimal], maker: BookOrder | None, fills: list[Fill]
    ) -> bool:
        """Take outside size of one level; False if the level is empty now."""
        price, size = level
        amount = min(order.remaining, size)
        if maker is not None and maker.price == price and maker.ahead:
            amount = min(amount, maker.ahead)
        level[1] = size - amount
        for signed, _, other in self._resting[side]:
            if signed != _signed(side, price):
                continue
            if other.ahead:
                other.ahead = max(other.ahead - amount, ZERO)
        fills.append(self._fill(order, price, amount, maker=False, taker_side=order.side))
        return level[1] > 0

    def _fill(self, order: BookOrder, price: Decimal, amount: Decimal, *, maker: bool, taker_side: Side) -> Fill:
        order.filled += amount
        order.cost += price * amount
        complete = order.filled == order.amount
        order.status = OrderStatus.FILLED if complete else OrderStatus.PARTIAL_FILLED
        if complete and order.order_id in self._orders:
            self._remove(order)
        return Fill(order, price, amount, maker, taker_side, complete)

    def _rest(self, order: BookOrder) -> None:
        assert order.price is not None
        self._orders[order.order_id] = order
        insort(self._resting[order.side], (_signed(order.side, order.price), order.sequence, order))
        order.ahead = self._outside_size(order.side, order.price)

    def _remove(self, order: BookOrder) -> None:
        assert order.price is not None
        del self._orders[order.order_id]
        self._resting[order.side].remove((_signed(order.side, order.price), order.sequence, order))

    def _outside_size(self, side: Side, price: Decimal) -> Decimal | None:
        """What the outside market shows at a price; 0 where it shows nothing, None where its ladder does not reach."""
        market = self._market[side]
        for level_price, size in market:
            if level_price == price:
                return size
        if not market or _better(side, price, market[-1][0]):
            return ZERO
        return None

    def _requeue(self, side: Side) -> None:
        for _, _, order in self._resting[side]:
            assert order.price is not None
            size = self._outside_size(side, order.price)
            if size is not None:
                order.ahead = size if order.ahead is None else min(order.ahead, size)


def _signed(side: Side, price: Decimal) -> Decimal:
    return -price if side is Side.BUY else price


def _better(side: Side, price: Decimal, than: Decimal) -> bool:
    """Whether a resting `price` of `side` goes strictly before `than`; for a taker: whether it is out of reach."""
    return price > than if side is Side.BUY else price < than


def _cancel(order: BookOrder, reason: str) -> None:
    order.status = OrderStatus.CANCELED
    order.reason = reason


def volume(fills: Iterable[Fill]) -> Decimal:
    """The amount that some fills sum up to."""
    return sum((fill.amount for fill in fills), ZERO)
