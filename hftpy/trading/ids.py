"""Client order ids: a hash of the command's id in the venue's alphabet and length, so that a retry cannot double."""

import hashlib

from hftpy.common import Exchange

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTHS = {Exchange.KRAKEN: 18, Exchange.OKX: 32, Exchange.BINANCE: 36}


def client_order_id(command_id: str, exchange: Exchange) -> str:
    """The client order id of the order that a command places; the same for the same command.

    Parameters
    ----------
    command_id
        The command's id.
    exchange
        The venue; its limit of length holds (Kraken 18, OKX 32; 18 where none is known).
    """
    number = int.from_bytes(hashlib.blake2b(command_id.encode(), digest_size=24).digest(), "big")
    digits = []
    for _ in range(LENGTHS.get(exchange, 18)):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)
