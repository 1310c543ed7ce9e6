"""What frames carry, as protobuf messages and back.

Tickers and trades go through `hftcore.codec`. Books are arrays of numbers, which protobuf copies as they are; orders,
fills and events are text and decimals at low rates: there the conversion to and from Decimal outweighs protobuf's own,
and the generated classes do.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from hftcore.codec import decode_ticker, decode_trade
from hftcore.enums import Channel, Exchange, OrderStatus, OrderType, Side
from hftcore.kline import Kline
from hftcore.publication import CONTROL_TOPIC
from hftcore.snapshot import Snapshot
from hftcore.symbols import CurrencyPair
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.funding import Funding
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.wire import market_pb2 as wire

Batch = Sequence[MyOrder]
Event = Gap | Stale | Reconnected


def _decimal_text(value: Decimal) -> str:
    return f"{value:f}"


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"a decimal number was expected, was {text!r}") from None


class _Field(NamedTuple):
    """One field: what the struct and the message call it, and how a value gets from one into the other."""

    ours: str
    theirs: str
    encode: Callable[[Any], Any] | None = None  # None: as it is
    decode: Callable[[Any], Any] | None = None
    may_lack: bool = False  # None in the struct, absent in the message


class _Shape:
    """A struct and its message: which field is which."""

    def __init__(self, kind: type[Any], message: type[Any], *fields: _Field) -> None:
        self.kind = kind
        self.message = message
        self.fields = fields

    def message_of(self, item: Any, **beside: Any) -> Any:
        """The message of a struct; `beside`: what stands in it beside the struct's own fields."""
        for ours, theirs, encode, _, may_lack in self.fields:
            value = getattr(item, ours)
            beside[theirs] = value if encode is None or (may_lack and value is None) else encode(value)
        return self.message(**beside)

    def encode(self, item: Any, seq: int, epoch: int) -> bytes:
        body: bytes = self.message_of(item, seq=seq, epoch=epoch).SerializeToString()
        return body

    def item_of(self, message: Any) -> Any:
        """The struct of a message; ValueError if a value is none that it can hold."""
        found: dict[str, Any] = {}
        for ours, theirs, _, decode, may_lack in self.fields:
            if may_lack and not message.HasField(theirs):
                found[ours] = None
            else:
                value = getattr(message, theirs)
                found[ours] = value if decode is None else decode(value)
        return self.kind(**found)

    def receive(self, body: bytes) -> "Received":
        message = self.message.FromString(body)
        item = self.item_of(message)
        return Received(item, item.exchange, item.symbol, message.seq, message.epoch, message.resent)


_EXCHANGE = _Field("exchange", "exchange", int, Exchange)
_CHANNEL = _Field("channel", "channel", int, Channel)
_SYMBOL = _Field("symbol", "symbol", None, CurrencyPair)
_SIDE = _Field("side", "side", int, Side)
_TIMESTAMP = _Field("timestamp", "timestamp_us")


def _same(*names: str) -> list[_Field]:
    return [_Field(name, name) for name in names]


def _decimals(**names: str) -> list[_Field]:
    return [_Field(ours, theirs, _decimal_text, _decimal) for ours, theirs in names.items()]


_MY_ORDER = _Shape(
    MyOrder, wire.MyOrder, _EXCHANGE, _SYMBOL, _SIDE, _TIMESTAMP, *_same("reason", "strategy"),
    _Field("clientOrderId", "client_order_id"), _Field("orderId", "order_id"),
    _Field("orderType", "order_type", int, OrderType), _Field("status", "status", int, OrderStatus),
    _Field("price", "price", _decimal_text, _decimal, may_lack=True),
    *_decimals(amount="amount", filled="filled", avgPrice="avg_price"), _Field("postOnly", "post_only"),
    _Field("commandId", "command_id"), _Field("localTimestamp", "local_timestamp_us"),
)  # fmt: skip
_MY_TRADE = _Shape(
    MyTrade, wire.MyTrade, _EXCHANGE, _SYMBOL, _SIDE, _TIMESTAMP, *_same("maker", "strategy"),
    _Field("tradeId", "trade_id"), _Field("orderId", "order_id"), _Field("clientOrderId", "client_order_id"),
    *_decimals(price="price", amount="amount", fee="fee"), _Field("feeAsset", "fee_asset"),
    _Field("commandId", "command_id"), _Field("localTimestamp", "local_timestamp_us"),
)  # fmt: skip
# What Snapshot and Kline share with the structs of hftcore/types: they take exchange and symbol as they come.
_MARKET = [
    _Field("exchange", "exchange", int), _Field("symbol", "symbol"), _Field("seq", "venue_seq"),
    _Field("flags", "flags", int), _Field("exchangeTimeNs", "exchange_time_ns"), _Field("localTimeNs", "local_time_ns"),
]  # fmt: skip
_KLINE = _Shape(
    Kline, wire.Kline, *_MARKET, *_same("open", "high", "low", "close", "volume"),
    _Field("openTimeNs", "open_time_ns"), _Field("closeTimeNs", "close_time_ns"),
    _Field("quoteVolume", "quote_volume"), _Field("tradeCount", "trade_count"), _Field("intervalS", "interval_s"),
)  # fmt: skip
_FUNDING = _Shape(
    Funding, wire.Funding, _EXCHANGE, _SYMBOL, _TIMESTAMP, _Field("local_timestamp", "local_timestamp_us"),
    *[_Field(name, name, may_lack=True) for name in ("rate", "next_rate", "mark_price", "index_price")],
    _Field("next_funding_time", "next_funding_time_us", may_lack=True),
)  # fmt: skip


class _BookShape(_Shape):
    """A book, whose message has prices and volumes apart."""

    def __init__(self) -> None:
        super().__init__(Snapshot, wire.BookSnapshot, *_MARKET)

    def message_of(self, item: Snapshot, **beside: Any) -> Any:
        return super().message_of(
            item, **beside, bid_prices=item.bidsPrice.tolist(), bid_volumes=item.bidsVolume.tolist(),
            ask_prices=item.asksPrice.tolist(), ask_volumes=item.asksVolume.tolist(),
        )  # fmt: skip

    def item_of(self, message: Any) -> Snapshot:
        bids, bid_volumes = message.bid_prices, message.bid_volumes
        asks, ask_volumes = message.ask_prices, message.ask_volumes
        if len(bids) != len(bid_volumes) or len(asks) != len(ask_volumes):
            sizes = len(bids), len(bid_volumes), len(asks), len(ask_volumes)
            raise ValueError(f"a book must have as many volumes as prices, had {sizes}")
        return Snapshot(
            **{ours: getattr(message, theirs) for ours, theirs, *_ in self.fields},
            bids=zip(bids, bid_volumes, strict=True), asks=zip(asks, ask_volumes, strict=True),
        )  # fmt: skip


_BOOK = _BookShape()


def encode_batch(exchange: Exchange, orders: Batch, seq: int, epoch: int) -> bytes:
    told = [_MY_ORDER.message_of(order, epoch=epoch) for order in orders]
    number: Any = int(exchange)  # the generated stubs do not admit plain numbers for enums; the classes do
    body: bytes = wire.MyOrderBatch(seq=seq, epoch=epoch, exchange=number, orders=told).SerializeToString()
    return body


_LACKING_SYMBOL = _SYMBOL._replace(may_lack=True)
# By the field of `Control.body` that holds them.
_EVENTS = {
    "gap": _Shape(
        Gap, wire.Gap, _EXCHANGE, _CHANNEL, _LACKING_SYMBOL, _TIMESTAMP, *_same("reason", "source"),
        _Field("lost", "lost", may_lack=True),
    ),
    "stale": _Shape(Stale, wire.Stale, _EXCHANGE, _CHANNEL, _LACKING_SYMBOL, _TIMESTAMP, *_same("silent_s")),
    "reconnected": _Shape(
        Reconnected, wire.Reconnected, _EXCHANGE, _CHANNEL, _TIMESTAMP, *_same("attempts", "down_s")
    ),
}  # fmt: skip
_EVENT_FIELDS = {shape.kind: field for field, shape in _EVENTS.items()}


def event_fields(event: Event) -> dict[str, Any]:
    """The field of `Control.body` that holds an event."""
    field = _EVENT_FIELDS[type(event)]
    return {field: _EVENTS[field].message_of(event)}


def decode_event(kind: str, message: Any) -> Event:
    """The event that a `Control` message holds in its field `kind`."""
    event: Event = _EVENTS[kind].item_of(message)
    return event


class Received(NamedTuple):
    """A message: what a queue carries of it, and what stands beside that."""

    value: Any
    exchange: Exchange
    symbol: CurrencyPair | None  # None: it spans symbols
    seq: int
    epoch: int
    resent: bool


def _receive_ticker(body: bytes) -> Received:
    ticker, seq, epoch, resent = decode_ticker(body)
    return Received(ticker, ticker.exchange, ticker.symbol, seq, epoch, resent)


def _receive_trade(body: bytes) -> Received:
    trade, seq, epoch, resent = decode_trade(body)
    return Received(trade, trade.exchange, trade.symbol, seq, epoch, resent)


def _receive_batch(body: bytes) -> Received:
    message = wire.MyOrderBatch.FromString(body)
    orders = [_MY_ORDER.item_of(order) for order in message.orders]
    return Received(orders, Exchange(message.exchange), None, message.seq, message.epoch, message.resent)


ENCODERS: dict[type, Callable[[Any, int, int], bytes]] = {
    shape.kind: shape.encode for shape in (_BOOK, _KLINE, _FUNDING, _MY_ORDER, _MY_TRADE)
}
"""Of each class that `hftcore.codec` does not write: item, sequence number and epoch to the body of a frame."""

DECODERS: dict[Channel, Callable[[bytes], Received]] = {
    Channel.TICKER: _receive_ticker,
    Channel.TRADE: _receive_trade,
    Channel.BOOK: _BOOK.receive,
    Channel.KLINE: _KLINE.receive,
    Channel.FUNDING: _FUNDING.receive,
    Channel.MY_ORDER: _MY_ORDER.receive,
    Channel.MY_ORDER_BATCH: _receive_batch,
    Channel.MY_TRADE: _MY_TRADE.receive,
}
"""Of each channel: how the body of a frame is read. They raise ValueError, OverflowError or DecodeError."""

__all__ = [
    "CONTROL_TOPIC",
    "DECODERS",
    "ENCODERS",
    "Event",
    "Received",
    "decode_event",
    "encode_batch",
    "event_fields",
]
