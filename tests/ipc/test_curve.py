"""Hostile peers on a tcp port: refused and counted, while legitimate traffic goes on."""

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from ipc_observer import Observer, ticker
from tcp_net import TcpNet, TcpSystem

from hftcore.enums import Channel, Exchange
from hftpy.errors import AddressInUseError, ConfigError
from hftpy.ipc import CommandState, IPCCommandSystem, IPCPublisher, IPCSubscriber, TcpEndpoints, curve_guard
from hftpy.ipc.command_protocol import Answer, Done, encode_answer, protocol_topic
from hftpy.ipc.curve_keys import add_peer, new_key_pair
from hftpy.ipc.tcp import check_endpoint

KRAKEN = Exchange.KRAKEN


@pytest.fixture
def net(tmp_path: Path) -> TcpNet:
    (tmp_path / "keys").mkdir(mode=0o700)
    return TcpNet(tmp_path / "keys")


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as made:
        yield made


def peer(context: zmq.Context[Any], endpoint: str, kind: int = zmq.SUB, **options: Any) -> zmq.Socket[bytes]:
    """A plain socket that connects."""
    made: zmq.Socket[bytes] = context.socket(kind)
    made.linger = 0
    made.setsockopt(zmq.RECONNECT_IVL, 50)
    for name, value in options.items():
        setattr(made, name, value)
    made.connect(endpoint)
    if kind == zmq.SUB:
        made.subscribe(b"")
    return made


def keyed(net: TcpNet, name: str, server: str) -> dict[str, Any]:
    """The options of a socket that shows the key of `name` to `server`."""
    pair = new_key_pair(name, net.folder, replace=True)
    server_key = TcpEndpoints(server, folder=net.folder).key.public_key
    return {
        "curve_publickey": pair.public_key,
        "curve_secretkey": pair.secret_key.reveal().encode(),
        "curve_serverkey": server_key,
    }


@contextlib.asynccontextmanager
async def market(root: Path, net: TcpNet) -> AsyncIterator[tuple[IPCPublisher, IPCSubscriber, Observer]]:
    """A publisher and a subscriber over tcp, which have met."""
    publisher = net.publisher(root)
    subscriber = net.subscriber([(KRAKEN, Channel.TICKER, "")], root)
    observer = Observer()
    subscriber.bind_observer(observer)
    task = asyncio.create_task(subscriber.start())
    try:
        while not publisher.subscriber_count(KRAKEN, Channel.TICKER):
            await asyncio.sleep(0.005)
        yield publisher, subscriber, observer
    finally:
        subscriber.stop()
        await task
        publisher.close()


def is_free(endpoint: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(endpoint.rpartition(":")[2])))
            probe.listen()  # only this says that nobody else listens
        except OSError:
            return False
    return True


def stats(publisher: IPCPublisher) -> dict[str, int]:
    return publisher.stats["kraken.ticker"]


async def test_whoever_shows_no_key_gets_nothing_and_is_counted(
    root: Path, net: TcpNet, context: zmq.Context[Any], until: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with market(root, net) as (publisher, subscriber, observer):
        endpoint = publisher.tcp_endpoint("kraken", "ticker")
        assert endpoint is not None and endpoint.startswith("tcp://127.0.0.1:")
        other = TcpEndpoints("mm1", folder=net.folder).key
        hostile = {
            "keyless": {},
            "PLAIN": {"plain_username": b"mm1", "plain_password": b"mm1"},
            "wrong server key": {**keyed(net, "x", "mm1"), "curve_serverkey": other.public_key},
        }
        for count, (name, options) in enumerate(hostile.items(), 1):
            before = stats(publisher)["tcp_failed"]
            made = peer(context, endpoint, **options)
            await until(lambda before=before: stats(publisher)["tcp_failed"] > before, name)
            publisher.send(ticker(count))
            await until(lambda count=count: len(observer.log) == count)
            assert not made.poll(100), name
            made.close()
        denied = peer(context, endpoint, **keyed(net, "stranger", "gateway"))
        await until(lambda: stats(publisher)["tcp_denied"])
        publisher.send(ticker(4))
        await until(lambda: len(observer.log) == 4)
        assert not denied.poll(100)
        denied.close()
        assert observer.seqs == [1, 2, 3, 4] and stats(publisher)["tcp_accepted"] == 1
        assert subscriber.stats["lost"] == subscriber.stats["tcp_refused"] == 0
    assert "kraken.ticker: refused 127.0.0.1 with an unknown key (fingerprint" in caplog.text
    # Its address and port, unless libzmq was quicker to close it.
    assert re.search(
        r"kraken.ticker: refused (127.0.0.1:\d+|somebody who has gone): it showed no key to us", caplog.text
    )
    secrets = [path.read_text().split('secret-key = "')[1].split('"')[0] for path in net.folder.glob("*.key_secret")]
    assert len(secrets) == 4 and not any(secret in caplog.text for secret in secrets)


async def test_noise_and_silence_on_the_port(
    root: Path, net: TcpNet, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve_guard, "MAX_HALF_OPEN", 10)
    monkeypatch.setattr(curve_guard, "HANDSHAKE_MS", 60_000)
    greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\1" + b"CURVE".ljust(20, b"\0") + bytes(32)
    async with market(root, net) as (publisher, subscriber, observer):
        endpoint = publisher.tcp_endpoint("kraken", "ticker")
        assert endpoint is not None
        port = int(endpoint.rpartition(":")[2])
        noise = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20, b"\xff" * 500, bytes(500),
            greeting + b"\4\xc8\5HELLO" + b"x" * 194,
            greeting + b"\6" + b"\x7f" * 8 + b"x" * 10_000, greeting.replace(b"CURVE", b"NULL\0") + b"\4\x19\5READY",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 30,
        ]  # fmt: skip
        for count, sent in enumerate(noise, 1):
            with socket.create_connection(("127.0.0.1", port)) as made:
                with contextlib.suppress(OSError):  # it may have been cut already
                    made.sendall(sent)
                    made.shutdown(socket.SHUT_WR)
                await until(lambda count=count: stats(publisher)["tcp_failed"] == count, repr(sent[:20]))
            publisher.send(ticker(count))
        # Connections that say nothing, or half of it: no more than so many stay.
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(60)]
            for made in silent[::2]:
                with contextlib.suppress(ConnectionError):
                    made.sendall(greeting[:40])
            await until(lambda: stats(publisher)["tcp_failed"] >= len(noise) + 50, "the oldest are cut")
            listener = publisher._addresses[KRAKEN, Channel.TICKER].listener
            assert listener is not None
            await until(lambda: listener.half_open <= 10)
            publisher.send(ticker(8))
            await until(lambda: len(observer.log) == 8)
            # A peer that has a key still gets in.
            second = net.subscriber([(KRAKEN, Channel.TICKER, "")], root, "mm2")
            seen = Observer()
            second.bind_observer(seen)
            task = asyncio.create_task(second.start())
            await until(lambda: seen.log)
            second.stop()
            await task
        await until(lambda: stats(publisher)["tcp_failed"] == len(noise) + 60)
        assert observer.seqs == list(range(1, 9))
        assert stats(publisher)["tcp_accepted"] == 2 and stats(publisher)["tcp_denied"] == 0
        assert subscriber.stats["lost"] == 0


async def test_a_key_is_added_and_taken_away_while_it_runs(root: Path, net: TcpNet, until: Callable[..., Any]) -> None:
    async with market(root, net) as (publisher, subscriber, observer):
        net.key("mm2")
        away = net.forget("mm2")
        second = net.subscriber([(KRAKEN, Channel.TICKER, "")], root, "mm2")
        seen = Observer()
        second.bind_observer(seen)
        task = asyncio.create_task(second.start())
        await until(lambda: stats(publisher)["tcp_denied"] and second.stats["tcp_refused"])
        publisher.send(ticker(1))
        assert not seen.log
        away.rename(away.with_suffix(".key"))
        await until(lambda: seen.log, "the key counts from the next try")
        publisher.send(ticker(2))
        await until(lambda: seen.seqs == [1, 2] and len(observer.log) == 2)
        denied = stats(publisher)["tcp_denied"]
        net.forget("mm2")
        await until(lambda: stats(publisher)["tcp_denied"] > denied, "it is cut, and refused when it comes back")
        await until(lambda: publisher.subscriber_count(KRAKEN, Channel.TICKER) == 1)
        publisher.send(ticker(3))
        await until(lambda: len(observer.log) == 3)
        # Another key of the same name: who had the old one is cut too.
        accepted = stats(publisher)["tcp_accepted"]
        add_peer("mm1", new_key_pair("mm1", net.folder, replace=True).public_key, net.folder)
        await until(lambda: publisher.subscriber_count(KRAKEN, Channel.TICKER) == 0)
        assert stats(publisher)["tcp_accepted"] == accepted
        second.stop()
        await task
        assert seen.seqs == [1, 2] and observer.seqs == [1, 2, 3] and subscriber.stats["lost"] == 0


async def test_hostile_connects_do_not_disturb(
    root: Path, net: TcpNet, context: zmq.Context[Any], until: Callable[..., Any]
) -> None:
    """At least 100 a second of all kinds, while tickers and commands flow."""
    a, b = net.system("a", root), net.system("b", root)
    b.register_handler("go", lambda command: command.payload)
    a.start(), b.start()
    a.connect_to_process("b"), b.connect_to_process("a")
    assert await a.ready("b", 20)
    async with market(root, net) as (publisher, subscriber, observer):
        endpoints = [publisher.tcp_endpoint("kraken", "ticker"), a.tcp_endpoint, b.tcp_endpoint]
        options = [{}, keyed(net, "stranger", "gateway"), {**keyed(net, "x", "a")}, {"plain_username": b"a"}]
        stop = asyncio.Event()
        connects = 0

        async def attack() -> None:
            nonlocal connects
            while not stop.is_set():
                endpoint = endpoints[connects % 3]
                assert endpoint is not None
                if connects % 2:
                    with socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2]))) as made:
                        made.sendall(b"\xff" * (connects % 300))
                else:
                    made_peer = peer(context, endpoint, **options[connects // 2 % 4])
                    asyncio.get_running_loop().call_later(0.2, made_peer.close)
                connects += 1
                await asyncio.sleep(0.005)

        task = asyncio.create_task(attack())
        sent = 0
        results = []
        while connects < 400:
            for _ in range(20):
                sent += 1
                publisher.send(ticker(sent))
            results.append(a.send_command("b", "go", sent, timeout=20.0))
            await asyncio.sleep(0.005)
        stop.set()
        await task
        outcomes = [await a.wait(command_id) for command_id in results]
        assert all(outcome.state is CommandState.DONE for outcome in outcomes)
        await until(lambda: len(observer.log) == sent)
        assert observer.seqs == list(range(1, sent + 1)) and subscriber.stats["lost"] == 0
        assert b.stats["handled"] == len(results) and b.stats["duplicates"] == 0 and a.stats["resent"] == 0
        refused = [stats(publisher), a.stats, b.stats]
        assert all(one["tcp_failed"] > 10 for one in refused) and sum(one["tcp_denied"] for one in refused) > 10
        assert [one["tcp_accepted"] for one in refused] == [1, 1, 1]
        await asyncio.sleep(0.25)
    await a.stop(), await b.stop()


async def test_a_peer_is_whom_its_key_says(
    root: Path, net: TcpNet, context: zmq.Context[Any], until: Callable[..., Any]
) -> None:
    """A process with a key of its own sends and answers in the name of another."""
    gateway, mm1 = net.system("gateway", root), net.system("mm1", root)
    got: list[Any] = []
    gateway.register_handler("order", got.append, senders=["mm1"])
    gateway.start(), mm1.start()
    mm1.connect_to_process("gateway"), gateway.connect_to_process("mm1")
    # mallory is known, and the gateway listens to it; its commands say that they are of mm1.
    mallory_options = keyed(net, "mallory", "gateway")
    add_peer("mallory", mallory_options["curve_publickey"], net.folder)
    server = context.socket(zmq.XPUB)
    server.linger = 0
    server.curve_server = True
    server.curve_secretkey = mallory_options["curve_secretkey"]
    server.bind(net.at("mallory"))
    gateway.connect_to_process("mallory")
    await until(lambda: server.poll(0))
    assert await mm1.ready("gateway", 20)
    body = (
        b'{"command_id":"mm1_1_1","sender_id":"mm1","target_id":"gateway","command_type":"order","payload":{},'
        b'"timestamp":1'
    )
    server.send(b"gateway.order".ljust(64) + body + b"}")
    server.send(b"gateway.order".ljust(64) + body + b',"boot":"b","seq":1,"ack":"done"}')
    server.send(protocol_topic("gateway") + b"C" + b"gateway.order".ljust(64) + body + b',"boot":"b","seq":1}')
    await until(lambda: gateway.stats["forged"] == 3 and gateway.stats["not_allowed"] == 3)
    # In its own name it is who it is: not among the senders of this command.
    server.send(b"gateway.order".ljust(64) + body.replace(b"mm1", b"mallory") + b"}")
    await until(lambda: gateway.stats["not_allowed"] == 4)
    assert not got and gateway.stats["forged"] == 3
    assert (await mm1.call("gateway", "order", {}, 20.0)).ok and len(got) == 1
    # It joins as mm1, and answers as mm1, at the gateway's address.
    assert gateway.tcp_endpoint is not None
    spy = peer(context, gateway.tcp_endpoint, zmq.XSUB, **mallory_options)
    hold = asyncio.Event()

    async def slow(command: Any) -> str:
        await hold.wait()
        return "mm1 did it"

    mm1.register_handler("slow", slow)
    for prefix in (b"mm1.", protocol_topic("mm1"), b"*."):
        spy.send(b"\x01" + prefix)
    await until(lambda: gateway.stats["forged"] == 5)
    command_id = gateway.send_command("mm1", "slow", timeout=20.0)
    await gateway.wait(command_id, "recv")
    for boot in (mm1._boot, "other"):
        spy.send(encode_answer(Answer("mm1", boot, gateway._boot, hello=True, done=[Done(str(command_id), "ok")])))
    await until(lambda: gateway.stats["forged"] == 7)
    # It takes mm1's subscriptions back, and goes: mm1 is still there.
    spy.send(b"\x00" + protocol_topic("mm1"))
    spy.send(b"\x00nobody.")
    spy.close()
    await asyncio.sleep(0.1)
    hold.set()
    assert (await gateway.wait(command_id)).value == "mm1 did it"
    assert (await gateway.call("mm1", "slow", timeout=20.0)).value == "mm1 did it"
    assert gateway.stats["acknowledged"] == 1
    server.close()
    await gateway.stop(), await mm1.stop()


async def test_a_spy_alone_is_not_the_process(
    root: Path, net: TcpNet, context: zmq.Context[Any], until: Callable[..., Any]
) -> None:
    """A command waits for its target, whoever else has subscribed it."""
    gateway = net.system("gateway", root)
    gateway.start()
    options = keyed(net, "mallory", "gateway")
    add_peer("mallory", options["curve_publickey"], net.folder)
    assert gateway.tcp_endpoint is not None
    spy = peer(context, gateway.tcp_endpoint, **options)
    spy.subscribe(b"mm1.")
    await until(lambda: gateway.stats["forged"] == 1)
    command_id = gateway.send_command("mm1", "go", timeout=20.0)
    await asyncio.sleep(0.1)
    assert gateway.status(command_id).state is CommandState.QUEUED
    mm1 = net.system("mm1", root)
    mm1.register_handler("go", lambda command: 7)
    mm1.connect_to_process("gateway")
    mm1.start()
    assert (await gateway.wait(command_id)).value == 7
    # mm1 goes, and the spy goes: in either order nobody is taken for the other for long.
    await mm1.stop()
    spy.close()
    await until(lambda: not gateway.stats["peers"] and not gateway.stats["acknowledged"])
    await gateway.stop()


async def test_what_cannot_be_started_says_so(root: Path, net: TcpNet, until: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="mm1 has no keys, and tcp needs them"):
        TcpEndpoints("mm1", folder=net.folder, serve={"commands": "tcp://:0"})
    net.key("mm1")
    with pytest.raises(ConfigError, match=r"the public key of gateway is not in .*hftpy keys add"):
        TcpEndpoints("mm1", folder=net.folder, peers={"gateway": {"commands": "tcp://h:1"}})
    net.key("gateway"), net.key("other")
    peers = {"gateway": {"kraken.ticker": "tcp://h:1"}, "other": {"kraken.ticker": "tcp://h:2"}}
    with pytest.raises(ConfigError, match=r"peers.other.kraken.ticker: gateway serves it already"):
        TcpEndpoints("mm1", folder=net.folder, peers=peers)
    with pytest.raises(
        ConfigError, match=r"serve must be commands or a venue's channel such as kraken.ticker, was 'x'"
    ):
        TcpEndpoints("mm1", folder=net.folder, serve={"x": "tcp://:0"})
    tcp = net.commands("mm1")
    with pytest.raises(ConfigError, match="commands of mm2 need its own key over tcp, was that of mm1"):
        IPCCommandSystem("mm2", root, tcp=tcp)
    assert "mm1" in repr(tcp) and tcp.key.secret_key.reveal() not in repr(tcp)
    # One owner of a port, also where the other is no peer of ours, and nothing stays of the one that failed.
    net.key("mm3")
    for owner in ("ours", "theirs"):
        with contextlib.ExitStack() as stack:
            if owner == "ours":
                first = IPCCommandSystem("mm1", root, tcp=tcp)
                await first.start()
            else:
                taken = stack.enter_context(socket.socket())
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind(("127.0.0.1", int(net.at("mm1").rpartition(":")[2])))
                taken.listen()
            second = IPCCommandSystem(
                "mm3", root, tcp=TcpEndpoints("mm3", folder=net.folder, serve={"commands": net.at("mm1")})
            )
            with pytest.raises(AddressInUseError, match=r"tcp://127.0.0.1:\d+ is in use by another process or object"):
                second.start()
            assert second.tcp_endpoint is None
            if owner == "ours":
                await first.stop()
    await second.start()
    assert second.tcp_endpoint == net.at("mm1")
    await second.stop()
    with pytest.raises(ConfigError, match=r"address tcp://192.0.2.1:0 cannot be bound"):
        IPCCommandSystem(
            "mm3", root, tcp=TcpEndpoints("mm3", folder=net.folder, serve={"commands": "tcp://192.0.2.1:0"})
        ).start()
    shared = IPCPublisher(root, "shm", tcp=TcpEndpoints("mm3", folder=net.folder, serve={"kraken.ticker": "tcp://:0"}))
    with pytest.raises(ConfigError, match=r"kraken.ticker goes through shared memory"):
        shared.open("kraken", "ticker")


def test_endpoints() -> None:
    for text, bound in {
        "tcp://:7001": "tcp://127.0.0.1:7001",
        "tcp://localhost:0": "tcp://127.0.0.1:0",
        "tcp://*:7001": "tcp://0.0.0.0:7001",
        "tcp://10.0.0.5:7001": "tcp://10.0.0.5:7001",
        "tcp://[::1]:7001": "tcp://[::1]:7001",
    }.items():
        assert check_endpoint("k", text, serve=True) == bound
    for text in (
        "",
        "7001",
        "tcp://7001",
        "ipc:///x",
        "tcp://h",
        "tcp://h:x",
        "tcp://h:70000",
        "tcp://a b:1",
        "tcp://h:1:2",
    ):
        for serve in (True, False):
            with pytest.raises(ConfigError, match="k must be tcp://HOST:PORT, was"):
                check_endpoint("k", text, serve=serve)
    for text in ("tcp://eth0:1", "tcp://gateway.example:1", "tcp://[::1:1"):
        with pytest.raises(ConfigError):
            check_endpoint("k", text, serve=True)
    assert check_endpoint("k", "tcp://gateway.example:1", serve=False) == "tcp://gateway.example:1"
    for text in ("tcp://:1", "tcp://*:1", "tcp://h:0"):
        with pytest.raises(ConfigError, match="k must name a host and a port"):
            check_endpoint("k", text, serve=False)


async def test_a_server_that_is_not_the_peer_is_told_and_left(
    root: Path, net: TcpNet, context: zmq.Context[Any], until: Callable[..., Any], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """No CURVE at the port, then another key, then the peer itself: only that is listened to."""
    monkeypatch.setattr("hftpy.ipc.curve_link.RECONNECT_S", 0.2)
    b = TcpSystem(net, "b", root)
    ran: list[Any] = []
    b.register_handler("go", ran.append)
    b.connect_to_process("a")
    b.start()
    frame = b"b.go".ljust(64) + (
        b'{"command_id":"a_1_1","sender_id":"a","target_id":"b","command_type":"go","payload":{},"timestamp":1}'
    )
    for kind in ("keyless", "another key"):
        impostor = context.socket(zmq.XPUB)
        impostor.linger = 0
        if kind == "another key":
            impostor.curve_server = True
            impostor.curve_secretkey = new_key_pair("imp", net.folder).secret_key.reveal().encode()
        impostor.bind(net.at("a"))
        before = b.stats["tcp_refused"]
        await until(lambda before=before: b.stats["tcp_refused"] > before, kind)
        impostor.send(frame)
        assert not impostor.poll(50)
        impostor.close()
        await until(lambda: is_free(net.at("a")), "libzmq has closed the port")
    assert "no connection to a at tcp://127.0.0.1:" in caplog.text
    a = TcpSystem(net, "a", root)
    a.start()
    assert await a.ready("b", 20) and not ran
    assert (await a.call("b", "go")).ok and len(ran) == 1
    await a.stop(), await b.stop()


async def test_large_results_fit_what_a_port_takes(root: Path, net: TcpNet) -> None:
    """Many that end at once, the largest there are, an error without end: each in frames that the port takes."""
    a, b = net.system("a", root), net.system("b", root)
    gate = asyncio.Event()

    async def large(command: Any) -> str:
        await gate.wait()
        return "x" * 500_000

    def fails(command: Any) -> None:
        raise ValueError("y" * 20_000_000)

    for number in range(12):
        b.register_handler(f"large{number}", large, lane=str(number))
    b.register_handler("wide", lambda command: "\U0001f600" * 500_000)
    b.register_handler("fails", fails)
    a.connect_to_process("b"), b.connect_to_process("a")
    a.start(), b.start()
    assert await a.ready("b", 20)
    sent = [a.send_command("b", f"large{number}", timeout=30.0) for number in range(12)]
    for command_id in sent:
        await a.wait(command_id, "recv")
    gate.set()
    assert [len((await a.wait(command_id)).value) for command_id in sent] == [500_000] * 12
    assert len((await a.call("b", "wide", timeout=30.0)).value) == 500_000
    failed = await a.call("b", "fails", timeout=30.0)
    assert failed.error.startswith("ValueError: yyy") and len(failed.error) < 20_000
    assert a.stats["tcp_accepted"] == 1 and a.stats["resent"] == 0
    await a.stop(), await b.stop()


async def test_nobody_is_let_in_where_nobody_answers(
    root: Path,
    net: TcpNet,
    until: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard fails to look at the keys: it says so, lets nobody in, and lives on."""
    async with market(root, net) as (publisher, _, observer):
        listener = publisher._addresses[KRAKEN, Channel.TICKER].listener
        assert listener is not None
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(listener, "answer", None)
            second = net.subscriber([(KRAKEN, Channel.TICKER, "")], root, "mm2")
            seen = Observer()
            second.bind_observer(seen)
            task = asyncio.create_task(second.start())
            await until(lambda: "nobody was let in" in caplog.text and second.stats["tcp_refused"])
            publisher.send(ticker(1))
            await until(lambda: observer.log)
            assert not seen.log
        await until(lambda: seen.log)
        second.stop()
        await task
