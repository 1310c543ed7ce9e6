"""Kraken's REST API on the simulated market: token, orders, balances, public information."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from hftcore.enums import OrderStatus, Side
from hftcore.symbols import CurrencyPair
from hftpy.sim.desk import DeskOrder, OrderDesk, OrderRefused, OrderRequest
from hftpy.sim.keys import KeyRefused, KeyRing
from hftpy.sim.kraken import KrakenFrontEnd
from hftpy.sim.kraken_private import RequestError, cancel_all, check_client_order_id
from hftpy.sim.market import Market
from hftpy.sim.text import dumps, plain, rfc3339
from hftpy.trading.matching import TimeInForce

LEGACY_ASSETS = {
    "BTC": "XXBT",
    "DOGE": "XXDG",
    "ETH": "XETH",
    "LTC": "XLTC",
    "XRP": "XXRP",
    "USD": "ZUSD",
    "EUR": "ZEUR",
    "GBP": "ZGBP",
    "JPY": "ZJPY",
    "CAD": "ZCAD",
    "AUD": "ZAUD",
}
ALT_ASSETS = {"BTC": "XBT", "DOGE": "XDG"}
STATUS_NAMES = {OrderStatus.FILLED: "closed", OrderStatus.CANCELED: "canceled"}

Form = Mapping[str, str]


class KrakenRest:
    """The routes; add them to an application with `register`."""

    def __init__(self, market: Market, desk: OrderDesk, keys: KeyRing, front: KrakenFrontEnd) -> None:
        self._market = market
        self._desk = desk
        self._keys = keys
        self._front = front
        self._pairs = {name: pair for pair in market.pairs for name in _spellings(pair)}

    def register(self, app: web.Application, prefix: str) -> None:
        """Serve under ``{prefix}/0``."""
        private: dict[str, Callable[[str, Form], Any]] = {
            "GetWebSocketsToken": self._token,
            "AddOrder": self._add_order,
            "CancelOrder": self._cancel_order,
            "CancelAll": self._cancel_all,
            "OpenOrders": self._open_orders,
            "ClosedOrders": self._closed_orders,
            "QueryOrders": self._query_orders,
            "Balance": self._balance,
        }
        public: dict[str, Callable[[Form], Any]] = {
            "Time": self._time,
            "SystemStatus": self._system_status,
            "AssetPairs": self._asset_pairs,
        }

        async def serve_private(request: web.Request) -> web.Response:
            method = request.match_info["method"]
            body = await request.read()
            form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
            headers = request.headers
            try:
                if method not in private:
                    raise OrderRefused("EGeneral:Unknown method")
                key = headers.get("API-Key", "")
                path = f"/0/private/{method}"
                self._keys.authenticate(path, key, headers.get("API-Sign", ""), form.get("nonce", ""), body)
                return _answer(private[method](key, form))
            except (OrderRefused, KeyRefused) as error:
                return _refusal(error.code)
            except RequestError as error:
                return _refusal(error.text)

        async def serve_public(request: web.Request) -> web.Response:
            method = request.match_info["method"]
            if method not in public:
                return _refusal("EGeneral:Unknown method")
            try:
                return _answer(public[method](dict(request.query)))
            except OrderRefused as error:
                return _refusal(error.code)

        app.router.add_post(prefix + "/0/private/{method}", serve_private)
        app.router.add_get(prefix + "/0/public/{method}", serve_public)
        app.router.add_post(prefix + "/0/public/{method}", serve_public)

    def _pair(self, name: str) -> CurrencyPair:
        pair = self._pairs.get(name)
        if pair is None:
            raise OrderRefused("EQuery:Unknown asset pair")
        return pair

    def _token(self, key: str, form: Form) -> Any:
        return {"token": self._keys.issue_token(key), "expires": int(self._keys.token_ttl)}

    def _add_order(self, key: str, form: Form) -> Any:
        pair = self._pair(form.get("pair", ""))
        order_type = form.get("ordertype", "")
        if order_type not in ("limit", "market"):
            raise OrderRefused("EGeneral:Invalid arguments:ordertype")
        if form.get("type") not in ("buy", "sell"):
            raise OrderRefused("EGeneral:Invalid arguments:type")
        userref = form.get("userref", "0")
        request = OrderRequest(
            pair=pair,
            side=Side.parse(form["type"]),
            amount=_decimal(form, "volume"),
            price=_decimal(form, "price") if order_type == "limit" else None,
            post_only="post" in form.get("oflags", "").split(","),
            time_in_force=_time_in_force(form.get("timeinforce", "GTC")),
            client_order_id=check_client_order_id(form.get("cl_ord_id", "")),
            userref=int(userref) if userref.lstrip("-").isdigit() else 0,
        )
        price = f" @ limit {plain(request.price)}" if request.price is not None else " @ market"
        description = {"order": f"{request.side} {request.amount:.8f} {_alternative(pair)}{price}"}
        if form.get("validate", "false").lower() in ("true", "1"):
            self._desk.check(key, request)
            return {"descr": description}
        order, events = self._desk.place(key, request)
        self._desk.deliver(events)
        return {"descr": description, "txid": [order.book.order_id]}

    def _cancel_order(self, key: str, form: Form) -> Any:
        order_id = form.get("txid", "")
        if not order_id and form.get("cl_ord_id"):
            found = self._desk.find_client_order(key, form["cl_ord_id"])
            order_id = found.book.order_id if found is not None else ""
        self._desk.deliver(self._desk.cancel(key, order_id))
        return {"count": 1}

    def _cancel_all(self, key: str, form: Form) -> Any:
        events = cancel_all(self._front, key)
        self._desk.deliver(events)
        return {"count": len(events)}

    def _open_orders(self, key: str, form: Form) -> Any:
        return {"open": self._rows(self._desk.open_orders(key), form)}

    def _closed_orders(self, key: str, form: Form) -> Any:
        closed = self._rows(self._desk.closed_orders(key), form)
        return {"closed": closed, "count": len(closed)}

    def _rows(self, orders: list[DeskOrder], form: Form) -> dict[str, Any]:
        client_id = form.get("cl_ord_id")
        chosen = [order for order in orders if client_id in (None, order.book.client_order_id)]
        return {order.book.order_id: self._row(order) for order in chosen}

    def _query_orders(self, key: str, form: Form) -> Any:
        rows = {}
        for order_id in form.get("txid", "").split(","):
            order = self._desk.order(key, order_id)
            if order is None:
                raise OrderRefused("EOrder:Unknown order")
            rows[order_id] = self._row(order)
        return rows

    def _balance(self, key: str, form: Form) -> Any:
        account = self._desk.account(key)
        assets = {asset for pair in self._market.pairs for asset in (pair.base, pair.quote)}
        return {
            LEGACY_ASSETS.get(asset.upper(), asset.upper()): plain(account.total(asset)) for asset in sorted(assets)
        }

    def _row(self, order: DeskOrder) -> dict[str, Any]:
        book, alternative = order.book, _alternative(order.pair)
        kind = str(book.order_type)
        price = plain(book.price) if book.price is not None else "0"
        row: dict[str, Any] = {
            "refid": None,
            "userref": order.userref,
            "status": STATUS_NAMES.get(book.status, "open"),
            "opentm": order.opened_ns // 100_000 / 10_000,
            "starttm": 0,
            "expiretm": 0,
            "descr": {
                "pair": alternative,
                "type": str(book.side),
                "ordertype": kind,
                "price": price,
                "price2": "0",
                "leverage": "none",
                "order": f"{book.side} {book.amount:.8f} {alternative} @ {kind}"
                + (f" {price}" if book.price is not None else ""),
                "close": "",
            },
            "vol": f"{book.amount:.8f}",
            "vol_exec": f"{book.filled:.8f}",
            "cost": plain(book.cost),
            "fee": plain(order.fee),
            "price": plain(book.average_price.quantize(self._market.state(order.pair).instrument.tick)),
            "stopprice": "0.00000",
            "limitprice": "0.00000",
            "misc": "",
            "oflags": "fciq,post" if book.post_only else "fciq",
        }
        if book.client_order_id:
            row["cl_ord_id"] = book.client_order_id
        if order.trades:
            row["trades"] = list(order.trades)
        if not book.is_live:
            row |= {"reason": book.reason or None, "closetm": order.changed_ns // 100_000 / 10_000}
        return row

    def _time(self, query: Form) -> Any:
        seconds = self._market.clock_ns() // 1_000_000_000
        return {"unixtime": seconds, "rfc1123": time.strftime("%a, %d %b %y %H:%M:%S +0000", time.gmtime(seconds))}

    def _system_status(self, query: Form) -> Any:
        return {"status": "online", "timestamp": rfc3339(self._market.clock_ns())[:19] + "Z"}

    def _asset_pairs(self, query: Form) -> Any:
        wanted = [self._pair(name) for name in query["pair"].split(",")] if "pair" in query else self._market.pairs
        rows = {}
        for pair in wanted:
            instrument = self._market.state(pair).instrument
            base, quote = pair.base.upper(), pair.quote.upper()
            rows[_legacy(pair)] = {
                "altname": _alternative(pair),
                "wsname": f"{ALT_ASSETS.get(base, base)}/{quote}",
                "aclass_base": "currency",
                "base": LEGACY_ASSETS.get(base, base),
                "aclass_quote": "currency",
                "quote": LEGACY_ASSETS.get(quote, quote),
                "lot": "unit",
                "pair_decimals": _places(instrument.tick),
                "lot_decimals": _places(instrument.lot),
                "lot_multiplier": 1,
                "fees": [[0, float(self._desk.taker_bps / 100)]],
                "fees_maker": [[0, float(self._desk.maker_bps / 100)]],
                "fee_volume_currency": "ZUSD",
                "ordermin": plain(instrument.minimum),
                "tick_size": plain(instrument.tick),
                "status": "online",
            }
        return rows


def _answer(result: Any) -> web.Response:
    return web.Response(text=dumps({"error": [], "result": result}), content_type="application/json")


def _refusal(code: str) -> web.Response:
    return web.Response(text=dumps({"error": [code]}), content_type="application/json")


def _alternative(pair: CurrencyPair) -> str:
    base, quote = pair.base.upper(), pair.quote.upper()
    return ALT_ASSETS.get(base, base) + ALT_ASSETS.get(quote, quote)


def _legacy(pair: CurrencyPair) -> str:
    base, quote = LEGACY_ASSETS.get(pair.base.upper(), ""), LEGACY_ASSETS.get(pair.quote.upper(), "")
    return base + quote if base and quote else _alternative(pair)


def _spellings(pair: CurrencyPair) -> set[str]:
    base, quote = pair.base.upper(), pair.quote.upper()
    alternative = f"{ALT_ASSETS.get(base, base)}/{ALT_ASSETS.get(quote, quote)}"
    return {_alternative(pair), _legacy(pair), alternative, f"{base}/{quote}", f"{base}{quote}"}


def _decimal(form: Form, name: str) -> Decimal:
    text = form.get(name, "")
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise OrderRefused(f"EGeneral:Invalid arguments:{name}") from None
    if not number.is_finite():
        raise OrderRefused(f"EGeneral:Invalid arguments:{name}")
    return number


def _time_in_force(text: str) -> TimeInForce:
    match text.upper():
        case "GTC":
            return "gtc"
        case "IOC":
            return "ioc"
    raise OrderRefused("EGeneral:Invalid arguments:timeinforce")


def _places(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
