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

# The generated stubs do not admit plain numbers for enums; the classes do.
_number: Any = int

Batch = Sequence[MyOrder]
Event = Gap | Stale | Reconnected


def _order_message(order: MyOrder, seq: int, epoch: int) -> Any:
    return wire.MyOrder(
        seq=seq,
        epoch=epoch,
        exchange=_number(order.exchange),
        symbol=order.symbol,
        client_order_id=order.clientOrderId,
        order_id=order.orderId,
        side=_number(order.side),
        order_type=_number(order.orderType),
        price=None if order.price is None else f"{order.price:f}",
        amount=f"{order.amount:f}",
        filled=f"{order.filled:f}",
        avg_price=f"{order.avgPrice:f}",
        status=_number(order.status),
        post_only=order.postOnly,
        reason=order.reason,
        strategy=order.strategy,
        command_id=order.commandId,
        timestamp_us=order.timestamp,
        local_timestamp_us=order.localTimestamp,
    )


def encode_my_order(order: MyOrder, seq: int, epoch: int) -> bytes:
    message: bytes = _order_message(order, seq, epoch).SerializeToString()
    return message


def decode_my_order(message: Any) -> MyOrder:
    return MyOrder(
        exchange=Exchange(message.exchange),
        symbol=CurrencyPair(message.symbol),
        clientOrderId=message.client_order_id,
        orderId=message.order_id,
        side=Side(message.side),
        orderType=OrderType(message.order_type),
        price=_decimal(message.price) if message.HasField("price") else None,
        amount=_decimal(message.amount),
        filled=_decimal(message.filled),
        avgPrice=_decimal(message.avg_price),
        status=OrderStatus(message.status),
        postOnly=message.post_only,
        reason=message.reason,
        strategy=message.strategy,
        commandId=message.command_id,
        timestamp=message.timestamp_us,
        localTimestamp=message.local_timestamp_us,
    )


def encode_my_trade(trade: MyTrade, seq: int, epoch: int) -> bytes:
    message = wire.MyTrade(
        seq=seq,
        epoch=epoch,
        exchange=_number(trade.exchange),
        symbol=trade.symbol,
        trade_id=trade.tradeId,
        order_id=trade.orderId,
        client_order_id=trade.clientOrderId,
        side=_number(trade.side),
        price=f"{trade.price:f}",
        amount=f"{trade.amount:f}",
        fee=f"{trade.fee:f}",
        fee_asset=trade.feeAsset,
        maker=trade.maker,
        strategy=trade.strategy,
        command_id=trade.commandId,
        timestamp_us=trade.timestamp,
        local_timestamp_us=trade.localTimestamp,
    )
    return message.SerializeToString()


def decode_my_trade(message: Any) -> MyTrade:
    return MyTrade(
        exchange=Exchange(message.exchange),
        symbol=CurrencyPair(message.symbol),
        tradeId=message.trade_id,
        orderId=message.order_id,
        clientOrderId=message.client_order_id,
        side=Side(message.side),
        price=_decimal(message.price),
        amount=_decimal(message.amount),
        fee=_decimal(message.fee),
        feeAsset=message.fee_asset,
        maker=message.maker,
        strategy=message.strategy,
        commandId=message.command_id,
        timestamp=message.timestamp_us,
        localTimestamp=message.local_timestamp_us,
    )


def encode_book(book: Snapshot, seq: int, epoch: int) -> bytes:
    message = wire.BookSnapshot(
        seq=seq,
        epoch=epoch,
        exchange=_number(book.exchange),
        symbol=book.symbol,
        exchange_time_ns=book.exchangeTimeNs,
        local_time_ns=book.localTimeNs,
        venue_seq=book.seq,
        flags=int(book.flags),
        bid_prices=book.bidsPrice.tolist(),
        bid_volumes=book.bidsVolume.tolist(),
        ask_prices=book.asksPrice.tolist(),
        ask_volumes=book.asksVolume.tolist(),
    )
    return message.SerializeToString()


def decode_book(message: Any) -> Snapshot:
    bids, bid_volumes = message.bid_prices, message.bid_volumes
    asks, ask_volumes = message.ask_prices, message.ask_volumes
    if len(bids) != len(bid_volumes) or len(asks) != len(ask_volumes):
        sizes = len(bids), len(bid_volumes), len(asks), len(ask_volumes)
        raise ValueError(f"a book must have as many volumes as prices, had {sizes}")
    return Snapshot(
        exchange=message.exchange,
        symbol=message.symbol,
        bids=zip(bids, bid_volumes, strict=True),
        asks=zip(asks, ask_volumes, strict=True),
        exchangeTimeNs=message.exchange_time_ns,
        localTimeNs=message.local_time_ns,
        seq=message.venue_seq,
        flags=message.flags,
    )


def encode_kline(kline: Kline, seq: int, epoch: int) -> bytes:
    message = wire.Kline(
        seq=seq,
        epoch=epoch,
        exchange=_number(kline.exchange),
        symbol=kline.symbol,
        exchange_time_ns=kline.exchangeTimeNs,
        local_time_ns=kline.localTimeNs,
        open_time_ns=kline.openTimeNs,
        close_time_ns=kline.closeTimeNs,
        open=kline.open,
        high=kline.high,
        low=kline.low,
        close=kline.close,
        volume=kline.volume,
        quote_volume=kline.quoteVolume,
        trade_count=kline.tradeCount,
        venue_seq=kline.seq,
        interval_s=kline.intervalS,
        flags=int(kline.flags),
    )
    return message.SerializeToString()


def decode_kline(message: Any) -> Kline:
    return Kline(
        exchange=message.exchange,
        symbol=message.symbol,
        exchangeTimeNs=message.exchange_time_ns,
        localTimeNs=message.local_time_ns,
        openTimeNs=message.open_time_ns,
        closeTimeNs=message.close_time_ns,
        open=message.open,
        high=message.high,
        low=message.low,
        close=message.close,
        volume=message.volume,
        quoteVolume=message.quote_volume,
        tradeCount=message.trade_count,
        seq=message.venue_seq,
        intervalS=message.interval_s,
        flags=message.flags,
    )


# As the struct and the message call what may be absent.
_FUNDING_FIELDS = {
    "rate": "rate",
    "next_rate": "next_rate",
    "next_funding_time": "next_funding_time_us",
    "mark_price": "mark_price",
    "index_price": "index_price",
}


def encode_funding(funding: Funding, seq: int, epoch: int) -> bytes:
    message = wire.Funding(
        seq=seq,
        epoch=epoch,
        exchange=_number(funding.exchange),
        symbol=funding.symbol,
        timestamp_us=funding.timestamp,
        local_timestamp_us=funding.local_timestamp,
        **{theirs: getattr(funding, ours) for ours, theirs in _FUNDING_FIELDS.items()},
    )
    return message.SerializeToString()


def decode_funding(message: Any) -> Funding:
    told = {
        ours: getattr(message, theirs) for ours, theirs in _FUNDING_FIELDS.items() if message.HasField(theirs)
    }
    return Funding(
        exchange=Exchange(message.exchange),
        symbol=CurrencyPair(message.symbol),
        timestamp=message.timestamp_us,
        local_timestamp=message.local_timestamp_us,
        **told,
    )


def encode_batch(exchange: Exchange, orders: Batch, seq: int, epoch: int) -> bytes:
    message = wire.MyOrderBatch(
        seq=seq, epoch=epoch, exchange=_number(exchange), orders=[_order_message(order, 0, epoch) for order in orders]
    )
    return message.SerializeToString()


def decode_batch(message: Any) -> list[MyOrder]:
    return [decode_my_order(order) for order in message.orders]


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"a decimal number was expected, was {text!r}") from None


def event_fields(event: Event) -> dict[str, Any]:
    """The field of `Control.body` that holds an event."""
    if isinstance(event, Gap):
        gap = wire.Gap(
            exchange=_number(event.exchange),
            channel=_number(event.channel),
            symbol=event.symbol,
            reason=event.reason,
            lost=event.lost,
            source=event.source,
            timestamp_us=event.timestamp,
        )
        return {"gap": gap}
    if isinstance(event, Stale):
        stale = wire.Stale(
            exchange=_number(event.exchange),
            channel=_number(event.channel),
            symbol=event.symbol,
            silent_s=event.silent_s,
            timestamp_us=event.timestamp,
        )
        return {"stale": stale}
    reconnected = wire.Reconnected(
        exchange=_number(event.exchange),
        channel=_number(event.channel),
        attempts=event.attempts,
        down_s=event.down_s,
        timestamp_us=event.timestamp,
    )
    return {"reconnected": reconnected}


def decode_event(kind: str, message: Any) -> Event:
    """The event that a `Control` message holds in its field `kind`."""
    exchange, channel = Exchange(message.exchange), Channel(message.channel)
    if kind == "reconnected":
        return Reconnected(
            exchange=exchange,
            channel=channel,
            attempts=message.attempts,
            down_s=message.down_s,
            timestamp=message.timestamp_us,
        )
    symbol = CurrencyPair(message.symbol) if message.HasField("symbol") else None
    if kind == "stale":
        return Stale(
            exchange=exchange,
            channel=channel,
            symbol=symbol,
            silent_s=message.silent_s,
            timestamp=message.timestamp_us,
        )
    return Gap(
        exchange=exchange,
        channel=channel,
        symbol=symbol,
        reason=message.reason,
        lost=message.lost if message.HasField("lost") else None,
        source=message.source,
        timestamp=message.timestamp_us,
    )


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


def _receive_book(body: bytes) -> Received:
    message = wire.BookSnapshot.FromString(body)
    book = decode_book(message)
    return Received(book, book.exchange, book.symbol, message.seq, message.epoch, message.resent)


def _receive_kline(body: bytes) -> Received:
    message = wire.Kline.FromString(body)
    kline = decode_kline(message)
    return Received(kline, kline.exchange, kline.symbol, message.seq, message.epoch, message.resent)


def _receive_funding(body: bytes) -> Received:
    message = wire.Funding.FromString(body)
    funding = decode_funding(message)
    return Received(funding, funding.exchange, funding.symbol, message.seq, message.epoch, message.resent)


def _receive_my_order(body: bytes) -> Received:
    message = wire.MyOrder.FromString(body)
    order = decode_my_order(message)
    return Received(order, order.exchange, order.symbol, message.seq, message.epoch, message.resent)


def _receive_my_trade(body: bytes) -> Received:
    message = wire.MyTrade.FromString(body)
    fill = decode_my_trade(message)
    return Received(fill, fill.exchange, fill.symbol, message.seq, message.epoch, message.resent)


def _receive_batch(body: bytes) -> Received:
    message = wire.MyOrderBatch.FromString(body)
    orders = decode_batch(message)
    return Received(orders, Exchange(message.exchange), None, message.seq, message.epoch, message.resent)


DECODERS: dict[Channel, Callable[[bytes], Received]] = {
    Channel.TICKER: _receive_ticker,
    Channel.TRADE: _receive_trade,
    Channel.BOOK: _receive_book,
    Channel.KLINE: _receive_kline,
    Channel.FUNDING: _receive_funding,
    Channel.MY_ORDER: _receive_my_order,
    Channel.MY_ORDER_BATCH: _receive_batch,
    Channel.MY_TRADE: _receive_my_trade,
}
"""Of each channel: how the body of a frame is read. They raise ValueError, OverflowError or DecodeError."""

__all__ = [
    "CONTROL_TOPIC",
    "DECODERS",
    "Event",
    "Received",
    "decode_event",
    "encode_batch",
    "encode_book",
    "encode_funding",
    "encode_kline",
    "encode_my_order",
    "encode_my_trade",
    "event_fields",
]
