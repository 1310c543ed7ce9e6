"""How Kraken Futures and Coinbase spell perpetuals and dated futures, to and from the text of a currency pair.

A pair names what settles it behind a colon: ``btc/usd:usd`` is a linear perpetual, ``btc/usd:btc`` an inverse one. A
dated future says its day of expiry (yymmdd) too, ``btc/usd:btc-210625``, so that none is taken for the other.

Source: Kraken documentation, Futures symbols; Coinbase Developer Documentation, Advanced Trade products.
"""

import re

from hftcore.errors import shown

# Perpetuals (P) and dated futures (F): multi-collateral (F), inverse (I), vanilla (V).
_KRAKEN_FUTURE = re.compile(r"([PF])([FIV])_([^_/:\-]+)(?:_([0-9]{6}))?", re.ASCII | re.IGNORECASE)
# No product of this venue is quoted in busd, tusd and the like, which would cut a base short.
_KRAKEN_FUTURE_QUOTES = ("usd", "usdt", "usdc", "xbt", "btc", "eur", "gbp")
_COINBASE_PERPETUAL = re.compile(r"([^-/:_]+)-PERP-INTX")
_COINBASE_DATED = re.compile(r"([^-/:_]+)-([0-9]{2})([A-Z]{3})([0-9]{2})-CDE")
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


def kraken_future_pair(native: str) -> str:
    """The text of the pair that Kraken Futures spells `native`, in letters of either case.

    Raises
    ------
    ValueError
        If it is neither a perpetual nor a dated future (an index or an option, say).
    """
    match = _KRAKEN_FUTURE.fullmatch(native)
    if match is not None and (match[1] in "Ff") == (match[4] is not None):
        product = match[3].lower()
        for quote in _KRAKEN_FUTURE_QUOTES:
            base = product.removesuffix(quote)
            if base and base != product:
                settle = base if match[2] in "Ii" else quote
                return f"{base}/{quote}:{settle}" + (f"-{match[4]}" if match[4] else "")
    raise ValueError(f"a symbol of Kraken Futures must read as PF_XBTUSD or FI_XBTUSD_210625, was {shown(native)}")


def kraken_future_native(base: str, quote: str, settle: str, contract: str) -> str:
    """How Kraken Futures spells a pair, whose parts are in capitals.

    One that names no settlement is the linear perpetual.

    Raises
    ------
    ValueError
        If the venue has no such contract.
    """
    if settle not in ("", base, quote) or "-" in contract:
        raise ValueError(f"Kraken Futures has no such contract, was {base}/{quote}:{settle}-{contract}")
    product = "".join("XBT" if currency == "BTC" else currency for currency in (base, quote))
    kind = "I" if settle == base else "F"
    return f"F{kind}_{product}_{contract}" if contract else f"P{kind}_{product}"


def coinbase_pair(native: str) -> str:
    """The text of the pair that Coinbase spells `native`.

    `BTC-USD`; `BTC-PERP-INTX`, settled in USDC; `BIT-24APR26-CDE`, settled in USD: its base is the contract's code.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if (match := _COINBASE_PERPETUAL.fullmatch(native)) is not None:
        return f"{match[1]}/usdc:usdc"
    if (match := _COINBASE_DATED.fullmatch(native)) is not None and match[3] in _MONTHS:
        return f"{match[1]}/usd:usd-{match[4]}{_MONTHS.index(match[3]) + 1:02}{match[2]}"
    if native.count("-") != 1 or set(native) & set("/:_"):
        raise ValueError(f"a product of Coinbase must read BASE-QUOTE, -PERP-INTX or -DDMMMYY-CDE, was {shown(native)}")
    return native


def coinbase_native(base: str, quote: str, settle: str, contract: str) -> str:
    """How Coinbase spells a pair, whose parts are in capitals.

    Raises
    ------
    ValueError
        If the venue has no such contract.
    """
    if not settle:
        return f"{base}-{quote}"
    if not contract and quote == settle == "USDC":
        return f"{base}-PERP-INTX"
    if quote == settle == "USD" and len(contract) == 6 and "01" <= contract[2:4] <= "12":
        return f"{base}-{contract[4:]}{_MONTHS[int(contract[2:4]) - 1]}{contract[:2]}-CDE"
    raise ValueError(f"Coinbase has no such contract, was {base}/{quote}:{settle}-{contract}")
