"""How pairs are spelled, as text alone: unseparated spellings, and the venues' rules in both directions.

Nothing here is interned or remembered; `hftcore.symbols` is what the rest of the code asks.

Source: the venues' documentation of their instrument names.
"""

import re

from hftcore.derivatives import coinbase_native, coinbase_pair, kraken_future_native, kraken_future_pair
from hftcore.enums import Exchange
from hftcore.errors import shown

# Longest first: an unseparated spelling is split by the longest that fits.
QUOTES = tuple(
    sorted(
        (
            "usdt usdc busd fdusd tusd usdp usds usde usd1 dai pax ust "
            "usd eur gbp jpy aud cad chf try brl rub uah ngn zar idr idrt bidr bvnd pln ron ars czk mxn cop krw inr "
            "bkrw vai gyen hbot eurc euri eurs aeur btc xbt eth bnb trx xrp doge dot sol ltc ada"
        ).split(),
        key=len,
        reverse=True,
    )
)
# Currencies that a longer quote would cut: BNBUSD is bnb/usd, not bn/busd; BATUSD bat/usd, ADAEUR ada/eur.
BASES = frozenset(
    (
        "act ant apt ast bat bit blast bnt crpt dent dot gft gmt grt hft hnt hot lit lpt mdt mnt nft not ont oxt pnut "
        "qnt rbnt snt usdt ust vet xrt "
        "bb bnb bob dgb orb shib trb "
        "ada asta aura ava beta data dia ela elsa fida gala iota kava kda lista luna mana mina pha theta "
        "tia uma"
    ).split()
)
# What follows the settlement currency of what is no perpetual: the day of expiry; of an option, strike and right too.
CONTRACT = re.compile(r"[0-9]{6}(-[0-9]+(\.[0-9]+)?-[cp])?", re.ASCII)


def split_unseparated(lower: str, text: str) -> tuple[str, str]:
    """Base and quote of a spelling in lower case without separators, by the longest known quote currency.

    Parameters
    ----------
    lower
        The spelling.
    text
        What an error names.

    Raises
    ------
    ValueError
        If it ends in none.
    """
    for quote in QUOTES:
        base = lower[: -len(quote)]
        # "usd" is the base of no market: usdtusd is usdt/usd, not usd/tusd.
        if base and base != "usd" and lower.endswith(quote):
            if base + quote[0] in BASES and quote[1:] in QUOTES:
                return base + quote[0], quote[1:]
            return base, quote
    raise ValueError(f"a currency pair must read base/quote or end in a known quote currency, was {shown(text)}")


def pair_text(exchange: Exchange, native: str) -> str:
    """A venue's spelling as one that `CurrencyPair` reads.

    Raises
    ------
    ValueError
        If the venue spells nothing so.
    """
    match exchange:
        case Exchange.OKX | Exchange.OKX_SWAP:
            return _okx_pair(native)
        case Exchange.BINANCE_FUTURE:
            return _binance_future_pair(native)
        case Exchange.COINBASE:
            return coinbase_pair(native)
        case Exchange.KRAKEN_FUTURE:
            return kraken_future_pair(native)
        case _:
            return native


def native_text(exchange: Exchange, base: str, quote: str, settle: str, contract: str) -> str:
    """How a venue spells a pair by its rule, from the pair's parts.

    Raises
    ------
    ValueError
        If the venue has nothing of that kind.
    """
    base, quote, settle, contract = base.upper(), quote.upper(), settle.upper(), contract.upper()
    match exchange:
        case Exchange.BINANCE:
            return base + quote
        case Exchange.BINANCE_FUTURE:
            return _binance_future_native(base, quote, settle, contract)
        case Exchange.COINBASE:
            return coinbase_native(base, quote, settle, contract)
        case Exchange.OKX | Exchange.OKX_SWAP:
            if contract:
                return f"{base}-{quote}-{contract}"
            return f"{base}-{quote}-SWAP" if settle or exchange is Exchange.OKX_SWAP else f"{base}-{quote}"
        case Exchange.KRAKEN_FUTURE:
            return kraken_future_native(base, quote, settle, contract)
        case _:
            return f"{base}/{quote}"


def _okx_pair(native: str) -> str:
    """`BTC-USDT`; `BTC-USDT-SWAP`, `BTC-USD-240927`, `BTC-USD-240927-60000-C`: in USD settled in the base."""
    parts = native.split("-")
    plain = len(parts) > 1 and all(parts[:2]) and not set(native) & set("/:_")
    if plain and len(parts) == 2:
        return f"{parts[0]}/{parts[1]}"
    if plain:
        settle = parts[0] if parts[1].upper() == "USD" else parts[1]
        contract = "-".join(parts[2:]).lower()
        if contract == "swap":
            return f"{parts[0]}/{parts[1]}:{settle}"
        if CONTRACT.fullmatch(contract):
            return f"{parts[0]}/{parts[1]}:{settle}-{contract}"
    rule = "an instrument of OKX must read BASE-QUOTE, -SWAP, -YYMMDD or an option's end"
    raise ValueError(f"{rule}, was {shown(native)}")


def _binance_future_pair(native: str) -> str:
    """`BTCUSDT`, `BTCUSDT_240927`; of COIN-M, settled in the base: `BTCUSD_PERP`, `BTCUSD_240927`."""
    name, separator, contract = native.partition("_")
    plain = not set(native) & set("/:-")
    if plain and not separator:
        base, quote = split_unseparated(name.lower(), native)
        return f"{base}/{quote}:{quote}"
    lower = contract.lower()
    if plain and (lower == "perp" or CONTRACT.fullmatch(lower)):
        end = "" if lower == "perp" else f"-{lower}"
        # BNBUSD is bnb/usd: what has an underscore is quoted in one of a few.
        for quote in ("usdt", "usdc") if end else ():
            if name.lower().endswith(quote) and len(name) > len(quote):
                return f"{name[: -len(quote)]}/{quote}:{quote}{end}"
        if name.lower().endswith("usd") and len(name) > 3:
            return f"{name[:-3]}/usd:{name[:-3]}{end}"
    raise ValueError(f"a symbol of Binance futures must read BASEQUOTE, with _PERP or _YYMMDD, was {shown(native)}")


def _binance_future_native(base: str, quote: str, settle: str, contract: str) -> str:
    if "-" in contract:
        raise ValueError(f"Binance futures have no options, was {base}/{quote}:{settle}-{contract}")
    if contract:
        return f"{base}{quote}_{contract}"
    return f"{base}{quote}_PERP" if settle and settle == base else base + quote
