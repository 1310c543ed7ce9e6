"""What a message of TWS, or of the Client Portal, is by name: for `hftpy decode`.

A line of a recording does not say who sent it. A message is taken for the server's, unless its number is none of a
server's, or it has fewer fields than any server's message of that number: then it is a client's request.

Source: https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc, and the messages of the Client Portal's WebSocket.
"""

import re
from collections.abc import Mapping
from typing import Any

from hftpy.exchange.frame_names import FrameClass, FrameName
from hftpy.exchange.ib_codes import is_remark
from hftpy.exchange.ib_messages import (
    NAMES,
    CurrentTime,
    DataType,
    Message,
    MidPoint,
    NextId,
    Notice,
    TickPrice,
    TickSize,
    TickText,
    name_of,
)

REQUESTS = {
    1: "reqMktData", 2: "cancelMktData", 3: "placeOrder", 4: "cancelOrder", 5: "reqOpenOrders", 6: "reqAccountUpdates",
    7: "reqExecutions", 8: "reqIds", 9: "reqContractDetails", 10: "reqMktDepth", 11: "cancelMktDepth",
    12: "reqNewsBulletins", 13: "cancelNewsBulletins", 14: "setServerLogLevel", 15: "reqAutoOpenOrders",
    16: "reqAllOpenOrders", 17: "reqManagedAccts", 18: "requestFA", 19: "replaceFA", 20: "reqHistoricalData",
    21: "exerciseOptions", 22: "reqScannerSubscription", 23: "cancelScannerSubscription", 24: "reqScannerParameters",
    25: "cancelHistoricalData", 49: "reqCurrentTime", 50: "reqRealTimeBars", 51: "cancelRealTimeBars",
    52: "reqFundamentalData", 53: "cancelFundamentalData", 54: "calculateImpliedVolatility",
    55: "calculateOptionPrice", 56: "cancelCalculateImpliedVolatility", 57: "cancelCalculateOptionPrice",
    58: "reqGlobalCancel", 59: "reqMarketDataType", 61: "reqPositions", 62: "reqAccountSummary",
    63: "cancelAccountSummary", 64: "cancelPositions", 65: "verifyRequest", 66: "verifyMessage",
    67: "queryDisplayGroups", 68: "subscribeToGroupEvents", 69: "updateDisplayGroup",
    70: "unsubscribeFromGroupEvents", 71: "startApi", 72: "verifyAndAuthRequest", 73: "verifyAndAuthMessage",
    74: "reqPositionsMulti", 75: "cancelPositionsMulti", 76: "reqAccountUpdatesMulti",
    77: "cancelAccountUpdatesMulti", 78: "reqSecDefOptParams", 79: "reqSoftDollarTiers", 80: "reqFamilyCodes",
    81: "reqMatchingSymbols", 82: "reqMktDepthExchanges", 83: "reqSmartComponents", 84: "reqNewsArticle",
    85: "reqNewsProviders", 86: "reqHistoricalNews", 87: "reqHeadTimestamp", 88: "reqHistogramData",
    89: "cancelHistogramData", 90: "cancelHeadTimestamp", 91: "reqMarketRule", 92: "reqPnL", 93: "cancelPnL",
    94: "reqPnLSingle", 95: "cancelPnLSingle", 96: "reqHistoricalTicks", 97: "reqTickByTickData",
    98: "cancelTickByTickData", 99: "reqCompletedOrders", 100: "reqWshMetaData", 101: "cancelWshMetaData",
    102: "reqWshEventData", 103: "cancelWshEventData", 104: "reqUserInfo", 105: "reqCurrentTimeInMillis",
}  # fmt: skip
# The fewest fields, the number among them, of a server's message whose number is a request's as well; else 2.
FEWEST_FIELDS = {
    1: 7, 2: 5, 3: 11, 4: 5, 5: 20, 6: 6, 7: 16, 8: 3, 9: 3, 10: 20, 11: 25, 12: 8, 13: 9, 14: 5, 15: 3, 16: 4, 17: 5,
    18: 10, 19: 3, 20: 4, 21: 5, 45: 5, 46: 5, 49: 3, 50: 10, 51: 4, 52: 3, 54: 3, 55: 3, 56: 4, 57: 3, 58: 4, 59: 8,
    61: 12, 63: 7, 64: 3, 65: 3, 66: 3, 67: 4, 68: 4, 69: 3, 70: 3, 71: 12, 72: 3, 73: 8, 74: 3, 75: 7, 78: 6, 79: 11,
    80: 6, 81: 5, 83: 4, 84: 7, 86: 6, 87: 3, 88: 3, 91: 4, 92: 4, 94: 5, 95: 7, 96: 4, 97: 4, 98: 4, 99: 5, 101: 30,
    103: 3, 104: 3, 105: 3,
}  # fmt: skip
PLACE_ORDER, PLACE_ORDER_FIELDS = 3, 50
_OF_ACCOUNT = "orderStatus|openOrder|update(Account|Portfolio)|account|exec|commission|position|pnl|completedOrder"
_PRIVATE = frozenset(name for name in NAMES.values() if re.match(_OF_ACCOUNT, name)) | {
    "orderBound", "managedAccounts", "receiveFA", "replaceFAEnd", "familyCodes", "softDollarTiers", "userInfo",
}  # fmt: skip
# Market data that no stream of ours asks for; all else answers a request.
_MARKET = re.compile("tick|marketDepth|realTimeBar|historicalDataUpdate|deltaNeutralValidation|reroute|newsBulletin")
_PORTAL = {
    "system": FrameClass.HEARTBEAT, "tic": FrameClass.HEARTBEAT, "sts": FrameClass.STATUS, "act": FrameClass.PRIVATE,
    "blt": FrameClass.NOTICE, "ntf": FrameClass.NOTICE, "sor": FrameClass.PRIVATE, "str": FrameClass.PRIVATE,
    "spl": FrameClass.PRIVATE, "ssd": FrameClass.PRIVATE, "sld": FrameClass.PRIVATE,
}  # fmt: skip


def request_name(payload: bytes) -> str | None:
    """The name of a client's request, if a message can be no server's; else None."""
    fields = payload.split(b"\0")[:-1] if payload.endswith(b"\0") else []
    if not fields or not fields[0].isdigit() or len(fields[0]) > 3:
        return None
    number = int(fields[0])
    if number in NAMES and len(fields) >= FEWEST_FIELDS.get(number, 2):
        return None
    if number == PLACE_ORDER and len(fields) < PLACE_ORDER_FIELDS:
        return None
    return REQUESTS.get(number)


def name_message(payload: bytes, message: Message) -> FrameName:
    """Class and name of a message that is no event by itself.

    Raises
    ------
    ParseError
        If its number is none of a server's.
    """
    name = name_of(payload)
    if isinstance(message, Notice):
        told = message.request == -1 or is_remark(message.code)
        return FrameName(FrameClass.NOTICE if told else FrameClass.REFUSAL, f"{name} {message.code}")
    if isinstance(message, TickPrice | TickSize | TickText | MidPoint):
        return FrameName(FrameClass.PART, name)
    if isinstance(message, CurrentTime):
        return FrameName(FrameClass.HEARTBEAT, name)
    if isinstance(message, DataType):
        return FrameName(FrameClass.STATUS, name)
    if isinstance(message, NextId):
        return FrameName(FrameClass.ACKNOWLEDGEMENT, name)
    if name in _PRIVATE:
        return FrameName(FrameClass.PRIVATE, name)
    return FrameName(FrameClass.UNSUPPORTED if _MARKET.match(name) else FrameClass.ANSWER, name)


def name_protobuf(payload: bytes) -> FrameName:
    """Class and name of a message in protobuf, of which nothing but the number is read.

    Raises
    ------
    ParseError
        If its number is none.
    """
    number = int.from_bytes(payload[:4]) - 200
    if number in REQUESTS and number not in NAMES:
        return FrameName(FrameClass.REQUEST, f"{REQUESTS[number]} (protobuf)")
    name = name_of(payload)
    if number in REQUESTS:
        # Its fields, which would tell, are not read.
        return FrameName(FrameClass.UNSUPPORTED, f"{name} or {REQUESTS[number]} (protobuf)")
    return FrameName(FrameClass.PRIVATE if name in _PRIVATE else FrameClass.UNSUPPORTED, f"{name} (protobuf)")


def name_portal(root: Mapping[str, Any] | list[Any]) -> FrameName:
    """Class and name of a message of the Client Portal: of its WebSocket, else an answer of its REST API."""
    topic = root.get("topic") if isinstance(root, dict) else None
    if isinstance(topic, str):
        known = _PORTAL.get(topic.partition("+")[0])
        return FrameName(FrameClass.UNSUPPORTED if known is None else known, topic)
    if isinstance(root, dict) and root.keys() == {"message"}:
        return FrameName(FrameClass.STATUS, "message")
    return FrameName(FrameClass.REST_REFUSAL if isinstance(root, dict) and root.get("error") else FrameClass.REST)


