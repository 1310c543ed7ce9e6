"""What strategies ask of a gateway: reading the payloads of order commands, and fitting orders to instruments."""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation
from typing import Any

from hftpy.common import CurrencyPair, Exchange, MyOrder, OrderType, Side
from hftpy.trading.ids import client_order_id

UNREADABLE = CurrencyPair("unknown/unknown")
MAX_DIGITS = 18  # before and after the point: no amount or price of any venue needs more
# Binary floats carry 15 to 17 digits: what lies this close to a step is meant to be that step.
NOISE = Decimal("1e-6")
_EXACT = Context(prec=60)


def to_decimal(name: str, value: Any) -> Decimal:
    """The exact decimal that a number shows (0.1 is 0.1), without exponent.

    Raises
    ------
    ValueError
        If it is no positive finite number of reasonable size.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} must be a number, was {value!r}") from None
    if not number.is_finite() or number <= 0:
        raise ValueError(f"{name} must be above 0, was {value!r}")
    if abs(number.adjusted()) > MAX_DIGITS:
        raise ValueError(f"{name} must have at most {MAX_DIGITS} digits before the point and after it, was {value!r}")
    return Decimal(f"{number:f}")


def check_flag(name: str, value: Any) -> bool:
    """The value, if it is True or False.

    Raises
    ------
    ValueError
        If it is anything else: an order must not take because ``1`` is not ``True``.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, was {value!r}")
    return value


def read_order(payload: dict[str, Any], strategy: str, command_id: str, exchange: Exchange) -> tuple[MyOrder, str]:
    """The order that a payload describes, and what is wrong with it (empty: nothing).

    As much as can be read is in the order, so that even a refused one is answered.
    """
    order = MyOrder(
        exchange=exchange,
        symbol=UNREADABLE,
        clientOrderId=client_order_id(command_id, exchange),
        strategy=strategy,
        commandId=command_id,
    )
    faults: list[str] = []
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "symbol": ("symbol", _read_symbol),
        "side": ("side", _read_side),
        "order_type": ("orderType", OrderType.parse),
        "amount": ("amount", lambda value: to_decimal("amount", value)),
        "price": ("price", lambda value: None if value is None else to_decimal("price", value)),
        "post_only": ("postOnly", lambda value: check_flag("post_only", value)),
    }
    defaults = {"order_type": "limit", "price": None, "post_only": False}
    for key, (name, read) in readers.items():
        if key not in payload and key not in defaults:
            faults.append(f"{key} is missing")
            continue
        try:
            setattr(order, name, read(payload.get(key, defaults.get(key))))
        except (ValueError, TypeError) as error:
            faults.append(str(error))
    if not faults:
        if (order.price is None) != (order.orderType == OrderType.MARKET):
            faults.append(f"a {order.orderType} order's price was {payload.get('price')!r}")
        elif order.postOnly and order.orderType == OrderType.MARKET:
            faults.append("a market order cannot be post_only")
    return order, "; ".join(faults)


def fit(order: MyOrder, instrument: Any) -> None:
    """Quantise an order's amount and price to its instrument: never more than was asked for, and never a worse price.

    Raises
    ------
    ValueError
        If nothing is left that the venue would take.
    """
    amount = quantise(order.amount, instrument.lot_size, ROUND_FLOOR)
    if amount < instrument.min_amount or amount <= 0:
        raise ValueError(f"amount must be at least {instrument.min_amount:f}, was {order.amount:f}")
    if order.price is not None:
        price = quantise(order.price, instrument.tick_size, ROUND_FLOOR if order.side == Side.BUY else ROUND_CEILING)
        if price <= 0:
            raise ValueError(f"price must be at least {instrument.tick_size:f}, was {order.price:f}")
        order.price = price
    order.amount = amount


def quantise(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The multiple of `step` that `value` is but for the noise of binary floats, else the next one by `rounding`."""
    steps = _EXACT.divide(value, step)
    nearest = steps.to_integral_value(context=_EXACT)
    if abs(steps - nearest) > NOISE:
        nearest = steps.to_integral_value(rounding, _EXACT)
    return _EXACT.multiply(nearest, step).quantize(step, context=_EXACT)


def _read_symbol(value: Any) -> CurrencyPair:
    if not isinstance(value, str):
        raise ValueError(f"symbol must be text, was {value!r}")
    return CurrencyPair(value)


def _read_side(value: Any) -> Side:
    side = Side.parse(value)
    if side == Side.UNKNOWN:
        raise ValueError(f"side must be buy or sell, was {value!r}")
    return side
