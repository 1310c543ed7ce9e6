"""Random interrupts, pauses and releases of a service whose rounds are a script, against a model that only walks it."""

import asyncio
import os
import random
from pathlib import Path

import pytest
from interruption_model import GATES, POINTS, Model

from hftpy.errors import Interrupted
from hftpy.service import ServiceBase, parse_section, rounds

LONG = 900.0
HISTORIES, OPERATIONS = 60, 40


def steps(seed: int):
    chosen = random.Random(seed)
    step = "sleep"
    while True:
        yield step
        step = chosen.choice([*POINTS, *GATES, "mask", "end"])
        if step == "end":
            yield step
            step = chosen.choice([*POINTS, *GATES])


class Scripted(ServiceBase):
    def __init__(self, config, seed):
        super().__init__(config)
        self.script = steps(seed)
        self.chosen = random.Random(seed)
        self.log = []
        self.watched = []
        self.gate = asyncio.Event()
        self.rounds_now = 0
        self.hooks = []

    def on_start(self):
        self._spawn(self.watch(), "watch")

    async def watch(self):
        while (left := await self.sleep(LONG)).command is not None:
            self.watched.append(left.command.payload["n"])

    async def wait(self):
        """As long as nobody interrupts, in ways that have their own ideas of cancellation."""
        never = asyncio.Event()
        try:
            match self.chosen.randint(0, 5):
                case 0:
                    await never.wait()
                case 1:
                    await asyncio.gather(never.wait(), asyncio.sleep(LONG))
                case 2:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(never.wait())
                        group.create_task(asyncio.sleep(LONG))
                case 3:
                    async with asyncio.timeout(LONG):
                        await never.wait()
                case 4:
                    await asyncio.shield(asyncio.get_running_loop().create_future())
                case 5:
                    await asyncio.wait_for(never.wait(), LONG)
        finally:
            for _ in range(self.chosen.randint(0, 2)):
                await asyncio.sleep(0)

    async def sleep_once(self):
        left = await self.sleep(LONG)
        self.log.append(("sleep", left.command.payload["n"]))

    async def nested(self):
        try:
            await self.interruptible(self.wait())
        except Interrupted as interrupted:
            self.log.append(("inner", interrupted.command.payload["n"]))

    async def scope(self, inner):
        try:
            await self.interruptible(inner)
        except Interrupted as interrupted:
            self.log.append(("scope", interrupted.command.payload["n"]))

    async def step(self, step):
        match step:
            case "sleep":
                await self.sleep_once()
            case "scope":
                await self.scope(self.wait())
            case "scoped sleep":
                await self.scope(self.sleep_once())
            case "nested":
                await self.scope(self.nested())
            case "plain":
                await self.pass_gate()
            case "mask":
                with self.uninterruptible():
                    await self.pass_gate()

    async def pass_gate(self):
        self.gate.clear()
        await self.gate.wait()

    async def next(self):
        self.rounds_now += 1
        assert self.rounds_now == 1
        try:
            for step in self.script:
                task = asyncio.current_task()
                assert task.cancelling() == 0
                if step == "end":
                    self.log.append(("end", 0))
                    return
                await self.step(step)
                if step in GATES:
                    self.log.append((step, 0))
        except asyncio.CancelledError:
            self.log.append(("cancelled", 0))
            raise
        finally:
            self.rounds_now -= 1

    def on_pause(self):
        assert self.rounds_now == 0
        self.hooks.append("on_pause")

    def on_resume(self):
        assert self.rounds_now == 0
        self.hooks.append("on_resume")

    def on_stop(self):
        assert self.rounds_now == 0
        self.hooks.append("on_stop")


async def history(seed: int, eventually) -> None:
    chosen = random.Random(f"operations {seed}")
    config = parse_section(f"test.s{seed}", {"class_name": "x:Y", "setting": {}}, Path("."))
    service, model = Scripted(config, seed), Model(steps(seed))
    before = len(asyncio.all_tasks())
    running = asyncio.create_task(service.run())
    interrupts = service._interrupts
    number, hooks, story = 0, [], []

    def as_the_model() -> bool:
        # A pause is told when the block has ended that holds it up.
        return service.log == model.log and (is_held_up() or service.hooks == hooks)

    def is_held_up() -> bool:
        return model.paused and model.at == "mask"

    async def at_rest() -> None:
        try:
            async with asyncio.timeout(10):
                while not as_the_model():
                    await asyncio.sleep(0)
        except TimeoutError:
            pass
        for _ in range(25):
            await asyncio.sleep(0)
        said = f"seed {seed}: {story}\nis      {service.log}\nmust be {model.log}\n{service.hooks} {hooks}"
        assert as_the_model(), said
        assert service.watched == [*range(1, number + 1)], said
        assert service.counters["errors"] == 0, said
        # Every interrupt was taken once, or is kept; none is lost without being counted.
        held = len(model.pending) + len(model.held)
        assert interrupts.delivered == model.reached - held + number, said
        assert interrupts.dropped == interrupts.swallowed == 0, said

    await eventually(lambda: service._interrupts.waiting == 2)
    await at_rest()
    for _ in range(OPERATIONS):
        match chosen.choice(["interrupt", "interrupt", "release", "release", "pause", "resume", "resume", "both"]):
            case "interrupt":
                numbers = [*range(number + 1, number + 1 + chosen.choice([1, 1, 2, 3]))]
                number = numbers[-1]
                story.append(("interrupt", numbers))
                for each in numbers:
                    service.interrupt("go", {"n": each})
                model.interrupt(numbers)
            case "release":
                story.append("release")
                service.gate.set()
                model.release()
            case "pause" if model.held:
                continue  # whether it meets the clean-up of what the interrupts have ended is not for the model to say
            case "pause":
                story.append("pause")
                if not model.paused:
                    hooks.append("on_pause")
                service.pause()
                model.pause()
            case "resume":
                story.append("resume")
                if model.paused:
                    hooks.append("on_resume")
                service.resume()
                model.resume()
            case "both":
                if model.paused or model.at == "mask":
                    continue
                story.append("pause and resume")
                hooks += ["on_pause", "on_resume"]
                service.pause()
                service.resume()
                model.pause()
                model.resume()
        await at_rest()
        while is_held_up():
            story.append("release")
            service.gate.set()
            model.release()
            await at_rest()
    service.request_stop()
    if model.at == "mask":
        await asyncio.sleep(0)
        service.gate.set()
    async with asyncio.timeout(20):
        await running
    assert service.hooks == [*hooks, "on_stop"], f"seed {seed}"
    assert service.stuck_tasks == [] and interrupts.waiting == 0 and not interrupts._due, f"seed {seed}"
    assert service.counters["errors"] == 0, f"seed {seed}"
    await eventually(lambda: len(asyncio.all_tasks()) == before)


@pytest.fixture
def no_rest(monkeypatch):
    monkeypatch.setattr(rounds, "LEAST_ROUND_S", 1e-9)


async def test_random_histories_are_as_the_model_says(root, eventually, no_rest):
    base = int(os.environ.get("HFTPY_SEED", "1"))
    for seed in range(base, base + int(os.environ.get("HFTPY_HISTORIES", HISTORIES))):
        async with asyncio.timeout(120):
            await history(seed, eventually)


async def unrest(seed: int) -> None:
    """The same at any moment, also while something cleans up: what is taken when is open, the accounts are not."""
    chosen = random.Random(f"unrest {seed}")
    config = parse_section(f"test.u{seed}", {"class_name": "x:Y", "setting": {}}, Path("."))
    service = Scripted(config, seed)
    interrupts = service._interrupts
    before = len(asyncio.all_tasks())
    running = asyncio.create_task(service.run())
    reached = number = 0
    asked = []

    def check() -> None:
        taken = [number for _, number in service.log if number]
        assert taken == sorted(set(taken)), f"seed {seed}: {service.log}"
        assert service.watched == sorted(set(service.watched)), f"seed {seed}"

    for _ in range(300):
        for _ in range(chosen.choice([0, 0, 1, 1, 2, 3, 8])):
            await asyncio.sleep(0)
        match chosen.randint(0, 9):
            case 0 if service.has_run:
                asked.append("on_pause" if not service.paused else "on_resume")
                (service.resume if service.paused else service.pause)()
            case 1 | 2 | 3 | 4:
                number += 1
                reached += service.interrupt("go", {"n": number})
            case _:
                service.gate.set()
        check()
    async with asyncio.timeout(30):
        while service.hooks != asked:
            await asyncio.sleep(0)
            service.gate.set()
    for _ in range(30):
        await asyncio.sleep(0)
        service.gate.set()
    waiting = sum(map(len, interrupts._pending.values()))
    assert reached == interrupts.delivered + interrupts.dropped + waiting, f"seed {seed}: {service.log}"
    assert interrupts.swallowed == 0 and interrupts.waiting <= 2, f"seed {seed}"
    assert service.hooks == asked, f"seed {seed}"
    service.request_stop()
    async with asyncio.timeout(20):
        while not running.done():
            service.gate.set()
            await asyncio.sleep(0)
    check()
    assert service.hooks[-1] == "on_stop" and service.counters["errors"] == 0, f"seed {seed}: {service.hooks}"
    assert service.stuck_tasks == [] and interrupts.waiting == 0, f"seed {seed}"
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before, f"seed {seed}"


async def test_every_interrupt_is_accounted_for_at_any_moment(root, no_rest):
    base = int(os.environ.get("HFTPY_SEED", "1"))
    for seed in range(base, base + int(os.environ.get("HFTPY_HISTORIES", HISTORIES))):
        async with asyncio.timeout(60):
            await unrest(seed)
