"""Client order ids: a hash of the command's id in the venue's alphabet and length, so that a retry cannot double.

The first `TAG_LENGTH` characters depend on the sender alone, so that a gateway that was started anew knows whose the
orders are that it finds open at the venue.
"""

import hashlib

from hftpy.common import Exchange

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTHS = {Exchange.KRAKEN: 18, Exchange.OKX: 32, Exchange.BINANCE: 36}
TAG_LENGTH = 5


def client_order_id(command_id: str, exchange: Exchange) -> str:
    """The client order id of the order that a command places; the same for the same command.

    Parameters
    ----------
    command_id
        The command's id, ``{sender_id}_{timestamp}_{counter}``.
    exchange
        The venue; its limit of length holds (Kraken 18, OKX 32; 18 where none is known).
    """
    sender_id = command_id.rsplit("_", 2)[0]
    return sender_tag(sender_id) + _digits(command_id, LENGTHS.get(exchange, 18) - TAG_LENGTH)


def sender_tag(process_id: str) -> str:
    """What the client order ids of a process begin with."""
    return _digits(process_id, TAG_LENGTH)


def _digits(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=24).digest(), "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)
