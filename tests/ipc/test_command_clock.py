"""Deadlines of senders on other hosts, whose monotonic clock is not ours."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tcp_net import TcpNet

from hftcore.topic import command_topic
from hftpy.ipc import CommandState
from hftpy.ipc.command import Keys, encode_head, encode_tail
from hftpy.ipc.command_clock import WINDOW_US, ForeignClock
from hftpy.ipc.command_handlers import make_registered
from hftpy.ipc.command_protocol import Ask, AskItem, Hello
from hftpy.ipc.command_receiver import CommandReceiver
from hftpy.ipc.command_session import Received


def test_the_least_delay_tells_the_difference() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for difference in (-(10**12), -7, 0, 10**12):
        clock = ForeignClock()
        assert clock.to_local_us("life", 5) is None
        quickest = []
        for step in range(200):
            sent = 10**13 + step * 1_000_000
            delay = rng.randrange(50, 5_000_000)
            clock.observe("life", (sent + difference + delay) / 1e6, sent)
            quickest.append(delay)
            error = clock.to_local_us("life", sent) - (sent + difference)  # type: ignore[operator]
            # At least the last window counts, at most the last two; frames overtake each other by up to 5 s here.
            window = WINDOW_US // 1_000_000
            at_least, at_most = quickest[-(2 * window + 10) :], quickest[-(window - 10) :]
            assert min(at_least) - 1 <= error <= min(at_most) + 1, (difference, step)


def test_a_clock_that_drifts_is_followed_and_a_silent_one_kept() -> None:
    """50 ppm for a day, a frame a minute: neither early nor late by more than some ms."""
    clock = ForeignClock()
    for slower in (False, True):
        boot = f"drift {slower}"
        for minute in range(24 * 60):
            now_us = minute * 60_000_000
            drift = 1 - 50e-6 if slower else 1 + 50e-6
            sent = int(now_us * drift) + 10**9
            clock.observe(boot, (now_us + 500) / 1e6, sent)
            error = clock.to_local_us(boot, sent) - now_us  # type: ignore[operator]
            assert -3100 <= error <= 501, (slower, minute)  # what the clocks drift in a minute
    # A day of silence, then a frame that does not say when it was sent: what was known is kept.
    assert abs(clock.to_local_us(boot, sent) - now_us) < 3100  # type: ignore[operator]
    # The first frame after it that does: what the clocks have drifted meanwhile does not count.
    later_us = now_us + 86_400_000_000
    sent = int(later_us * drift) + 10**9
    clock.observe(boot, (later_us + 500) / 1e6, sent)
    assert 0 <= clock.to_local_us(boot, sent) - later_us <= 501  # type: ignore[operator]
    # The host was started again: another life, another difference, at once.
    clock.observe("reborn", now_us / 1e6, 5)
    assert clock.to_local_us("reborn", 5) == now_us


class Receiver:
    """A receiver that knows its sender over tcp, as its difference of clocks."""

    def __init__(self, difference: float, *, foreign: bool = True) -> None:
        self.difference = difference
        self.ran: list[str] = []
        self.now = 2e6
        registered = make_registered(
            "go", print, lane=None, timeout=None, idempotent=False, durable=False, senders=None
        )  # fmt: skip
        self.receiver = CommandReceiver("b", "bb", start=self.now - 100, handlers={"go": registered}, run=self.run)
        if foreign:
            self.receiver.foreign["a"] = ForeignClock()
        self.seq = 0

    def run(self, entry: Received) -> bool:
        if self.receiver.may_start(self.now, entry):
            self.ran.append(entry.command.command_id)
        return True

    def hello(self, delay: float = 0.0) -> None:
        self.receiver.on_hello(
            self.now, "a", Hello("a", "aa", 2, {}, int((self.now - delay - self.difference) * 1e6))
        )  # fmt: skip

    def send(self, *, age: float, ttl: float, attempt: int = 1, sender: str = "a") -> str:
        """A command that was first sent `age` s ago arrives."""
        self.seq += 1
        command_id = f"a_1_{self.seq}"
        keys = Keys(
            "aa", self.seq, 1, int(ttl * 1000), int((self.now - age - self.difference) * 1e6), "done", attempt, ""
        )  # fmt: skip
        head = encode_head(command_id, sender, "b", "go", "{}", 5)
        self.receiver.on_frame(self.now, "a", command_topic("b", "go") + head + encode_tail(keys))
        return command_id


@pytest.mark.parametrize("difference", [-900.0, -0.5, 0.0, 1e6])
def test_deadlines_across_hosts(difference: float) -> None:
    to = Receiver(difference)
    to.hello(delay=0.001)
    in_time = to.send(age=0.01, ttl=1.0)
    assert to.ran == [in_time] and to.receiver.expired == 0
    # Held up on the way for longer than its deadline: refused, whoever's clock says so.
    to.send(age=3.0, ttl=1.0)
    assert to.ran == [in_time] and to.receiver.expired == 1
    again = to.send(age=3.0, ttl=4.0)
    assert to.ran == [in_time, again]
    # Whoever asks after a deadline is told that it has passed, not that it shall be sent again.
    deadline_us = int((to.now - 1.0 - difference) * 1e6)
    to.receiver.take_answers()
    to.receiver.on_ask(to.now, "a", Ask("aa", [AskItem("a_1_99", "b", "go", 99, "bb", deadline_us)], {}, {}, {}))
    answer = to.receiver.take_answers()[0][1]
    assert not answer.missing and answer.done[0].reason == "expired"
    to.receiver.on_ask(
        to.now, "a", Ask("aa", [AskItem("a_1_98", "b", "go", 98, "bb", deadline_us + 3_000_000)], {}, {}, {})
    )  # fmt: skip
    assert to.receiver.take_answers()[0][1].missing == ["a_1_98"]


@pytest.mark.parametrize("difference", [-900.0, 1e6])
def test_without_the_difference_it_would_be_wrong(difference: float) -> None:
    """What the rule is for: on one host the sender's clock is believed as it is."""
    to = Receiver(difference, foreign=False)
    to.hello()
    fresh = to.send(age=0.0, ttl=1.0)
    to.send(age=3.0, ttl=1.0)
    assert to.ran != [fresh] or to.receiver.expired != 1


def test_a_first_frame_without_a_hello_counts_from_its_arrival() -> None:
    to = Receiver(1e6)
    first = to.send(age=0.0, ttl=1.0)
    to.receiver.poll(to.now + 1.0)  # its order is not known: it waited a little
    assert to.ran == [] or to.ran == [first]
    to = Receiver(1e6)
    to.send(age=50.0, ttl=1.0, attempt=2)
    to.hello(delay=0.0)
    assert to.receiver.expired == 0


def test_a_name_that_is_not_the_keys_is_refused() -> None:
    to = Receiver(0.0)
    to.hello()
    to.send(age=0.0, ttl=1.0, sender="c")
    assert not to.ran and to.receiver.forged == to.receiver.not_allowed == 1 and to.receiver.answers
    local = Receiver(0.0, foreign=False)
    local.hello()
    local.send(age=0.0, ttl=1.0, sender="c")
    assert local.receiver.forged == 0


CHILD = """
import sys, time
offset = float(sys.argv[1])
real, real_ns = time.monotonic, time.monotonic_ns
time.monotonic = lambda: real() + offset
time.monotonic_ns = lambda: real_ns() + int(offset * 1e9)
import asyncio
from hftpy.ipc import IPCCommandSystem, IPCPublisher, TcpEndpoints

async def main():
    folder, root, at, peer = sys.argv[2:6]
    tcp = TcpEndpoints("far", folder=folder, serve={"commands": at}, peers={"near": {"commands": peer}})
    system = IPCCommandSystem("far", root, tcp=tcp)
    done = asyncio.Event()

    async def ask(command):
        # Back to where it came from, from a clock of another host.
        result = await system.call("near", "double", command.payload, timeout=20.0)
        return [str(result.state), result.value]

    async def late(command):
        # It waits behind a slow one for longer than it may.
        slow = system.send_command("near", "slow", timeout=20.0)
        result = await system.wait(system.send_command("near", "double", 1, timeout=0.3))
        return [str(result.state), result.reason, str((await system.wait(slow)).state)]

    system.register_handler("ask", ask)
    system.register_handler("late", late, lane="late")
    system.register_handler("shutdown", lambda command: done.set())
    system.connect_to_process("near")
    system.start()
    await done.wait()
    await system.stop()

asyncio.run(main())
"""


@pytest.mark.parametrize("offset", [1e6, 3e3])
async def test_commands_of_a_process_with_another_clock(
    root: Path, tmp_path: Path, until: Callable[..., Any], offset: float
) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    net = TcpNet(tmp_path / "keys")
    net.key("far")
    near = net.system("near", root)
    near.register_handler("double", lambda command: 2 * command.payload)

    async def slow(command: Any) -> None:
        await asyncio.sleep(0.8)

    near.register_handler("slow", slow)
    near.connect_to_process("far")
    near.start()
    (tmp_path / "far").mkdir(mode=0o700)
    arguments = [str(offset), str(net.folder), str(tmp_path / "far"), net.at("far"), net.at("near")]
    child = subprocess.Popen([sys.executable, "-W", "error", "-c", CHILD, *arguments])
    try:
        assert await near.ready("far", 30)
        assert (await near.call("far", "ask", 21, timeout=20.0)).value == ["done", 42]
        many = [near.send_command("far", "ask", n, timeout=20.0) for n in range(100)]
        assert [(await near.wait(command_id)).value for command_id in many] == [["done", 2 * n] for n in range(100)]
        # A deadline that passes while it waits is refused here, by the other host's clock moved to ours.
        result = await near.call("far", "late", timeout=20.0)
        assert result.value[2] == "done"
        assert result.value[0] in ("unknown", "rejected") and near.stats["expired"] == 1
        assert near.stats["handled"] == 102
        assert (await near.call("far", "shutdown", timeout=20.0)).state is CommandState.DONE
        assert await asyncio.to_thread(child.wait, 30) == 0
    finally:
        child.kill()
        child.wait()
    assert near.stats["forged"] == near.stats["duplicates"] == 0
    await near.stop()
