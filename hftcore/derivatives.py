"""How venues spell perpetuals and dated futures, to and from the text of a currency pair.

A pair names what settles it behind a colon: ``btc/usd:usd`` is a linear perpetual, ``btc/usd:btc`` an inverse one. A
dated future says its day of expiry (yymmdd) too, ``btc/usd:btc-210625``, so that none is taken for the other.

Source: Kraken documentation, Futures symbols; Coinbase Developer Documentation, Advanced Trade products.
"""

import re

# Of the multi-collateral (F), inverse (I) and vanilla (V) contracts, as perpetuals (P) and dated futures (F).
_KRAKEN_FUTURE = re.compile(r"([PF])([FIV])_([^_]+)(?:_([0-9]{6}))?", re.IGNORECASE)
# In the order of trial: no product of this venue is quoted in busd, tusd and the like, which other venues know.
_KRAKEN_FUTURE_QUOTES = ("usd", "usdt", "usdc", "xbt", "btc", "eur", "gbp")
_COINBASE_PERPETUAL = re.compile(r"([^-]+)-PERP-INTX")
_COINBASE_DATED = re.compile(r"([^-]+)-([0-9]{2})([A-Z]{3})([0-9]{2})-CDE")
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


def pair_text_of_kraken_future(native: str) -> str:
    """The text of the pair that Kraken Futures spells `native`, in letters of either case.

    Raises
    ------
    ValueError
        If it is neither a perpetual nor a dated future (an index or an option, say).
    """
    match = _KRAKEN_FUTURE.fullmatch(native)
    if match is None or (match[1] in "Ff") != (match[4] is not None):
        raise ValueError(f"a symbol must be a perpetual (PF_XBTUSD) or dated (FI_XBTUSD_210625), was {native!r}")
    product = match[3].lower()
    for quote in _KRAKEN_FUTURE_QUOTES:
        base = product.removesuffix(quote)
        if base and base != product:
            settle = base if match[2] in "Ii" else quote
            return f"{base}/{quote}:{settle}" + (f"-{match[4]}" if match[4] else "")
    raise ValueError(f"a symbol must end in a known quote currency, was {native!r}")


def kraken_future_spelling(base: str, quote: str, settle: str, expiry: str) -> str:
    """How Kraken Futures spells a pair; one that names no settlement is the linear perpetual.

    Raises
    ------
    ValueError
        If the venue has no such contract.
    """
    if settle not in ("", base, quote):
        raise ValueError(f"kraken_future settles in the base or the quote currency, was {base}/{quote}:{settle}")
    names = ["XBT" if currency == "btc" else currency.upper() for currency in (base, quote)]
    kind = "I" if settle == base else "F"
    return f"{'F' if expiry else 'P'}{kind}_{''.join(names)}" + (f"_{expiry}" if expiry else "")


def pair_text_of_coinbase(native: str) -> str:
    """The text of the pair that Coinbase spells `native`: `BTC-USD`, `BTC-PERP-INTX` (settled in USDC) or
    `BIT-24APR26-CDE` (settled in USD; its base is the contract's code)."""
    if (match := _COINBASE_PERPETUAL.fullmatch(native)) is not None:
        return f"{match[1]}/usdc:usdc"
    if (match := _COINBASE_DATED.fullmatch(native)) is not None and match[3] in _MONTHS:
        return f"{match[1]}/usd:usd-{match[4]}{_MONTHS.index(match[3]) + 1:02}{match[2]}"
    return native


def coinbase_spelling(base: str, quote: str, settle: str, expiry: str) -> str:
    """How Coinbase spells a pair.

    Raises
    ------
    ValueError
        If the venue has no such contract.
    """
    base, quote = base.upper(), quote.upper()
    if not settle:
        return f"{base}-{quote}"
    if expiry and (quote, settle) == ("USD", "usd") and 1 <= int(expiry[2:4]) <= 12:
        return f"{base}-{expiry[4:]}{_MONTHS[int(expiry[2:4]) - 1]}{expiry[:2]}-CDE"
    if not expiry and (quote, settle) == ("USDC", "usdc"):
        return f"{base}-PERP-INTX"
    raise ValueError(f"coinbase has no contract {base}/{quote}:{settle.upper()}" + (f"-{expiry}" if expiry else ""))
