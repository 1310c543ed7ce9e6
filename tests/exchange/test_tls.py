"""wss:// with an authority of our own on loopback, and permessage-deflate, which only one client speaks."""

import asyncio
import json
import logging
import shutil
import ssl
import subprocess
import zlib

import pytest
from exchange_fakes import Observer, book_ticker
from raw_server import TEXT, RawServer, frame
from websockets.asyncio.server import serve

from hftpy.common import Ticker
from hftpy.errors import ConfigError
from hftpy.exchange import StreamBase, get_exchange_stream
from hftpy.exchange.binance_market import BinanceMarketProtocol
from hftpy.exchange.client import MAX_MESSAGE_BYTES, ConnectError, connect
from hftpy.exchange.tls import make_tls

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, a server's and a client's certificate of it, and one of a stranger."""
    folder = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-subj", "/CN=Test CA", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    signed = ("-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-days", "2")
    for name, alternative in (("server", "DNS:venue.test,IP:127.0.0.1"), ("client", "DNS:client.test")):
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr")
        (folder / "extension").write_text(f"subjectAltName={alternative}\n")
        openssl("x509", "-req", "-in", f"{folder}/{name}.csr", *signed, "-extfile", f"{folder}/extension", "-out",
                f"{folder}/{name}.pem")  # fmt: skip
    openssl("req", "-x509", *key, "-subj", "/CN=Stranger", "-keyout", f"{folder}/x.key", "-out", f"{folder}/x.pem")
    return folder


class TlsVenue:
    """A server of wss:// that remembers which name it was asked for."""

    def __init__(self, folder, ask_client=False):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.names = []
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        if ask_client:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(folder / "ca.pem")

    async def _serve(self, connection):
        message = json.loads(await connection.recv())
        await connection.send(json.dumps({"result": None, "id": message["id"]}))
        await connection.send(json.dumps(book_ticker(7)))
        await connection.wait_closed()

    async def __aenter__(self):
        self._server = await serve(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.url = f"wss://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()


@needs_openssl
@pytest.mark.parametrize("ask_client", [False, True])
async def test_ticker_over_tls(run_stream, certificates, ask_client):
    tls = {"ca_file": str(certificates / "ca.pem")}
    if ask_client:
        tls |= {"cert_file": str(certificates / "client.pem"), "key_file": str(certificates / "client.key")}
    async with TlsVenue(certificates, ask_client) as venue:
        observer = Observer()
        run_stream("binance", venue, observer, currency_pairs=["btc/usdt"], tls=tls)
        assert (await observer.count(1, Ticker))[0].seq == 7


@needs_openssl
async def test_name_that_is_asked_for_and_checked(certificates, client):
    async with TlsVenue(certificates) as venue:
        tls = make_tls({"ca_file": certificates / "ca.pem", "server_name": "venue.test"})
        opened = await connect(venue.url, lambda data: None, lambda code, reason: None, client, tls=tls)
        await opened.close()
        assert venue.names[-1] == "venue.test"
        wrong = make_tls({"ca_file": certificates / "ca.pem", "server_name": "other.test"})
        with pytest.raises(ConnectError, match=r"(?i)certificate"):
            await connect(venue.url, print, print, client, tls=wrong)


@needs_openssl
@pytest.mark.parametrize("ca_file", ["", "x.pem"])
async def test_venue_of_an_unknown_authority_is_refused(certificates, client, ca_file):
    tls = make_tls({"ca_file": str(certificates / ca_file)} if ca_file else None)
    async with TlsVenue(certificates) as venue:
        with pytest.raises(ConnectError, match=r"(?i)certificate.verify.failed"):
            await connect(venue.url, print, print, client, tls=tls)


@needs_openssl
async def test_client_without_the_certificate_is_refused(certificates, client):
    tls = make_tls({"ca_file": str(certificates / "ca.pem")})
    closed = asyncio.Event()
    async with TlsVenue(certificates, ask_client=True) as venue:
        try:
            opened = await connect(venue.url, print, lambda code, reason: closed.set(), client, tls=tls)
        except ConnectError:
            return
        await asyncio.wait_for(closed.wait(), 20)  # TLS 1.3 lets the client finish first
        await opened.close()


@needs_openssl
async def test_verification_can_be_turned_off_by_saying_so(certificates, client, caplog):
    with caplog.at_level(logging.WARNING, "hftpy.exchange"):
        tls = make_tls({"verify": False})
    assert "nothing proves that the venue is who it says it is" in caplog.text
    async with TlsVenue(certificates) as venue:
        opened = await connect(venue.url, lambda data: None, lambda code, reason: None, client, tls=tls)
        await opened.close()


@needs_openssl
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"ca": "x"}, "tls must have no key but .*, had 'ca'"),
        ({"ca_file": "/nowhere/ca.pem"}, "tls.ca_file '/nowhere/ca.pem' cannot be used"),
        ({"ca_file": "ca.key"}, "tls.ca_file .* cannot be used"),
        ({"ca_file": 5}, "tls.ca_file must be a path, was 5"),
        ({"cert_file": "server.pem", "key_file": "client.key"}, "tls.cert_file .* cannot be used"),
        ({"key_file": "server.key"}, "tls.cert_file must be given where key_file is"),
        ({"verify": "no"}, "tls.verify must be true or false, was 'no'"),
        ({"verify": 0}, "tls.verify must be true or false, was 0"),
        ({"server_name": 5}, "tls.server_name must be text, was 5"),
        ("ca.pem", "tls must be a mapping"),
    ],
)
def test_bad_settings_name_the_value(certificates, setting, message):
    if isinstance(setting, dict):
        names = ("ca.key", "server.pem", "server.key", "client.key")
        setting = {key: str(certificates / value) if value in names else value for key, value in setting.items()}
    with pytest.raises(ConfigError, match=message):
        get_exchange_stream(
            exchange="binance", currency_pairs="btc/usdt", subscribe_channels="ticker", tls=setting
        )  # fmt: skip


@needs_openssl
def test_key_with_a_passphrase_is_refused_without_asking(certificates, tmp_path):
    openssl("ec", "-in", f"{certificates}/client.key", "-aes128", "-passout", "pass:secret", "-out", f"{tmp_path}/k")
    with pytest.raises(ConfigError, match="the key has a passphrase"):
        make_tls({"cert_file": certificates / "client.pem", "key_file": tmp_path / "k"})


@pytest.mark.parametrize("empty", [None, {}])
def test_no_setting_is_the_systems_authorities(empty):
    assert make_tls(empty) is None


class DeflateVenue:
    def __init__(self, messages):
        self.messages = messages
        self.extensions = []

    async def _serve(self, connection):
        self.extensions.append(connection.request.headers.get("Sec-WebSocket-Extensions", ""))
        message = json.loads(await connection.recv())
        await connection.send(json.dumps({"result": None, "id": message["id"]}))
        for text in self.messages:
            await connection.send(text)
        await connection.wait_closed()

    async def __aenter__(self):
        self._server = await serve(self._serve, "127.0.0.1", 0, compression="deflate")
        self.url = f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()


async def test_venue_that_needs_deflate_gets_the_client_that_can(run_stream, monkeypatch):
    monkeypatch.setattr(BinanceMarketProtocol, "needs_deflate", True)
    async with DeflateVenue([json.dumps(book_ticker(number)) for number in range(5)]) as venue:
        observer = Observer()
        run_stream("binance", venue, observer, currency_pairs=["btc/usdt"])
        assert [ticker.seq for ticker in await observer.count(5, Ticker)] == list(range(5))
        assert "permessage-deflate" in venue.extensions[0]


async def test_nobody_else_deflates(run_stream):
    async with DeflateVenue([json.dumps(book_ticker(1))]) as venue:
        observer = Observer()
        run_stream("binance", venue, observer, currency_pairs=["btc/usdt"])
        assert len(await observer.count(1, Ticker)) == 1
        assert venue.extensions == [""]


async def test_message_that_inflates_beyond_the_limit_ends_the_connection():
    """A few KiB on the wire that would be 64 MiB in memory."""

    class Bomb(RawServer):
        async def _serve(self, reader, writer):
            write = writer.write

            def answer(data):
                agreed = b"Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
                write(data.replace(b"Upgrade: websocket\r\n", agreed))

            writer.write = answer
            await super()._serve(reader, writer)

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    chunk = b"\0" * (1 << 20)
    packed = b"".join(packer.compress(chunk) for _ in range(64)) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(packed) < MAX_MESSAGE_BYTES // 100
    got, closed = [], asyncio.Event()
    async with Bomb() as venue:
        opened = await connect(
            venue.url, got.append, lambda code, reason: closed.set(), "websockets", deflate=True
        )  # fmt: skip
        venue.send(frame(TEXT, packed[:-4], reserved=4))
        await asyncio.wait_for(closed.wait(), 20)
        await opened.close()
    assert not got


def test_documented_setting_of_a_stream():
    assert "tls" in (StreamBase.__doc__ or "")
