"""The TWS socket API on the wire: frames, the names of all messages, and the reading of those that a stream needs.

Sans I/O, and without ib_async. A frame is a 4-byte big-endian length and a payload of NUL-terminated text fields, of
which the first is the message's number. Everything is read strictly: what does not fit is a `ParseError` that names
the value, never a guess.

Source: https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc, and the decoder of ib_async for the order of fields.
"""

import re
import struct
from dataclasses import dataclass
from typing import TypeAlias

from hftcore.errors import ParseError

MAX_FRAME_BYTES = 16 * 1024 * 1024
UNSET = float("1.7976931348623157E308")  # the API's "no value" of a double
PROTOBUF_OFFSET = 200

# What a server may send, by number.
NAMES = {
    1: "tickPrice", 2: "tickSize", 3: "orderStatus", 4: "error", 5: "openOrder", 6: "updateAccountValue",
    7: "updatePortfolio", 8: "updateAccountTime", 9: "nextValidId", 10: "contractDetails", 11: "execDetails",
    12: "marketDepth", 13: "marketDepthL2", 14: "newsBulletin", 15: "managedAccounts", 16: "receiveFA",
    17: "historicalData", 18: "bondContractDetails", 19: "scannerParameters", 20: "scannerData",
    21: "tickOptionComputation", 45: "tickGeneric", 46: "tickString", 47: "tickEFP", 49: "currentTime",
    50: "realTimeBar", 51: "fundamentalData", 52: "contractDetailsEnd", 53: "openOrderEnd",
    54: "accountDownloadEnd", 55: "execDetailsEnd", 56: "deltaNeutralValidation", 57: "tickSnapshotEnd",
    58: "marketDataType", 59: "commissionReport", 61: "position", 62: "positionEnd", 63: "accountSummary",
    64: "accountSummaryEnd", 65: "verifyMessageAPI", 66: "verifyCompleted", 67: "displayGroupList",
    68: "displayGroupUpdated", 69: "verifyAndAuthMessageAPI", 70: "verifyAndAuthCompleted", 71: "positionMulti",
    72: "positionMultiEnd", 73: "accountUpdateMulti", 74: "accountUpdateMultiEnd",
    75: "securityDefinitionOptionParameter", 76: "securityDefinitionOptionParameterEnd", 77: "softDollarTiers",
    78: "familyCodes", 79: "symbolSamples", 80: "mktDepthExchanges", 81: "tickReqParams", 82: "smartComponents",
    83: "newsArticle", 84: "tickNews", 85: "newsProviders", 86: "historicalNews", 87: "historicalNewsEnd",
    88: "headTimestamp", 89: "histogramData", 90: "historicalDataUpdate", 91: "rerouteMktDataReq",
    92: "rerouteMktDepthReq", 93: "marketRule", 94: "pnl", 95: "pnlSingle", 96: "historicalTicks",
    97: "historicalTicksBidAsk", 98: "historicalTicksLast", 99: "tickByTick", 100: "orderBound",
    101: "completedOrder", 102: "completedOrdersEnd", 103: "replaceFAEnd", 104: "wshMetaData", 105: "wshEventData",
    106: "historicalSchedule", 107: "userInfo", 108: "historicalDataEnd", 109: "currentTimeInMillis",
}  # fmt: skip

_DECIMAL = re.compile(rb"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(rb"-?\d{1,19}")
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Quote:
    """tickByTick of type 3: both sides of the best quote at one time."""

    request: int
    time_ns: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


@dataclass(frozen=True, slots=True)
class Last:
    """tickByTick of type 1 or 2: one trade. `time_ns` has whole seconds."""

    request: int
    time_ns: int
    price: float
    size: float
    unreported: bool
    exchange: str
    conditions: str


@dataclass(frozen=True, slots=True)
class MidPoint:
    """tickByTick of type 4."""

    request: int
    time_ns: int
    price: float


@dataclass(frozen=True, slots=True)
class TickPrice:
    """One price of a market data line; `price` None: the venue has none."""

    request: int
    tick: int
    price: float | None
    size: float | None


@dataclass(frozen=True, slots=True)
class TickSize:
    """One size of a market data line."""

    request: int
    tick: int
    size: float


@dataclass(frozen=True, slots=True)
class TickText:
    """tickString: a text of a market data line."""

    request: int
    tick: int
    text: str


@dataclass(frozen=True, slots=True)
class RtVolume:
    """A trade of a market data line, ``price;size;ms;volume;vwap;single``; `single` False: several in one."""

    time_ns: int
    price: float
    size: float
    single: bool


@dataclass(frozen=True, slots=True)
class DataType:
    """marketDataType: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""

    request: int
    kind: int


@dataclass(frozen=True, slots=True)
class CurrentTime:
    """The answer to a request for the time, which the stream uses as its heartbeat."""

    seconds: int


@dataclass(frozen=True, slots=True)
class NextId:
    """nextValidId: the answer to a request for it, which the stream uses as a receipt of what it asked for before."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An error, a warning or a message about the system; `request` -1: of no request."""

    request: int
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """A message that no stream needs, by its name."""

    name: str


Message: TypeAlias = (
    Quote | Last | MidPoint | TickPrice | TickSize | TickText | DataType | CurrentTime | NextId | Notice | Other
)


class Framer:
    """Cuts what a socket brings into payloads; remembers the beginning of the next one."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that are complete now.

        Raises
        ------
        ParseError
            If a length is above `MAX_FRAME_BYTES`: what follows cannot be found any more.
        """
        kept = self._kept
        kept += data
        start, size, frames = 0, len(kept), []
        try:
            while size - start >= 4:
                length = int.from_bytes(kept[start : start + 4])
                if length > MAX_FRAME_BYTES:
                    raise ParseError(f"a frame must have at most {MAX_FRAME_BYTES} bytes, its length says {length}")
                if size - start - 4 < length:
                    break
                frames.append(bytes(kept[start + 4 : start + 4 + length]))
                start += 4 + length
        finally:
            del kept[:start]
        return frames


def frame_of(payload: bytes) -> bytes:
    """A payload with its length."""
    return struct.pack(">I", len(payload)) + payload


def payload_of(*fields: object) -> bytes:
    """Fields as a payload."""
    return "".join(f"{field}\0" for field in fields).encode()


def split_fields(payload: bytes) -> list[bytes]:
    """The fields of a payload.

    Raises
    ------
    ParseError
        If it is empty, not terminated, or in protobuf.
    """
    if not payload.endswith(b"\0") or payload == b"\0":
        raise ParseError(f"a message must end in NUL, was {payload[:_SHOWN]!r}")
    if len(payload) > 4 and payload[0] == 0:
        number = int.from_bytes(payload[:4])
        raise ParseError(f"a message must be text, was protobuf {number}")
    fields = payload.split(b"\0")
    fields.pop()
    return fields


def name_of(payload: bytes) -> str:
    """A message's name, whether or not its fields can be read; of protobuf too.

    Raises
    ------
    ParseError
        If its number is none that a server sends.
    """
    if len(payload) >= 4 and payload[0] == 0:
        number = int.from_bytes(payload[:4]) - PROTOBUF_OFFSET
    else:
        first = payload.partition(b"\0")[0]
        number = _integer(first, "the number of a message")
    name = NAMES.get(number)
    if name is None:
        raise ParseError(f"the number of a message must be a known one, was {number}")
    return name


def read_message(payload: bytes, server_version: int = 0) -> Message:
    """Read one message.

    Parameters
    ----------
    payload
        Without its length.
    server_version
        What was agreed on; 0: not known. Errors have no version field, but a time, from 194 on.

    Raises
    ------
    ParseError
        If it is not what the protocol says.
    """
    fields = split_fields(payload)
    name = name_of(payload)
    reader = _READERS.get(name)
    if reader is not None:
        return reader(fields)
    if name == "error":
        return _error(fields, server_version)
    return Other(name)


def read_rt_volume(text: str) -> RtVolume | None:
    """A trade from the text of tick 48 or 77; None: it tells of no trade.

    Raises
    ------
    ParseError
        If it is not what the protocol says.
    """
    parts = text.encode().split(b";")
    if len(parts) != 6:
        raise ParseError(f"RTVolume must have 6 parts, had {len(parts)}: {text[:_SHOWN]!r}")
    price, size, milliseconds, _, _, single = parts
    if not price:
        return None
    if single not in (b"true", b"false"):
        raise ParseError(f"RTVolume's single must be true or false, was {single[:_SHOWN]!r}")
    return RtVolume(
        time_ns=_count(milliseconds, "the time of RTVolume", 9_000_000_000_000) * 1_000_000,
        price=_number(price, "the price of RTVolume"),
        size=_size(size, "the size of RTVolume"),
        single=single == b"true",
    )


def _tick_by_tick(fields: list[bytes]) -> Message:
    if len(fields) < 4:
        raise ParseError(f"tickByTick must have at least 4 fields, had {len(fields)}")
    request, kind = _integer(fields[1], "the request of tickByTick"), fields[2]
    time_ns = _count(fields[3], "the time of tickByTick", 9_000_000_000) * 1_000_000_000
    if kind in (b"1", b"2"):
        _expect(fields, 9, "tickByTick of a trade")
        mask = _integer(fields[6], "the mask of tickByTick")
        price = _number(fields[4], "the price of tickByTick")
        if price == UNSET:
            raise ParseError("the price of a trade must be set, was unset")
        return Last(
            request,
            time_ns,
            price,
            _size(fields[5], "the size of tickByTick"),
            bool(mask & 2),
            _text(fields[7]),
            _text(fields[8]),
        )
    if kind == b"3":
        _expect(fields, 9, "tickByTick of a quote")
        _integer(fields[8], "the mask of tickByTick")
        return Quote(
            request,
            time_ns,
            _number(fields[4], "the bid of tickByTick"),
            _number(fields[5], "the ask of tickByTick"),
            _size(fields[6], "the bid size of tickByTick"),
            _size(fields[7], "the ask size of tickByTick"),
        )
    if kind == b"4":
        _expect(fields, 5, "tickByTick of a mid point")
        return MidPoint(request, time_ns, _number(fields[4], "the mid point of tickByTick"))
    raise ParseError(f"the type of tickByTick must be 1 to 4, was {kind[:_SHOWN]!r}")


def _tick_price(fields: list[bytes]) -> Message:
    _expect(fields, 7, "tickPrice")
    price = _number(fields[4], "the price of tickPrice") if fields[4] else None
    size = _size(fields[5], "the size of tickPrice") if fields[5] else None
    _integer(fields[6] or b"0", "the mask of tickPrice")
    if price == UNSET or (price == -1 and not size):
        price = None
    return TickPrice(_request(fields), _integer(fields[3], "the type of tickPrice"), price, size)


def _tick_size(fields: list[bytes]) -> Message:
    _expect(fields, 5, "tickSize")
    size = _size(fields[4], "the size of tickSize") if fields[4] else 0.0
    return TickSize(_request(fields), _integer(fields[3], "the type of tickSize"), size)


def _tick_string(fields: list[bytes]) -> Message:
    _expect(fields, 5, "tickString")
    return TickText(_request(fields), _integer(fields[3], "the type of tickString"), _text(fields[4]))


def _data_type(fields: list[bytes]) -> Message:
    _expect(fields, 4, "marketDataType")
    kind = _integer(fields[3], "marketDataType")
    if not 1 <= kind <= 4:
        raise ParseError(f"marketDataType must be 1 to 4, was {kind}")
    return DataType(_request(fields), kind)


def _current_time(fields: list[bytes]) -> Message:
    _expect(fields, 3, "currentTime")
    return CurrentTime(_integer(fields[2], "currentTime"))


def _next_id(fields: list[bytes]) -> Message:
    if len(fields) < 3:
        raise ParseError(f"nextValidId must have at least 3 fields, had {len(fields)}")
    _integer(fields[2], "nextValidId")
    return NextId()


def _error(fields: list[bytes], server_version: int) -> Notice:
    # With a version field: 4, 2, request, code, text[, json]. Without: 4, request, code, text, json, time.
    is_new = server_version >= 194
    if not server_version:
        is_new = len(fields) == 6 and not _INTEGER.fullmatch(fields[3])
    if is_new:
        _expect(fields, 6, "error")
        request, code, text = fields[1:4]
    else:
        if len(fields) not in (5, 6):
            raise ParseError(f"error must have 5 or 6 fields, had {len(fields)}")
        request, code, text = fields[2:5]
    return Notice(_integer(request, "the request of error"), _integer(code, "the code of error"), _text(text))


_READERS = {
    "tickByTick": _tick_by_tick,
    "tickPrice": _tick_price,
    "tickSize": _tick_size,
    "tickString": _tick_string,
    "marketDataType": _data_type,
    "currentTime": _current_time,
    "nextValidId": _next_id,
}


def _expect(fields: list[bytes], count: int, name: str) -> None:
    if len(fields) != count:
        raise ParseError(f"{name} must have {count} fields, had {len(fields)}")


def _request(fields: list[bytes]) -> int:
    return _integer(fields[2], "the request")


def _text(field: bytes) -> str:
    return field.decode("utf-8", "backslashreplace")


def _integer(field: bytes, name: str) -> int:
    if not _INTEGER.fullmatch(field):
        raise ParseError(f"{name} must be an integer, was {field[:_SHOWN]!r}")
    return int(field)


def _count(field: bytes, name: str, limit: int) -> int:
    value = _integer(field, name)
    if not 0 <= value <= limit:
        raise ParseError(f"{name} must be between 0 and {limit}, was {value}")
    return value


def _number(field: bytes, name: str) -> float:
    if not _DECIMAL.fullmatch(field):
        raise ParseError(f"{name} must be a number, was {field[:_SHOWN]!r}")
    value = float(field)
    if value in (float("inf"), float("-inf")):
        raise ParseError(f"{name} must be finite, was {field[:_SHOWN]!r}")
    return value


def _size(field: bytes, name: str) -> float:
    value = _number(field, name)
    if value < 0:
        raise ParseError(f"{name} must not be negative, was {field[:_SHOWN]!r}")
    return 0.0 if value == UNSET else value
