"""T14: Ticker and Trade to protobuf and back, against upb: a fresh message, and all fields read."""

from collections.abc import Callable
from typing import Any

import pytest

from hftcore.codec import decode_ticker, decode_trade, encode_ticker, encode_trade
from hftcore.types import Ticker, Trade
from hftpy.wire import market_pb2 as wire

NOW = 1_774_960_245_123_456_789
SEQ, EPOCH = 123_456, NOW
TICKER = Ticker(
    exchange="kraken", symbol="btc/usdt", bidPrice=64001.1, bidVolume=0.25, askPrice=64001.2, askVolume=12.5,
    exchangeTimeNs=NOW, localTimeNs=NOW + 1, seq=47_332_707,
)  # fmt: skip
TRADE = Trade(
    exchange="kraken", symbol="btc/usdt", price=64001.1, volume=0.25, side="sell", tradeId=3_526_965,
    exchangeTimeNs=NOW, tradeTimeNs=NOW, localTimeNs=NOW + 1, seq=7,
)  # fmt: skip


def upb_ticker() -> bytes:
    return wire.Ticker(
        seq=SEQ, epoch=EPOCH, exchange=3, symbol="btc/usdt", exchange_time_ns=NOW, local_time_ns=NOW + 1,  # type: ignore[arg-type]
        bid_price=64001.1, bid_volume=0.25, ask_price=64001.2, ask_volume=12.5, venue_seq=47_332_707, flags=0,
    ).SerializeToString()  # fmt: skip


def upb_trade() -> bytes:
    return wire.Trade(
        seq=SEQ, epoch=EPOCH, exchange=3, symbol="btc/usdt", exchange_time_ns=NOW, local_time_ns=NOW + 1,  # type: ignore[arg-type]
        trade_time_ns=NOW, price=64001.1, volume=0.25, trade_id=3_526_965, side=2, venue_seq=7, flags=0,  # type: ignore[arg-type]
    ).SerializeToString()  # fmt: skip


def read_ticker(raw: bytes) -> tuple[Any, ...]:
    m = wire.Ticker.FromString(raw)
    return (
        m.seq, m.epoch, m.resent, m.exchange, m.symbol, m.exchange_time_ns, m.local_time_ns, m.bid_price, m.bid_volume,
        m.ask_price, m.ask_volume, m.venue_seq, m.flags,
    )  # fmt: skip


def read_trade(raw: bytes) -> tuple[Any, ...]:
    m = wire.Trade.FromString(raw)
    return (
        m.seq, m.epoch, m.resent, m.exchange, m.symbol, m.exchange_time_ns, m.local_time_ns, m.trade_time_ns, m.price,
        m.volume, m.trade_id, m.side, m.venue_seq, m.flags,
    )  # fmt: skip


KINDS: dict[str, tuple[Any, Any, Any, Any, Any]] = {
    "Ticker": (TICKER, encode_ticker, decode_ticker, upb_ticker, read_ticker),
    "Trade": (TRADE, encode_trade, decode_trade, upb_trade, read_trade),
}


def repeat(call: Callable[..., object], count: int, *arguments: object) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            call(*arguments)

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_encode(versus: Any, kind: str) -> None:
    item, encode, _, upb, _ = KINDS[kind]
    assert encode(item, SEQ, EPOCH) == upb()
    count = versus.scale(50_000)
    versus(
        "T14", f"{kind} to protobuf", operations=count, ours=repeat(encode, count, item, SEQ, EPOCH),
        peers={"protobuf (upb)": repeat(upb, count)}, floors={"protobuf (upb)": 15}, goals={"protobuf (upb)": 25},
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_decode(versus: Any, kind: str) -> None:
    item, _, decode, upb, read = KINDS[kind]
    raw = upb()
    assert decode(raw) == (item, SEQ, EPOCH, False) and read(raw)[:2] == (SEQ, EPOCH)
    count = versus.scale(50_000)
    versus(
        "T14", f"protobuf to {kind}", operations=count, ours=repeat(decode, count, raw),
        peers={"protobuf (upb)": repeat(read, count, raw)}, floors={"protobuf (upb)": 7}, goals={"protobuf (upb)": 11},
    )  # fmt: skip
