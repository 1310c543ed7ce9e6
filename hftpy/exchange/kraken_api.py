"""Kraken spot REST API: token, orders, balances, instruments.

Source: https://docs.kraken.com/api/docs/guides/spot-rest-auth and the pages of each call.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec

from hftcore.enums import Exchange, OrderStatus, OrderType, Side
from hftcore.symbols import CurrencyPair, register_instruments
from hftpy.common.orders import Balance, MyOrder
from hftpy.errors import ConfigError, RequestRejected, RequestUnknown, VenueError
from hftpy.exchange import kraken_text as text
from hftpy.exchange.base_url import REST_SCHEMES, check_base_url
from hftpy.exchange.hooks import SESSION_SOURCE, recorded_answer

log = logging.getLogger(__name__)

REST_URL = "https://api.kraken.com"
TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
REMEMBERED_ORDERS = 10_000


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue says about trading a pair."""

    exchange: Exchange
    symbol: CurrencyPair
    native: str
    tick_size: Decimal
    lot_size: Decimal
    min_amount: Decimal
    status: str = "online"


def sign(secret: str, path: str, nonce: str, postdata: str) -> str:
    """The header ``API-Sign`` of a request.

    A secret that is no base64 is used as it stands: the venue refuses it in its own words.
    """
    digest = hashlib.sha256((nonce + postdata).encode()).digest()
    return base64.b64encode(hmac.new(_key_of(secret), path.encode() + digest, hashlib.sha512).digest()).decode()


def _key_of(secret: str) -> bytes:
    try:
        return base64.b64decode(secret, validate=True)
    except binascii.Error:
        return secret.encode()


def venue_error(code: str, *, may_have_effect: bool) -> VenueError:
    """The error for what the venue said."""
    retryable = code.startswith(text.RETRYABLE_ERRORS)
    if may_have_effect and code.startswith(text.AMBIGUOUS_ERRORS):
        return RequestUnknown(f"kraken: {code}", code=code, retryable=retryable)
    return RequestRejected(f"kraken: {code}", code=code, retryable=retryable)


class KrakenApi:
    """Kraken's REST API.

    Private requests go one after another, so that their nonces arrive in order. Belongs to one event loop.

    Parameters
    ----------
    api_key, api_secret
        Needed for private calls; never logged or shown.
    rest_host, api_host
        Base URL that replaces ``https://api.kraken.com``; two names of the same.
    timeout
        Seconds for a whole call.

    Raises
    ------
    ConfigError
        If the base URL is none.
    """

    exchange = Exchange.KRAKEN

    def __init__(
        self,
        api_key: str = "",
        api_secret: str = "",
        rest_host: str | None = None,
        *,
        api_host: str | None = None,
        timeout: float = TIMEOUT_S,
    ) -> None:
        self._key = api_key or ""
        self._secret = api_secret or ""
        self.rest_host = check_base_url("rest_host", rest_host or api_host or REST_URL, REST_SCHEMES).rstrip("/")
        if self._secret and _key_of(self._secret) == self._secret.encode():
            log.warning("api_secret of kraken is no base64: the venue will refuse private calls")
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=min(CONNECT_TIMEOUT_S, timeout))
        self._session: aiohttp.ClientSession | None = None
        self._source = SESSION_SOURCE.get()  # a recording that is replayed, in place of the venue
        self._lock = asyncio.Lock()
        self._nonce = 0
        self._pairs: dict[str, CurrencyPair] = {}  # by altname
        self._order_ids: OrderedDict[str, str] = OrderedDict()  # client order id -> venue's

    def __repr__(self) -> str:
        return f"<KrakenApi {self.rest_host}>"

    @property
    def has_keys(self) -> bool:
        """Whether private calls are possible."""
        return bool(self._key and self._secret)

    def same_account(self, other: "KrakenApi") -> bool:
        """Whether both use the same keys."""
        return hmac.compare_digest(self._key, other._key) and hmac.compare_digest(self._secret, other._secret)

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def remember(self, client_order_id: str, order_id: str) -> None:
        """Know an order's number at the venue, which knows it better than ours."""
        if client_order_id and order_id:
            self._order_ids[client_order_id] = order_id
            while len(self._order_ids) > REMEMBERED_ORDERS:
                self._order_ids.popitem(last=False)

    # Public calls

    async def server_time(self) -> int:
        """The venue's time, seconds since 1970."""
        return int((await self._public("Time"))["unixtime"])

    async def asset_pairs(self) -> dict[CurrencyPair, Instrument]:
        """All instruments; their spellings are registered with the symbol table.

        Raises
        ------
        VenueError
            If the venue does not answer, or refuses.
        """
        found: dict[CurrencyPair, Instrument] = {}
        for row in (await self._public("AssetPairs")).values():
            wsname = row.get("wsname")
            if not wsname:
                continue
            pair = CurrencyPair(wsname)
            self._pairs[str(row.get("altname"))] = pair
            lot = Decimal(1).scaleb(-int(row["lot_decimals"]))
            tick = row.get("tick_size") or Decimal(1).scaleb(-int(row["pair_decimals"]))
            found[pair] = Instrument(
                exchange=self.exchange,
                symbol=pair,
                native=f"{pair.base}/{pair.quote}".upper(),
                tick_size=text.decimal(tick, "tick_size"),
                lot_size=lot,
                min_amount=text.decimal(row.get("ordermin") or lot, "ordermin"),
                status=str(row.get("status", "online")),
            )
        register_instruments(self.exchange, {item.native: str(pair) for pair, item in found.items()})
        return found

    # Private calls

    async def get_websockets_token(self) -> str:
        """A token for private WebSocket connections; valid for 15 minutes, or while a subscription lives."""
        return str((await self._private("GetWebSocketsToken", {}))["token"])

    async def add_order(
        self,
        *,
        symbol: str,
        side: Side | str,
        amount: Decimal,
        price: Decimal | None = None,
        order_type: OrderType | str = OrderType.LIMIT,
        post_only: bool = False,
        client_order_id: str = "",
        time_in_force: str = "gtc",
    ) -> str:
        """Place an order; returns the venue's order id.

        Raises
        ------
        RequestRejected
            If it was refused.
        RequestUnknown
            If it may have been placed: a timeout, a lost connection or a server error after it was sent.
        """
        form = {
            "pair": text.rest_pair(CurrencyPair(symbol)),
            "type": str(Side.parse(side)),
            "ordertype": str(OrderType.parse(order_type)),
            "volume": text.plain(amount),
            "timeinforce": time_in_force.upper(),
        }
        if price is not None:
            form["price"] = text.plain(price)
        if post_only:
            form["oflags"] = "post"
        if client_order_id:
            form["cl_ord_id"] = client_order_id
        result = await self._private("AddOrder", form, effect=True)
        numbers = result.get("txid") or [""]
        order_id = str(numbers[0] if isinstance(numbers, list) else numbers)
        self.remember(client_order_id, order_id)
        return order_id

    async def cancel_order(self, order_id: str | None = None, client_order_id: str | None = None) -> int:
        """Cancel one order; returns how many were cancelled. Raises as `add_order`."""
        if not order_id and not client_order_id:
            raise ValueError("cancel_order needs an order_id or a client_order_id, was given none")
        form = {"txid": order_id} if order_id else {"cl_ord_id": str(client_order_id)}
        return int((await self._private("CancelOrder", form, effect=True)).get("count", 0))

    async def cancel_all(self) -> int:
        """Cancel all orders of the account; returns how many. Raises as `add_order`."""
        return int((await self._private("CancelAll", {}, effect=True)).get("count", 0))

    async def open_orders(self) -> list[MyOrder]:
        """The open orders of the account."""
        return self._orders((await self._private("OpenOrders", {})).get("open") or {})

    async def query_orders(
        self, order_ids: Iterable[str] = (), client_order_ids: Iterable[str] = ()
    ) -> list[MyOrder]:
        """Orders, open or ended, by the venue's ids or ours; unknown client ids are left out.

        The venue looks up its own ids alone; ours are turned into them where this object placed the order or heard
        of it, and are looked for among the open and the closed orders otherwise.
        """
        known, wanted = list(order_ids), []
        for client_id in client_order_ids:
            order_id = self._order_ids.get(client_id)
            known.append(order_id) if order_id else wanted.append(client_id)
        found = []
        if known:
            found += self._orders(await self._private("QueryOrders", {"txid": ",".join(known)}))
        for client_id in wanted:
            found += await self._find(client_id)
        return found

    async def _find(self, client_id: str) -> list[MyOrder]:
        for call, key in (("OpenOrders", "open"), ("ClosedOrders", "closed")):
            try:
                rows = (await self._private(call, {"cl_ord_id": client_id})).get(key) or {}
            except RequestRejected as error:
                if error.code.startswith(("EOrder:Unknown order", "EGeneral:Unknown method")):
                    continue
                raise
            mine = [order for order in self._orders(rows) if order.clientOrderId == client_id]
            if mine:
                return mine
        return []

    async def balances(self) -> list[Balance]:
        """What the account holds."""
        now = time.time_ns() // 1000
        return [
            Balance(exchange=self.exchange, asset=text.asset(name), total=text.decimal(total, name), localTimestamp=now)
            for name, total in (await self._private("Balance", {})).items()
        ]

    def _orders(self, rows: Mapping[str, Any]) -> list[MyOrder]:
        return [self._order(order_id, row) for order_id, row in rows.items()]

    def _order(self, order_id: str, row: Mapping[str, Any]) -> MyOrder:
        terms = row["descr"]
        kind = text.order_type(terms["ordertype"])
        amount, filled = text.decimal(row["vol"], "vol"), text.decimal(row["vol_exec"], "vol_exec")
        status = text.STATUSES.get(str(row["status"]), OrderStatus.UNKNOWN)
        if status is OrderStatus.NEW and filled:
            status = OrderStatus.PARTIAL_FILLED
        elif status is OrderStatus.FILLED and filled < amount:
            status = OrderStatus.CLOSED
        seconds = text.decimal(row.get("closetm") or row.get("opentm") or 0, "opentm")
        order = MyOrder(
            exchange=self.exchange,
            symbol=self._pairs.get(terms["pair"]) or text.pair_of_rest(terms["pair"]),
            clientOrderId=str(row.get("cl_ord_id") or ""),
            orderId=order_id,
            side=Side.parse(terms["type"]),
            orderType=kind,
            price=text.decimal(terms["price"], "price") if kind is OrderType.LIMIT else None,
            amount=amount,
            filled=filled,
            avgPrice=text.decimal(row.get("price") or 0, "price"),
            status=status,
            postOnly="post" in str(row.get("oflags", "")).split(","),
            reason=str(row.get("reason") or ""),
            timestamp=int(seconds * 1_000_000),
            localTimestamp=time.time_ns() // 1000,
        )
        self.remember(order.clientOrderId, order_id)
        return order

    # Transport

    def next_nonce(self) -> int:
        """Microseconds since 1970, or one more than the last where the clock has not moved on."""
        self._nonce = max(self._nonce + 1, time.time_ns() // 1000)
        return self._nonce

    async def _public(self, call: str) -> Any:
        return await self._request("GET", f"/0/public/{call}", None, None, effect=False)

    async def _private(self, call: str, form: Mapping[str, str], *, effect: bool = False) -> Any:
        if not self.has_keys:
            raise ConfigError(f"api_key and api_secret of kraken are needed for {call}")
        path = f"/0/private/{call}"
        async with self._lock:
            nonce = str(self.next_nonce())
            body = urlencode({"nonce": nonce, **form})
            headers = {
                "API-Key": self._key,
                "API-Sign": sign(self._secret, path, nonce, body),
                "Content-Type": "application/x-www-form-urlencoded",
            }
            return await self._request("POST", path, body, headers, effect=effect)

    async def _request(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str] | None, *, effect: bool
    ) -> Any:
        url = self.rest_host + path
        if (recorded := recorded_answer(method, url, self._source)) is not None:
            return self._result(url, 200, recorded.encode("utf-8", "surrogateescape"), effect=effect)
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            # Redirects are not followed: a signed request goes to the host that was configured, or nowhere.
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await response.read()
                status = response.status
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise RequestRejected(f"{url}: no connection: {error}", retryable=True) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _lost(f"{url}: {type(error).__name__} {error}", effect) from error
        if status >= 500:
            raise _lost(f"{url}: HTTP {status}", effect)
        return self._result(url, status, content, effect=effect)

    def _result(self, url: str, status: int, content: bytes, *, effect: bool) -> Any:
        try:
            answer = msgspec.json.decode(content)
        except (msgspec.MsgspecError, ValueError) as error:
            if status >= 400:
                raise RequestRejected(f"{url}: HTTP {status}", code=str(status), retryable=status == 429) from error
            raise _lost(f"{url}: an answer that is no JSON", effect) from error
        errors = answer.get("error") if isinstance(answer, dict) else None
        if errors:
            # The venue puts warnings (W…) into the same list.
            failures = [item for item in errors if str(item).startswith("E")]
            if failures:
                raise venue_error(str(failures[0]), may_have_effect=effect)
        if status >= 400 or not isinstance(answer, dict) or "result" not in answer:
            raise _lost(f"{url}: HTTP {status} without a result", effect and status < 400)
        return answer["result"]


def _lost(message: str, effect: bool) -> VenueError:
    if effect:
        return RequestUnknown(message)
    return RequestRejected(message, retryable=True)


__all__ = ["Instrument", "KrakenApi", "sign", "venue_error"]
