"""The programs of the command system's specification, as they stand there (imports added where it leaves them out)."""

import asyncio
import re
import signal

import pytest

from hftpy.ipc import IPCCommandSystem

STRATEGY = """
import asyncio
from hftpy.ipc import IPCCommandSystem, IPCCommand


class StrategyService:

    def __init__(self):
        self.command_system = IPCCommandSystem("strategy_01")

    async def start(self):
        # what to do with which command
        self.command_system.register_handler("start_trading", self.handle_start_trading)
        self.command_system.register_handler("stop_trading", self.handle_stop_trading)

        # whose commands to hear
        await self.command_system.connect_to_process("gateway")

        # from here on
        await self.command_system.start()

    async def stop(self):
        await self.command_system.stop()

    # a callback
    def handle_start_trading(self, command: IPCCommand):
        print(f"told to start: {command.payload}")

    # a callback
    def handle_stop_trading(self, command: IPCCommand):
        print(f"told to stop: {command.payload}")


async def main():
    service = StrategyService()
    await service.start()

    # stay, and wait for commands
    try:
        while True:
            await asyncio.sleep(1)
    except KeyboardInterrupt:
        await service.stop()


if __name__ == "__main__":
    asyncio.run(main())
"""

PUBLISHER = """
import asyncio
from hftpy.ipc import IPCCommandSystem


async def main():
    # the command system of this process
    system = IPCCommandSystem("gateway")
    await system.start()

    # to one process
    await system.send_command(
        target_id="strategy_01",
        command_type="start_trading",
        payload={"symbol": "btc/usdt"}
    )

    # to everybody who listens
    await system.broadcast(
        command_type="BROADCAST",
        payload={"reason": "maintenance"}
    )

    await system.stop()


asyncio.run(main())
"""


def publisher(*, awaited: bool, broadcast: str = "shutdown") -> str:
    text = PUBLISHER.replace("BROADCAST", broadcast)
    return text if awaited else text.replace("await system.", "system.")


@pytest.mark.parametrize("awaited", [True, False])
async def test_the_service_program_obeys_the_publisher_program(start, tmp_path, left_behind, awaited):
    (tmp_path / "strategy.py").write_text(STRATEGY)
    (tmp_path / "publisher.py").write_text(publisher(awaited=awaited, broadcast="stop_trading"))
    strategy = await start("strategy.py")
    while not left_behind():
        await asyncio.sleep(0.02)
    gateway = await start("publisher.py")
    assert await gateway.end(None) == 0, gateway.text
    await strategy.says("told to start: {'symbol': 'btc/usdt'}", "told to stop: {'reason': 'maintenance'}")
    text = strategy.text
    assert text.index("told to start") < text.index("told to stop")
    assert (text.count("told to start"), text.count("told to stop")) == (1, 1)
    await strategy.end()
    assert left_behind() == []


async def test_publisher_first_and_the_service_program_two_seconds_later(start, tmp_path, root):
    (tmp_path / "strategy.py").write_text("import time; time.sleep(2)\n" + STRATEGY)
    strategy = await start("strategy.py")
    gateway = IPCCommandSystem("gateway")
    gateway.start()
    gateway.send_command("strategy_01", "start_trading", {"symbol": "btc/usdt"})
    await strategy.says("told to start: {'symbol': 'btc/usdt'}")
    await gateway.stop()
    await strategy.end()


HEAD = """
import logging
from datetime import datetime
from hftpy.ipc import IPCCommand, IPCCommandSystem
from hftpy.service import ServiceBase

logger = logging.getLogger(__name__)

"""

SUBSCRIBER_SERVICE = HEAD + """
class MMDemoService(ServiceBase):

    def on_setup(self) -> bool:
        # what to do with which command
        self.ipc_command.register_handler("start_trading", self.on_start_trading)
        self.ipc_command.register_handler("stop_trading", self.on_stop_trading)
        return True

    async def on_start_trading(self, command: IPCCommand):
        # handles start_trading
        logger.info(f"told to start: {command.payload}")

    async def on_stop_trading(self, command: IPCCommand):
        # handles stop_trading
        logger.info(f"told to stop: {command.payload}")
"""

PUBLISHER_SERVICE = HEAD + """
class MMDemoService(ServiceBase):

    async def on_start(self):
        # to one process
        await self.ipc_command.send_command(
            target_id="strategy_01",
            command_type="start_trading",
            payload={"symbol": "btc/usdt"}
        )

        # to everybody who listens
        await self.ipc_command.broadcast(
            command_type="shutdown",
            payload={"reason": "maintenance"}
        )
"""

PROCESS_A = HEAD + """
class ProcessAService(ServiceBase):

    def on_setup(self) -> bool:
        # what comes back
        self.ipc_command.register_handler("pong", self.on_pong)
        return True

    def task_send_ping(self):
        # a timer: sends a ping
        self.run_once(
            self.ipc_command.send_command,
            "process_b",  # to whom
            "ping",       # what
            {"time": datetime.now().isoformat()}
        )

    async def on_pong(self, command: IPCCommand):
        # the answer
        logger.info(f"pong: {command.payload}")
"""

PROCESS_B = HEAD + """
class ProcessBService(ServiceBase):

    def on_setup(self) -> bool:
        # what is asked
        self.ipc_command.register_handler("ping", self.on_ping)
        return True

    async def on_ping(self, command: IPCCommand):
        # answers a ping
        logger.info(f"ping: {command.payload}")

        # back to whoever sent it
        await self.ipc_command.send_command(
            command.sender_id,
            "pong",
            {"original_time": command.payload.get("time")}
        )
"""


def section(class_name, name, others, **more):
    setting = {"ipc_command_publisher": name, "ipc_command_subscribers": others, **more}
    return {"class_name": class_name, "setting": setting}


TIMER = {"tasks": {"send_ping": {"interval": 0.2}}}
SECTION_A = section("ProcessAService", "process_a", ["process_b"], **TIMER)
SECTION_B = section("ProcessBService", "process_b", ["process_a"])
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?"


def check_ping_pong(asked, answered):
    pings = {found[0] for found in re.finditer(ISO, " ".join(re.findall(r"ping: (.*)", asked)))}
    pongs = [found[0] for found in re.finditer(ISO, " ".join(re.findall(r"pong: (.*)", answered)))]
    assert pongs and set(pongs) <= pings and len(set(pongs)) == len(pongs)
    assert re.search(rf"ping: {{'time': '{ISO}'}}", asked)
    assert re.search(rf"pong: {{'original_time': '{ISO}'}}", answered)


async def test_ping_pong_of_one_config(run, project, left_behind):
    config = project(
        "both", {"service.process_a": SECTION_A, "service.process_b": SECTION_B}, process_a=PROCESS_A,
        process_b=PROCESS_B,
    )  # fmt: skip
    both = await run(config)
    await both.says("ping: ", "pong: ", times=3)
    assert await both.end(signal.SIGINT) == 0, both.text
    check_ping_pong(both.text, both.text)
    assert "Traceback" not in both.text and "WARNING" not in both.text
    assert both.survivors() == [] and left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ping_pong_of_two_configs_whose_sections_have_one_name(run, project, left_behind, number):
    b = await run(project("b", {"service.mm_demo": SECTION_B}, mm_demo=PROCESS_B))
    a = await run(project("a", {"service.mm_demo": SECTION_A}, mm_demo=PROCESS_A))
    await asyncio.gather(a.says("pong: ", times=3), b.says("ping: ", times=3))
    assert [await program.end(number) for program in (a, b)] == [0, 0], a.text + b.text
    check_ping_pong(b.text, a.text)
    assert a.survivors() + b.survivors() == [] and left_behind() == []


async def test_ping_pong_of_two_configs_with_the_class_name_of_the_specification(run, project):
    source = {"a": PROCESS_A + "\nMMDemoService = ProcessAService\n", "b": PROCESS_B.replace("ProcessB", "MMDemo")}
    a = await run(project("a", {"service.mm_demo": SECTION_A | {"class_name": "MMDemoService"}}, mm_demo=source["a"]))
    b = await run(project("b", {"service.mm_demo": SECTION_B | {"class_name": "MMDemoService"}}, mm_demo=source["b"]))
    await a.says("pong: ", times=2)
    assert [await program.end() for program in (b, a)] == [0, 0]


@pytest.mark.parametrize("sync", [False, True])
async def test_a_service_obeys_its_handlers_of_either_kind(run, project, root, left_behind, sync):
    source = SUBSCRIBER_SERVICE.replace("    async def", "    def") if sync else SUBSCRIBER_SERVICE
    config = project("mm", {"service.mm_demo": section("MMDemoService", "strategy_01", ["gateway"])}, mm_demo=source)
    service = await run(config)
    await service.says("runs (MMDemoService)")
    gateway = IPCCommandSystem("gateway")
    await gateway.start()
    await gateway.send_command(target_id="strategy_01", command_type="start_trading", payload={"symbol": "btc/usdt"})
    await gateway.send_command("strategy_01", "stop_trading", {"n": 1})
    await service.says("told to start: {'symbol': 'btc/usdt'}", "told to stop: {'n': 1}")
    await gateway.broadcast("stop_trading", {"n": 2})
    await service.says("told to stop: {'n': 2}")
    await gateway.stop()
    assert await service.end() == 0
    assert left_behind() == []


async def test_a_service_sends_from_its_config_to_the_service_program(run, project, left_behind):
    config = project("gateway", {"service.mm_demo": section("MMDemoService", "gateway", ["mm1", "mm2"])},
                     mm_demo=PUBLISHER_SERVICE)  # fmt: skip
    listener = project("mm", {"service.mm_demo": section("MMDemoService", "strategy_01", ["gateway"])},
                       mm_demo=SUBSCRIBER_SERVICE)  # fmt: skip
    strategy = await run(listener)
    await strategy.says("runs (MMDemoService)")
    gateway = await run(config)
    await strategy.says("told to start: {'symbol': 'btc/usdt'}", "shutdown asked by gateway")
    assert await strategy.end(None) == 0
    assert await gateway.end() == 0
    assert left_behind() == []
