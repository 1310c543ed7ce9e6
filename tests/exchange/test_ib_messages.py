"""The reading of TWS messages: own frames against a slow reading, recorded lines, bad input of all kinds."""

import json
import math
import random
from decimal import Decimal

import pytest

from hftcore.enums import Channel
from hftcore.symbols import CurrencyPair
from hftpy.errors import ParseError
from hftpy.exchange.ib_contracts import IBContract, IBOptions, contract_of
from hftpy.exchange.ib_link import Details
from hftpy.exchange.ib_messages import (
    CurrentTime,
    DataType,
    Framer,
    Last,
    MidPoint,
    NextId,
    Notice,
    Other,
    Quote,
    TickPrice,
    TickSize,
    TickText,
    frame_of,
    name_of,
    payload_of,
    read_message,
    read_rt_volume,
)
from hftpy.exchange.ib_protocol import IBProtocol

QUOTE = (99, 7, 3, 1790000000, "150.50", "150.55", "100", "0.5", 1)
LAST = (99, 7, 2, 1790000000, "150.75", "2.25", 2, "NASDAQ", "ISO")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (QUOTE, Quote(7, 1790000000 * 10**9, 150.5, 150.55, 100.0, 0.5)),
        (LAST, Last(7, 1790000000 * 10**9, 150.75, 2.25, True, "NASDAQ", "ISO")),
        ((99, 7, 4, 1790000000, "3.375"), MidPoint(7, 1790000000 * 10**9, 3.375)),
        ((1, 6, 7, 1, "1.5", "", 0), TickPrice(7, 1, 1.5, None)),
        ((1, 6, 7, 1, "-1", "0", 0), TickPrice(7, 1, None, 0.0)),
        ((1, 6, 7, 1, "-1", "5", 0), TickPrice(7, 1, -1.0, 5.0)),
        ((1, 6, 7, 1, "1.7976931348623157E308", "5", 0), TickPrice(7, 1, None, 5.0)),
        ((1, 6, 7, 1, "", "", ""), TickPrice(7, 1, None, None)),
        ((2, 6, 7, 0, "12"), TickSize(7, 0, 12.0)),
        ((46, 6, 7, 48, "a:b<c/>"), TickText(7, 48, "a:b<c/>")),
        ((58, 1, 7, 3), DataType(7, 3)),
        ((49, 1, 1790000000), CurrentTime(1790000000)),
        ((9, 1, 5), NextId()),
        ((4, 2, -1, 2104, "OK:usfarm"), Notice(-1, 2104, "OK:usfarm")),
        ((4, 2, 41, 202, "Order Canceled - reason:", ""), Notice(41, 202, "Order Canceled - reason:")),
        ((4, -1, 2104, "OK:usfarm", "", 1775425766350), Notice(-1, 2104, "OK:usfarm")),
        ((12, 1, 7, 0, 0, 1, "1.5", 100), Other("marketDepth")),
    ],
)
def test_messages(fields, message):
    assert read_message(payload_of(*fields)) == message


def test_the_form_of_an_error_follows_the_version():
    new = payload_of(4, 9, 354, "200", "", 1790000000000)  # its text looks like a code
    assert read_message(new, 194) == Notice(9, 354, "200")
    assert read_message(payload_of(4, 2, 9, 354, "200", ""), 178) == Notice(9, 354, "200")


@pytest.mark.parametrize("base", [QUOTE, LAST])
def test_numbers_equal_a_decimal_reading(base):
    generator = random.Random(seed := 20261121)
    for _ in range(2000):
        whole = str(generator.randrange(10 ** generator.randrange(1, 19)))
        text = whole + ("." + "".join(generator.choices("0123456789", k=generator.randrange(1, 19))))
        if generator.random() < 0.3:
            text += generator.choice("eE") + str(generator.randrange(-30, 30))
        fields = list(base)
        fields[4], fields[5] = text, text
        message = read_message(payload_of(*fields))
        price = message.bid if isinstance(message, Quote) else message.price
        assert price == float(Decimal(text)), (seed, text)


@pytest.mark.parametrize("base", [QUOTE, LAST, (1, 6, 7, 1, "1.5", "5", 0), (2, 6, 7, 0, "12")])
@pytest.mark.parametrize(
    "bad",
    ["nan", "NaN", "inf", "Infinity", "-inf", "1_0", " 1", "1 ", "0x10", "1e", "--1", "1.2.3", "١", "1e999", "x" * 999],
)  # fmt: skip
def test_what_is_no_number_is_an_error_that_names_it(base, bad):
    for index in range(1, len(base)):
        if isinstance(base[index], str) and base[index][0].isdigit():
            fields = list(base)
            fields[index] = bad
            with pytest.raises(ParseError) as raised:
                read_message(payload_of(*fields))
            assert bad[:20].encode().decode("ascii", "ignore")[:3] in str(raised.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\0", b"99", b"x\0", b"\0\0", b"99999999999999999999\0", b"0\0", b"-1\0", b"24\0",
        payload_of(99, 7, 5, 1, 1, 1, 1, 1, 1), payload_of(99, 7, 3, -1, 1, 1, 1, 1, 1),
        payload_of(99, 7, 3, 10**18, 1, 1, 1, 1, 1), payload_of(99, 7, 2, 1, "1.7976931348623157E308", 1, 0, "", ""),
        payload_of(99, 7, 3, 1, 1, 1, -1, 1, 1), payload_of(58, 1, 7, 5), payload_of(58, 1, 7, 0),
        payload_of(4, 2, 3), payload_of(49, 1, ""), (299).to_bytes(4) + b"\x08\x01\0",
    ],
)  # fmt: skip
def test_bad_messages(payload):
    with pytest.raises(ParseError):
        read_message(payload)


def test_truncation_at_every_byte():
    for fields in (QUOTE, LAST, (1, 6, 7, 1, "1.5", "5", 0), (4, 2, 7, 354, "no")):
        whole = payload_of(*fields)
        for size in range(len(whole)):
            try:
                message = read_message(whole[:size])
            except ParseError:
                continue
            # Cut behind a field, an error may still be one.
            assert isinstance(message, Notice)


def test_rt_volume():
    told = read_rt_volume("701.28;1;1348075471534;67854;701.46918464;true")
    assert (told.price, told.size, told.time_ns, told.single) == (701.28, 1.0, 1348075471534 * 10**6, True)
    assert read_rt_volume(";0;1348075471534;67854;701.46918464;true") is None
    for bad in ("", "1;2;3;4;5", "1;2;3;4;5;maybe", "x;2;3;4;5;true", "1;-2;3;4;5;true", "1;2;-3;4;5;true"):
        with pytest.raises(ParseError):
            read_rt_volume(bad)


def test_frames_cut_at_every_byte():
    payloads = [payload_of(*QUOTE), b"", payload_of(*LAST), b"x" * 0x2B, b"y" * 300]
    data = b"".join(map(frame_of, payloads))
    for cut in range(len(data) + 1):
        framer = Framer()
        assert framer.feed(data[:cut]) + framer.feed(data[cut:]) == payloads
    framer = Framer()
    assert [frame for byte in data for frame in framer.feed(bytes([byte]))] == payloads


def test_a_length_without_end():
    framer = Framer()
    with pytest.raises(ParseError, match="its length says 4294967295"):
        framer.feed(b"\xff\xff\xff\xff")


def test_random_bytes_raise_nothing_else():
    generator = random.Random(seed := 7)
    bases = [payload_of(*QUOTE), payload_of(*LAST), payload_of(1, 6, 7, 1, "1.5", "5", 0)]
    for _ in range(20000):
        payload = bytearray(generator.choice(bases))
        for _ in range(generator.randrange(1, 4)):
            payload[generator.randrange(len(payload))] = generator.randrange(256)
        try:
            message = read_message(bytes(payload))
        except ParseError:
            continue
        for name in ("bid", "ask", "price", "size"):
            value = getattr(message, name, None)
            assert value is None or math.isfinite(value), (seed, bytes(payload))


# Which contract a pair means


@pytest.mark.parametrize(
    ("pair", "contract"),
    [
        ("aapl/usd", IBContract(symbol="AAPL", secType="STK", exchange="SMART", currency="USD")),
        ("brk.b/usd", IBContract(symbol="BRK B", secType="STK", exchange="SMART", currency="USD")),
        ("eur/usd", IBContract(symbol="EUR", secType="CASH", exchange="IDEALPRO", currency="USD")),
        ("btc/usd", IBContract(symbol="BTC", secType="CRYPTO", exchange="PAXOS", currency="USD")),
        (
            "es/usd:usd-261218",
            IBContract(symbol="ES", secType="FUT", lastTradeDateOrContractMonth="20261218", currency="USD"),
        ),
        (
            "aapl/usd:usd-261218-200-c",
            IBContract(
                symbol="AAPL", secType="OPT", lastTradeDateOrContractMonth="20261218", strike=200.0, right="C",
                exchange="SMART", currency="USD",
            ),
        ),
    ],
)  # fmt: skip
def test_contracts(pair, contract):
    assert contract_of(CurrencyPair(pair)) == contract


def test_requests_on_the_wire():
    pair = CurrencyPair("aapl/usd")
    options = IBOptions.read({}, [pair])
    details = Details(options.contracts)
    details.take(pair, [IBContract(conId=5, symbol="AAPL", secType="STK", exchange="SMART", currency="USD")])
    protocol = IBProtocol(Channel.TICKER, options, details)
    assert protocol.open() == [
        "97\x001001\x005\0AAPL\0STK\0\x000.0\0\0\0SMART\0\0USD\0\0\0BidAsk\x000\x000\0",
        "8\x001\x001\0",
    ]


# Recorded messages

REQUESTS = {
    1: "reqMktData", 2: "cancelMktData", 3: "placeOrder", 4: "cancelOrder", 5: "reqOpenOrders",
    6: "reqAccountUpdates", 7: "reqExecutions", 8: "reqIds", 9: "reqContractDetails", 10: "reqMktDepth",
    11: "cancelMktDepth", 12: "reqNewsBulletins", 13: "cancelNewsBulletins", 15: "reqAutoOpenOrders",
    16: "reqAllOpenOrders", 17: "reqManagedAccts", 22: "reqScannerSubscription", 23: "cancelScannerSubscription",
    24: "reqScannerParameters", 49: "reqCurrentTime", 54: "reqCalcImpliedVolat", 58: "cancelCalcOptionPrice",
    59: "reqMarketDataType", 61: "reqPositions", 62: "reqAccountSummary", 63: "cancelAccountSummary",
    64: "cancelPositions", 71: "startApi", 74: "reqPositionsMulti", 75: "cancelPositionsMulti",
    76: "reqAccountUpdatesMulti", 77: "cancelAccountUpdatesMulti", 78: "reqSecDefOptParams", 79: "reqSoftDollarTiers",
    80: "reqFamilyCodes", 81: "reqMatchingSymbols", 84: "reqNewsArticle", 86: "reqHistoricalNews",
    87: "reqHeadTimeStamp", 91: "reqMarketRule", 92: "reqPnL", 93: "cancelPnL", 94: "reqPnLSingle",
    95: "cancelPnLSingle", 96: "reqHistoricalTicks", 97: "reqTickByTickData", 98: "cancelTickByTickData",
    99: "reqCompletedOrders", 100: "reqWshMetaData", 101: "cancelWshMetaData", 102: "reqWshEventData",
    103: "cancelWshEventData",
}  # fmt: skip
# Lines of libraries' tests that are no request: what the first field is instead.
NO_REQUEST = {59: "0", 63: "0", 84: "173", 88: "173", 102: "0"}
# Lines that cannot be read, most of them a library's tests of just that; file -> lines.
UNREADABLE = {
    "tws_control.jsonl": {3, 5, 6, 7, 10},
    "tws_tickbytick.jsonl": {16},
    "tws_ticker.jsonl": {6, 7, 8, 9, 17, 20, *range(22, 41)},
}


def lines_of(path):
    return [json.loads(line).encode() for line in path.read_text().splitlines()]


@pytest.mark.recorded
def test_every_recorded_line_is_read_or_named(fixtures):
    files = sorted((fixtures / "ib").glob("tws_*.jsonl"))
    assert len(files) >= 14
    ticks = 0
    for path in files:
        if path.name in ("tws_request.jsonl", "tws_protobuf_request_hex.jsonl"):
            continue
        for number, payload in enumerate(lines_of(path), 1):
            name = name_of(payload)
            where = f"{path.name}:{number} {name}"
            if number in UNREADABLE.get(path.name, ()):
                with pytest.raises(ParseError):
                    read_message(payload)
                continue
            message = read_message(payload)
            fields = payload.decode().split("\0")
            if isinstance(message, Quote):
                read = (message.bid, message.ask, message.bid_size, message.ask_size, message.time_ns // 10**9)
                assert read == tuple(float(Decimal(fields[i])) for i in (4, 5, 6, 7, 3)), where
            elif isinstance(message, Last):
                read = (message.price, message.size, message.time_ns // 10**9)
                assert read == tuple(float(Decimal(fields[i])) for i in (4, 5, 3)), where
            elif isinstance(message, TickPrice):
                assert (message.price, message.size) == (float(Decimal(fields[4])), float(Decimal(fields[5]))), where
            elif isinstance(message, TickSize):
                assert message.size == float(Decimal(fields[4])), where
            else:
                assert not isinstance(message, Other) or message.name == name, where
            ticks += isinstance(message, Quote | Last)
    assert ticks == 16


@pytest.mark.recorded
def test_every_recorded_request_is_named(fixtures):
    for number, payload in enumerate(lines_of(fixtures / "ib" / "tws_request.jsonl"), 1):
        first = payload.partition(b"\0")[0].decode()
        if number in NO_REQUEST:
            assert first == NO_REQUEST[number]
        else:
            assert int(first) in REQUESTS, (number, first)
    (line,) = (fixtures / "ib" / "tws_protobuf_request_hex.jsonl").read_text().split()
    payload = bytes.fromhex(json.loads(line) if line.startswith('"') else line)
    assert REQUESTS[int.from_bytes(payload[:4]) - 200] == "placeOrder"
    with pytest.raises(ParseError):
        read_message(payload)


# Where a text message has what EXPECTED.jsonl names; those that the stream reads are read by it.
POSITIONS = {
    "executionData": {"OrderID": 2, "ExecID": 14, "Time": 15, "Account": 16, "Side": 18, "Shares": 19, "Price": 20},
    "completedOrder": {"Contract.Symbol": 2, "OrderType": 14, "Status": 76, "Quantity": 13, "Filled": 84},
    "contractDataEnd": {"ReqID": 2},
    "position": {
        "Account": 2, "Contract.ConID": 3, "Contract.Symbol": 4, "Contract.SecType": 5, "Contract.Exchange": 10,
        "Contract.Currency": 11, "Position": 14, "AvgCost": 15,
    },
    "openOrder": {
        "OrderID": 1, "Contract.ConID": 2, "Contract.Symbol": 3, "Contract.SecType": 4, "Action": 13, "OrderType": 15,
        "Account": 20, "Status": 92,
    },
    "historicalSchedule": {"ReqID": 1, "StartDateTime": 2, "EndDateTime": 3, "TimeZone": 4},
}  # fmt: skip
NAME_OF_TYPE = {"executionData": "execDetails", "contractDataEnd": "contractDetailsEnd"}
# The source's frame went on with the next one, an orderStatus; the fixture has it as the next line.
OF_NEXT_LINE = {"openOrder": {"Filled": 3, "Remaining": 4}}


@pytest.mark.recorded
def test_expected_rows(fixtures):
    rows = [json.loads(line) for line in (fixtures / "ib" / "EXPECTED.jsonl").read_text().splitlines()]
    assert rows
    for row in rows:
        kind, wanted = row["expect"]["type"], row["expect"]["fields"]
        assert set(row["expect"]) == {"type", "fields"}
        lines = lines_of(fixtures / "ib" / row["file"])
        payload = lines[row["line"] - 1]
        assert name_of(payload) == NAME_OF_TYPE.get(kind, kind)
        if kind == "error":
            message = read_message(payload, 200)
            read = {"ReqID": message.request, "Code": message.code}
        elif kind == "tickPrice":
            message = read_message(payload)
            read = {
                "ReqID": message.request, "TickType": message.tick, "Price": message.price, "Size": message.size,
                "AttrMask": int(payload.split(b"\0")[6]),
            }  # fmt: skip
        else:
            fields = payload.decode().split("\0")
            read = {name: fields[index] for name, index in POSITIONS[kind].items()}
            following = OF_NEXT_LINE.get(kind)
            if following:
                status = lines[row["line"]].decode().split("\0")
                assert status[:2] == ["3", fields[1]]
                read |= {name: status[index] for name, index in following.items()}
        assert set(wanted) == set(read), row
        for name, value in wanted.items():
            if isinstance(read[name], str):
                assert read[name] == str(value), (row, name)
            else:
                assert read[name] == float(value), (row, name)
