"""The numbers are part of every wire format; the names are what config and the CLI use."""

import pytest

from hftcore.enums import Channel, Exchange, Flag, OrderStatus, OrderType, Side

NUMBERS = {
    Exchange: {
        "UNKNOWN": 0, "BINANCE": 1, "COINBASE": 2, "KRAKEN": 3, "OKX": 5, "IB": 6, "BINANCE_FUTURE": 8, "OKX_SWAP": 9,
        "KRAKEN_FUTURE": 11, "SIM": 21,
    },
    Side: {"UNKNOWN": 0, "BUY": 1, "SELL": 2},
    OrderStatus: {
        "UNKNOWN": 0, "NONE": 1, "NEW": 2, "FAILED": 3, "PARTIAL_FILLED": 4, "FILLED": 5, "CANCELED": 6, "CLOSED": 7,
        "EXPIRED": 8,
    },
    Flag: {"SNAPSHOT": 1, "AGGREGATE": 2, "REPLAY": 4, "CLOSED": 8, "DELAYED": 16},
}  # fmt: skip


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.__name__)
def test_numbers(kind):
    assert {member.name: member.value for member in kind} == NUMBERS[kind]


def test_channels_have_a_queue_each():
    assert [str(channel) for channel in Channel] == [
        "ticker", "trade", "book", "kline", "my_order", "my_order_batch", "my_trade", "balance", "position", "funding",
    ]  # fmt: skip
    assert {str(kind) for kind in OrderType} == {"limit", "market"}


@pytest.mark.parametrize("kind", [Exchange, Side, OrderStatus, OrderType, Channel], ids=lambda kind: kind.__name__)
def test_every_member_reads_back(kind):
    for member in kind:
        assert str(member) == member.name.lower() == f"{member}"
        for spelling in (member, member.value, str(member), member.name, member.name.title()):
            assert kind.parse(spelling) is member


def test_an_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match=r"Exchange must be one of unknown, binance, .*, sim, was 'krakn'"):
        Exchange.parse("krakn")
    for wrong in ("", "kraken ", "3"):
        with pytest.raises(ValueError):
            Exchange.parse(wrong)


@pytest.mark.parametrize("number", [4, 7, 10, -1, 22, 256])
def test_reserved_numbers_are_no_exchange(number):
    with pytest.raises(ValueError):
        Exchange.parse(number)


def test_which_orders_are_live():
    live = {OrderStatus.UNKNOWN, OrderStatus.NONE, OrderStatus.NEW, OrderStatus.PARTIAL_FILLED}
    assert {status for status in OrderStatus if status.is_live} == live
