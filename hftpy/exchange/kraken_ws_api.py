"""Kraken spot order entry over WebSocket API v2.

Source: https://docs.kraken.com/api/docs/websocket-v2/add_order, cancel_order, cancel_all.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from hftcore.enums import Exchange, OrderType, Side
from hftcore.symbols import CurrencyPair, native_symbol
from hftpy.common.log import LimitedLog
from hftpy.common.loops import end_tasks
from hftpy.errors import RequestRejected, RequestUnknown, VenueError
from hftpy.exchange.base_url import check_base_url
from hftpy.exchange.client import ClientName
from hftpy.exchange.hooks import SESSION_SOURCE, recorded_answer
from hftpy.exchange.kraken_api import KrakenApi, venue_error
from hftpy.exchange.kraken_executions import URL
from hftpy.exchange.kraken_text import plain
from hftpy.exchange.policy import ReconnectPolicy
from hftpy.exchange.runner import Runner, Session, logger
from hftpy.exchange.stream import replace_host

START_TIMEOUT_S = 10.0
ACK_TIMEOUT_S = 10.0
HEARTBEAT_TIMEOUT_S = 10.0
MAX_CLIENT_ID = 18  # free text; the venue's other forms are UUIDs of 32 or 36 characters
TOKEN_ERRORS = ("EAPI:Invalid token", "ESession:", "Token(s) not found")


class _OrderSession(Session):
    """A private connection. Its one subscription keeps the token valid and the heartbeats coming."""

    fatal_close_codes = frozenset({1008})

    def __init__(self, api: KrakenApi, url: str) -> None:
        super().__init__("kraken.ws_api")
        self._api = api
        self._url = url
        self._decode = msgspec.json.Decoder().decode
        self._log = LimitedLog(logger)
        self.token = ""
        self.waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.ready_event = asyncio.Event()
        self.number = 0
        self._subscription = 0
        self._last_frame = self._sent_at = 0.0
        self.reconnects = 0

    async def url(self) -> str:
        return self._url

    async def opened(self) -> Sequence[str | bytes]:
        self.token = await self._api.get_websockets_token()
        self._last_frame = self._sent_at = time.monotonic()
        self.number += 1
        self._subscription = self.number
        params = {"channel": "executions", "snap_orders": False, "snap_trades": False, "token": self.token}
        return [msgspec.json.encode({"method": "subscribe", "params": params, "req_id": self.number}).decode()]

    def frame(self, data: bytes) -> None:
        self._last_frame = time.monotonic()
        try:
            message = self._decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._log.warning("parse", f"{self.name}: {error} in {data[:200]!r}")
            return
        if not isinstance(message, dict) or "method" not in message:
            return
        number = message.get("req_id")
        if number == self._subscription and not self.ready:
            self._subscribed(message)
            return
        waiting = self.waiting.pop(number, None) if isinstance(number, int) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _subscribed(self, message: Mapping[str, Any]) -> None:
        if message.get("success") is True:
            self.ready = True
            self.ready_event.set()
            self.wake()
            return
        error = venue_error(str(message.get("error")), may_have_effect=False)
        if error.retryable or error.code.startswith(TOKEN_ERRORS):
            self.give_up(str(error))
        else:
            self.fail(error)

    def next_deadline(self) -> float | None:
        return self._last_frame + HEARTBEAT_TIMEOUT_S if self.ready else self._sent_at + ACK_TIMEOUT_S

    def check(self, now: float) -> None:
        deadline = self.next_deadline()
        if deadline is not None and now < deadline:
            return  # a frame came meanwhile
        self.fault = "no frame from the venue" if self.ready else "the subscription was not acknowledged"

    async def lost(self, reason: str) -> None:
        self.ready_event.clear()
        waiting, self.waiting = self.waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(RequestUnknown(f"kraken: the connection was lost before the answer: {reason}"))

    def recovered(self, attempts: int, down_s: float) -> None:
        self.reconnects += 1


class KrakenWsApi:
    """Order entry over one private WebSocket connection, kept alive until `stop`.

    Parameters
    ----------
    api
        Where tokens come from.
    api_host
        Base URL that replaces ``wss://ws-auth.kraken.com``.
    owns_api
        Whether `stop` closes `api` too.
    client, reconnect_times
        As for a stream.
    """

    exchange = Exchange.KRAKEN

    def __init__(
        self,
        api: KrakenApi,
        api_host: str | None = None,
        *,
        owns_api: bool = False,
        client: ClientName = "picows",
        reconnect_times: Any = None,
    ) -> None:
        self._api = api
        self._url = replace_host(URL, check_base_url("api_host", api_host, ("ws", "wss"))) if api_host else URL
        self._owns_api = owns_api
        self._client: ClientName = client
        self._policy = ReconnectPolicy.read(reconnect_times)
        self._source = SESSION_SOURCE.get()  # a recording that is replayed, in place of the venue
        self._session: _OrderSession | None = None
        self._runner: Runner | None = None
        self._task: asyncio.Task[None] | None = None
        self._stops = 0

    def __repr__(self) -> str:
        return f"<KrakenWsApi {self._url}>"

    @property
    def stats(self) -> dict[str, Any]:
        """Whether it is connected, and how often it was connected again."""
        session = self._session
        return {
            "connected": bool(session and session.ready),
            "reconnects": session.reconnects if session else 0,
            "waiting": len(session.waiting) if session else 0,
        }

    def start(self) -> Coroutine[Any, Any, None]:
        """Connect; goes on in the background if the venue is not there within 10 seconds.

        Returns
        -------
        Coroutine
            To be awaited, or made a task. A `stop` that comes before its first step ends it all the same; where it is
            cancelled, nothing is left behind.

        Raises
        ------
        VenueError
            If the venue refuses the keys; in a replay, always.
        """
        return self._start(self._stops)

    async def _start(self, stops: int) -> None:
        if stops != self._stops:
            return
        recorded_answer("CONNECT", self._url, self._source)
        if self._task is not None and not self._task.done():
            return
        self._session = session = _OrderSession(self._api, self._url)
        self._runner = Runner(session, self._policy, self._client)
        self._task = task = asyncio.create_task(self._runner.run(), name="hftpy kraken.ws_api")
        ready = asyncio.create_task(session.ready_event.wait(), name="hftpy kraken.ws_api ready")
        try:
            try:
                await asyncio.wait({task, ready}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_tasks((ready,))
        except asyncio.CancelledError:
            await end_tasks((task,))
            raise
        if stops != self._stops:
            return
        if task.done():
            task.result()
        elif not session.ready:
            logger.warning("kraken.ws_api: not connected within %g s; still trying", START_TIMEOUT_S)

    async def stop(self) -> None:
        """Close the connection; requests without an answer end as `RequestUnknown`."""
        self._stops += 1
        task, self._task = self._task, None
        try:
            if task is not None:
                await end_tasks((task,))
        finally:
            if self._owns_api:
                await self._api.close()

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
        timeout: float = 5.0,
    ) -> str:
        """Place an order; returns the venue's order id.

        Raises
        ------
        RequestRejected
            If it was refused, or never sent.
        RequestUnknown
            If it may have been placed: no answer in time, or the connection was lost after it was sent.
        ValueError
            If an argument cannot be used.
        """
        kind = OrderType.parse(order_type)
        if (price is None) != (kind is OrderType.MARKET):
            raise ValueError(f"a {kind} order's price was {price}")
        params: dict[str, Any] = {
            "order_type": str(kind),
            "side": str(Side.parse(side)),
            "symbol": native_symbol(self.exchange, CurrencyPair(symbol)),
            "order_qty": _number("amount", amount),
        }
        if price is not None:
            params["limit_price"] = _number("price", price)
            params["time_in_force"] = time_in_force.lower()
        if post_only:
            params["post_only"] = True
        if client_order_id:
            params["cl_ord_id"] = check_client_order_id(client_order_id)
        result = await self._request("add_order", params, timeout)
        order_id = str(result.get("order_id") or "")
        self._api.remember(client_order_id, order_id)
        return order_id

    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None, timeout: float = 5.0
    ) -> None:
        """Cancel one order, by the venue's id or ours. Raises as `add_order`."""
        if not order_id and not client_order_id:
            raise ValueError("cancel_order needs an order_id or a client_order_id, was given none")
        params = {"order_id": [order_id]} if order_id else {"cl_ord_id": [client_order_id]}
        await self._request("cancel_order", params, timeout)

    async def cancel_all(self, timeout: float = 5.0) -> int:
        """Cancel all orders of the account; returns how many. Raises as `add_order`."""
        return int((await self._request("cancel_all", {}, timeout)).get("count", 0))

    async def _request(self, method: str, params: dict[str, Any], timeout: float) -> dict[str, Any]:
        recorded_answer(method, self._url, self._source)
        session, runner, task = self._session, self._runner, self._task
        if session is None or runner is None or task is None or task.done():
            raise RequestRejected(f"kraken: {method} was not sent: not started", retryable=True)
        end = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                await session.ready_event.wait()
        except TimeoutError as error:
            raise RequestRejected(f"kraken: {method} was not sent: not connected", retryable=True) from error
        connection = runner.connection
        if connection is None:
            raise RequestRejected(f"kraken: {method} was not sent: not connected", retryable=True)
        session.number += 1
        number = session.number
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        session.waiting[number] = future
        request = {"method": method, "params": {**params, "token": session.token}, "req_id": number}
        try:
            try:
                await connection.send(msgspec.json.encode(request).decode())
            except ConnectionError as error:
                raise RequestRejected(f"kraken: {method} was not sent: {error}", retryable=True) from error
            async with asyncio.timeout(max(end - time.monotonic(), 0.0)):
                answer = await future
        except TimeoutError as error:
            raise RequestUnknown(f"kraken: no answer to {method} within {timeout:g} s") from error
        finally:
            session.waiting.pop(number, None)
            # Its exception, if it has one by now, is nobody's.
            if future.done() and not future.cancelled():
                future.exception()
        return self._result(session, answer)

    def _result(self, session: _OrderSession, answer: Mapping[str, Any]) -> dict[str, Any]:
        if answer.get("success") is True:
            result = answer.get("result")
            return result if isinstance(result, dict) else {}
        code = str(answer.get("error") or "no reason given")
        error: VenueError = venue_error(code, may_have_effect=True)
        if code.startswith(TOKEN_ERRORS):
            # The venue closes nothing by itself: a new connection fetches a new token.
            session.give_up(f"the token is no longer valid: {code}")
            error = RequestRejected(f"kraken: {code}", code=code, retryable=True)
        raise error


def _number(name: str, value: Decimal) -> msgspec.Raw:
    """A JSON number with the digits of the decimal, and no exponent."""
    if not isinstance(value, Decimal):
        raise TypeError(f"{name} must be a Decimal, was {value!r}")
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{name} must be greater than 0, was {value}")
    return msgspec.Raw(plain(value).encode())


def check_client_order_id(text: str) -> str:
    """The id, if the venue takes it.

    Raises
    ------
    ValueError
        If it is longer than 18 characters and no UUID, or not ASCII.
    """
    if not text.isascii() or (len(text) > MAX_CLIENT_ID and len(text.replace("-", "")) != 32):
        raise ValueError(f"client_order_id must have at most {MAX_CLIENT_ID} ASCII characters, was {text!r}")
    return text
