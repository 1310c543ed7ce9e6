"""Which contract of Interactive Brokers a currency pair means, and the settings of an IB stream.

| pair | contract |
|---|---|
| ``aapl/usd`` | stock, routed by SMART; a dot is IB's space (``brk.b/usd``: ``BRK B``) |
| ``eur/usd`` | forex at IDEALPRO, where both are currencies that it trades |
| ``btc/usd`` | crypto at PAXOS, for the coins that it trades |
| ``es/usd:usd-261218`` | future, by its last trade date |
| ``aapl/usd:usd-261218-200-c`` | option, by last trade date, strike and right |

Everything else, and every exception, is said by the subscribe argument ``contracts``, in IB's own names:
``{"contracts": {"es/usd": {"secType": "FUT", "exchange": "CME", "localSymbol": "ESZ6"}}}``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from hftcore.symbols import CurrencyPair
from hftpy.errors import ConfigError

FOREX = frozenset(
    "aed aud cad chf cnh czk dkk eur gbp hkd huf ils jpy mxn nok nzd pln ron sar sek sgd try usd zar".split()
)
CRYPTO = frozenset({"btc", "eth", "ltc", "bch"})
MAX_CLIENT_ID = 2**31 - 1 - 16
Feed = Literal["tick_by_tick", "market_data"]


@dataclass(frozen=True, slots=True)
class IBContract:
    """A contract in IB's own words; the fields are in the order of the wire."""

    conId: int = 0
    symbol: str = ""
    secType: str = ""
    lastTradeDateOrContractMonth: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primaryExchange: str = ""
    currency: str = ""
    localSymbol: str = ""
    tradingClass: str = ""

    def wire_fields(self) -> list[str]:
        """The twelve fields of a request."""
        return [str(getattr(self, field.name)) for field in fields(self)]

    def to_dict(self) -> dict[str, Any]:
        """The fields that say something, by name."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}

    def agrees_with(self, other: "IBContract") -> bool:
        """Whether both may be one contract: no field that both name differs, the place where orders go apart."""
        if self.conId and other.conId:
            return self.conId == other.conId
        mine, theirs = self.to_dict(), other.to_dict()
        for name in (mine.keys() & theirs.keys()) - {"exchange", "primaryExchange"}:
            # A month stands for the day that IB knows.
            month = name == "lastTradeDateOrContractMonth" and theirs[name].startswith(mine[name])
            if mine[name] != theirs[name] and not month:
                return False
        return True

    def __str__(self) -> str:
        shown = (self.secType, self.localSymbol or self.symbol, self.lastTradeDateOrContractMonth, self.exchange)
        number = f" (conId {self.conId})" if self.conId else ""
        return " ".join(part for part in shown if part) + number


def contract_of(pair: CurrencyPair) -> IBContract:
    """The contract that a pair means by itself.

    Raises
    ------
    ConfigError
        If it means none: a perpetual.
    """
    symbol, currency = pair.base.upper(), pair.quote.upper()
    if pair.contract:
        expiry, _, option = pair.contract.partition("-")
        date = f"20{expiry}"
        if not option:
            return IBContract(symbol=symbol, secType="FUT", lastTradeDateOrContractMonth=date, currency=currency)
        strike, _, right = option.partition("-")
        return IBContract(
            symbol=_spaced(symbol), secType="OPT", lastTradeDateOrContractMonth=date, strike=float(strike),
            right=right.upper(), exchange="SMART", currency=currency,
        )  # fmt: skip
    if pair.settle:
        raise ConfigError(f"subscribe_args.contracts must say which contract {pair} is: ib has no perpetuals")
    if pair.base in FOREX and pair.quote in FOREX:
        return IBContract(symbol=symbol, secType="CASH", exchange="IDEALPRO", currency=currency)
    if pair.base in CRYPTO:
        return IBContract(symbol=symbol, secType="CRYPTO", exchange="PAXOS", currency=currency)
    return IBContract(symbol=_spaced(symbol), secType="STK", exchange="SMART", currency=currency)


def _spaced(symbol: str) -> str:
    return symbol.replace(".", " ")


@dataclass(frozen=True, slots=True)
class IBOptions:
    """The subscribe arguments of one channel, checked.

    Parameters
    ----------
    client_id
        Of the connection; None: a random one for each. The channels of a stream count up from it.
    feed
        ``tick_by_tick``: each change with its time, few symbols. ``market_data``: several times a second, many.
    last_only
        Without trades that are averaged, combined or late (``Last`` instead of ``AllLast``).
    delayed
        Take delayed data where there is no subscription; flagged `Flag.DELAYED`.
    contracts
        What pairs mean, where it is not what `contract_of` says.
    """

    client_id: int | None
    feed: Feed
    last_only: bool
    delayed: bool
    contracts: Mapping[CurrencyPair, IBContract]

    @classmethod
    def read(cls, args: Mapping[str, Any], pairs: list[CurrencyPair]) -> "IBOptions":
        """From subscribe arguments.

        Raises
        ------
        ConfigError
            If one of them cannot be used.
        """
        known = ("client_id", "feed", "last_only", "delayed", "contracts")
        for name in args:
            if name not in known:
                raise ConfigError(f"subscribe_args of ib are {', '.join(known)}, had {name!r}")
        client_id, feed = args.get("client_id"), args.get("feed", "tick_by_tick")
        if client_id is not None and (
            isinstance(client_id, bool) or not isinstance(client_id, int) or not 0 <= client_id <= MAX_CLIENT_ID
        ):
            raise ConfigError(f"subscribe_args.client_id must be 0 to {MAX_CLIENT_ID}, was {client_id!r}")
        if feed not in ("tick_by_tick", "market_data"):
            raise ConfigError(f"subscribe_args.feed must be tick_by_tick or market_data, was {feed!r}")
        delayed = _bool(args, "delayed")
        if delayed and feed != "market_data":
            raise ConfigError("subscribe_args.delayed needs feed market_data: there is no delayed tick by tick")
        return cls(client_id, feed, _bool(args, "last_only"), delayed, _contracts(args.get("contracts"), pairs))


def _bool(args: Mapping[str, Any], name: str) -> bool:
    value = args.get(name, False)
    if not isinstance(value, bool):
        raise ConfigError(f"subscribe_args.{name} must be true or false, was {value!r}")
    return value


def _contracts(given: Any, pairs: list[CurrencyPair]) -> dict[CurrencyPair, IBContract]:
    if given is not None and not isinstance(given, Mapping):
        raise ConfigError(f"subscribe_args.contracts must be a mapping of pairs to contracts, was {given!r}")
    overrides: dict[CurrencyPair, Mapping[str, Any]] = {}
    for name, details in (given or {}).items():
        try:
            pair = CurrencyPair(name)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"subscribe_args.contracts: {error}") from error
        if pair not in pairs:
            raise ConfigError(f"subscribe_args.contracts names {pair}, which is none of currency_pairs")
        if not isinstance(details, Mapping):
            raise ConfigError(f"subscribe_args.contracts[{pair}] must be a mapping, was {details!r}")
        overrides[pair] = details
    return {pair: _override(pair, overrides[pair]) if pair in overrides else contract_of(pair) for pair in pairs}


def _override(pair: CurrencyPair, details: Mapping[str, Any]) -> IBContract:
    names = [field.name for field in fields(IBContract)]
    values: dict[str, Any] = {}
    for name, value in details.items():
        where = f"subscribe_args.contracts[{pair}].{name}"
        if name not in names:
            raise ConfigError(f"{where}: a contract has {', '.join(names)}")
        allowed = {"conId": (int,), "strike": (int, float)}.get(name, (str,))
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise ConfigError(f"{where} must be of the type {allowed[-1].__name__}, was {value!r}")
        if isinstance(value, str) and not value.isprintable():
            raise ConfigError(f"{where} must be printable, was {value!r}")
        values[name] = float(value) if name == "strike" else value
    if values.get("conId"):
        return replace(IBContract(exchange="SMART"), **values)
    if values.get("secType"):
        # What the pair would mean by itself is a contract of another type; a local symbol says all that a symbol does.
        symbol = "" if "localSymbol" in values else pair.base.upper()
        return replace(IBContract(symbol=symbol, currency=pair.quote.upper()), **values)
    return replace(contract_of(pair), **values)
