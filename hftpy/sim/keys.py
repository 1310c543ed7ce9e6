"""API keys, request signatures and WebSocket tokens of the simulated venue."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping

from hftpy.errors import HftError

SIM_API_KEY = "sim-key"
SIM_API_SECRET = base64.b64encode(b"the secret of the simulated venue").decode()
TOKEN_TTL_S = 900


class KeyRefused(HftError):
    """A private request is refused; `code` is Kraken's word for it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def sign(path: str, nonce: str, body: bytes, secret: str) -> str:
    """Kraken's `API-Sign`: base64 of HMAC-SHA512 over path + SHA256(nonce + body)."""
    digest = hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(
        hmac.new(base64.b64decode(secret), path.encode() + digest, hashlib.sha512).digest()
    ).decode()


class KeyRing:
    """Who may act, and under which tokens.

    Parameters
    ----------
    api_keys
        Secret (base64) by key; their signatures are verified. `SIM_API_KEY` is always among them.
    accept_any_key
        Accept other keys too, without looking at their signature: the placeholders of an example work.
    token_ttl
        Seconds within which a token must be used; in use it stays valid.
    """

    def __init__(
        self, api_keys: Mapping[str, str] | None = None, *, accept_any_key: bool = True, token_ttl: float = TOKEN_TTL_S
    ) -> None:
        self._secrets = {SIM_API_KEY: SIM_API_SECRET, **(api_keys or {})}
        self._accept_any = accept_any_key
        self._ttl = token_ttl
        self._nonces: dict[str, int] = {}
        self._tokens: dict[str, tuple[str, float]] = {}

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._secrets)} keys>"

    @property
    def token_ttl(self) -> float:
        return self._ttl

    def authenticate(self, path: str, key: str, signature: str, nonce: str, body: bytes) -> None:
        """Verify a private REST request.

        Raises
        ------
        KeyRefused
            ``EAPI:Invalid key``, ``EAPI:Invalid signature`` or ``EAPI:Invalid nonce``.
        """
        secret = self._secrets.get(key)
        if not key or not signature or (secret is None and not self._accept_any):
            raise KeyRefused("EAPI:Invalid key")
        if secret is not None and not hmac.compare_digest(sign(path, nonce, body, secret), signature):
            raise KeyRefused("EAPI:Invalid signature")
        number = int(nonce) if nonce.isascii() and nonce.isdigit() else 0
        if number <= self._nonces.get(key, 0):
            raise KeyRefused("EAPI:Invalid nonce")
        self._nonces[key] = number

    def issue_token(self, key: str) -> str:
        """A token for the private WebSocket side."""
        token = secrets.token_urlsafe(32)
        self._tokens[token] = (key, time.monotonic())
        return token

    def owner(self, token: object, in_use: Callable[[str], bool] = lambda token: False) -> str:
        """The API key behind a token.

        Raises
        ------
        KeyRefused
            ``ESession:Invalid session`` if it is unknown or has expired.
        """
        known = self._tokens.get(token) if isinstance(token, str) else None
        if known is None or (time.monotonic() - known[1] >= self._ttl and not in_use(str(token))):
            raise KeyRefused("ESession:Invalid session")
        return known[0]

    def forget_tokens(self) -> None:
        """No token is valid any longer."""
        self._tokens.clear()
