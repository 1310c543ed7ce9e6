"""What a user gets wrong with `hftpy run`: one clear line, a status, and nothing left behind."""

import asyncio
import importlib
import os
import sys

import pytest

from hftpy.common import Exchange
from hftpy.common.paths import MAX_SOCKET_PATH_BYTES
from hftpy.service import load_config, run_service

SERVICE = """
from hftpy.service import ServiceBase


class MMDemoService(ServiceBase):
    pass
"""


def section(class_name="MMDemoService", **setting):
    return {"service.mm_demo": {"class_name": class_name, "setting": setting}}


@pytest.fixture
def forget_modules(root, monkeypatch):
    """Services of one name in one process: nothing of them stays imported."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "service"]:
        del sys.modules[name]
    importlib.invalidate_caches()


async def refused(program, *texts, status=2):
    """The program ends with a status and a line that says these texts, and without a traceback."""
    assert await program.end(None) == status, program.text
    assert any(all(text in line for text in texts) for line in program.text.splitlines()), program.text
    assert "Traceback" not in program.text
    assert program.survivors() == []


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (
            {"ipc_comand_publisher": "gateway"},
            "service.mm_demo.setting has an unknown key 'ipc_comand_publisher': did you mean 'ipc_command_publisher'?",
        ),
        (
            {"streams": [{"exchange": "kraken", "subscribe_channel": ["ticker"]}]},
            "streams[0] has an unknown key 'subscribe_channel': did you mean 'subscribe_channels'?",
        ),
        ({"ipc_command_publisher": "a b"}, "setting.ipc_command_publisher: a process id must be"),
    ],
)
async def test_a_config_that_cannot_be_used_is_told_in_one_line(run, project, setting, text):
    program = await run(project("mm", section(**setting), mm_demo=SERVICE))
    await refused(program, "hftpy: ", text)
    assert len(program.text.splitlines()) == 1


async def test_a_config_that_is_none(run, project, tmp_path):
    await refused(await run(tmp_path / "nowhere.json"), "nowhere.json cannot be read: No such file or directory")
    await refused(await run(project("mm", "{")), "config.json is no JSON")
    await refused(await run(project("mm", "{}")), "must be an object with a section per service")
    twice = {name: {"class_name": "A", "setting": {"ipc_command_publisher": "gateway"}} for name in ("a", "b")}
    await refused(await run(project("mm", twice)), "a and b are both the process 'gateway'")


@pytest.mark.parametrize(
    ("sections", "modules", "text"),
    [
        (section(), {}, "no module 'service.mm_demo' in "),
        (section("MMDemo"), {"mm_demo": SERVICE}, "service.mm_demo has no subclass of ServiceBase named 'MMDemo'"),
        (section("json:JSONDecoder"), {}, "json has no subclass of ServiceBase named 'JSONDecoder'"),
        (section(tasks={"ping": {"interval": 1}}), {"mm_demo": SERVICE}, "MMDemoService has no task_ping()"),
        (section(), {"mm_demo": SERVICE.replace("pass", "on_setup = lambda self: False")}, "on_setup returned False"),
        (
            section(streams=[{"exchange": "kraken", "subscribe_channels": ["balance"], "currency_pairs": ["btc/usd"]}]),
            {"mm_demo": SERVICE}, "setting.streams[0]: KrakenStream has no channel 'balance'",
        ),
        (
            section(streams=[{"exchange": "kraken", "subscribe_channels": ["my_order"]}]),
            {"mm_demo": SERVICE}, "api_key and api_secret of kraken are needed for my_order",
        ),
        (
            section(ipc_subscribers=[{"exchange": "kraken", "channel": "ticker", "symbols": ["a" * 30 + "/usd"]}]),
            {"mm_demo": SERVICE}, "at most 32 bytes",
        ),
        (
            section(),
            {"mm_demo": SERVICE.replace("pass", "def on_setup(self): self.ipc_command.register_handler('x', print)")},
            "service.mm_demo.setting.ipc_command_publisher is not set",
        ),
    ],
    ids=["module", "class", "kind", "task", "aborted", "channel", "keys", "topic", "commands"],
)  # fmt: skip
def test_a_service_that_cannot_be_started_says_why(
    project, forget_modules, left_behind, caplog, sections, modules, text
):
    [config] = load_config(project("mm", sections, **modules))
    assert run_service(config) == 2
    [message] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert text in message and "\n" not in message
    assert not any(record.exc_info for record in caplog.records)
    assert left_behind() == []


async def test_one_service_that_cannot_be_started_ends_all(run, project, left_behind):
    sections, text = section("MMDemo"), "service.mm_demo has no subclass of ServiceBase named 'MMDemo'"
    other = {"service.other": {"class_name": "MMDemoService", "setting": {"ipc_command_publisher": "other"}}}
    program = await run(project("mm", sections | other, mm_demo=SERVICE, other=SERVICE))
    await refused(program, text)
    assert "mm_demo (process" in program.text and "exited with status 2" in program.text
    assert left_behind() == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import nowhere_to_be_found\n", "cannot be started: ModuleNotFoundError"),
        (SERVICE.replace("pass", "def on_setup(self): return self.no_such"), "cannot be started: AttributeError"),
    ],
    ids=["import", "setup"],
)
async def test_code_that_fails_before_it_runs_ends_all_with_its_traceback(run, project, left_behind, source, text):
    other = {"service.other": {"class_name": "MMDemoService", "setting": {"ipc_command_publisher": "other"}}}
    program = await run(project("mm", section() | other, mm_demo=source, other=SERVICE))
    assert await program.end(None) == 2
    assert text in program.text and program.text.count("Traceback") == 1
    assert program.survivors() == [] and left_behind() == []


async def test_a_second_run_of_one_config(run, project, status_of, eventually):
    config = project("mm", section(ipc_command_publisher="mm_demo"), mm_demo=SERVICE)
    first = await run(config)
    await first.says("runs (MMDemoService)")
    await refused(await run(config), "mm_demo", "the name mm_demo under", "is in use by another process")
    pids = {process.pid for process in first.family}
    assert first.process.returncode is None
    await eventually(lambda: status_of("mm_demo")["state"] == "running" and status_of("mm_demo")["pid"] in pids)
    assert await first.end() == 0


async def test_a_second_publisher_of_a_channel(run, project, venue, left_behind):
    stream = {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
        "api_host": venue.ws_url(Exchange.KRAKEN),
    }  # fmt: skip
    publishing = {"streams": [stream], "ipc_publish": {"channels": ["ticker"]}}
    first = await run(project("a", section(ipc_command_publisher="a", **publishing), mm_demo=SERVICE))
    await first.says("runs (MMDemoService)")
    second = await run(project("b", section(ipc_command_publisher="b", **publishing), mm_demo=SERVICE))
    await refused(second, "kraken.ticker.ipc is in use by another process")
    assert await first.end() == 0
    assert left_behind() == []


@pytest.mark.parametrize(
    ("kind", "way"),
    [(kind, "option") for kind in ("file", "symlink", "mode", "owner", "long", "missing")]
    + [(kind, "environment") for kind in ("file", "missing")],
)
async def test_a_root_that_cannot_be_used(run, project, tmp_path, kind, way):
    path = tmp_path / "chosen"
    text = ""
    match kind:
        case "file":
            path.write_text("")
            text = "File exists"
        case "symlink":
            (tmp_path / "real").mkdir(mode=0o700)
            path.symlink_to(tmp_path / "real")
            text = "must not be a symbolic link"
        case "mode":
            path.mkdir()
            path.chmod(0o777)
            text = "is writable by others (mode 777)"
        case "owner":
            if os.getuid() != 0:
                pytest.skip("only root can give a folder to somebody else")
            path.mkdir(mode=0o700)
            os.chown(path, 65534, 65534)
            text = "belongs to user 65534, not to 0"
        case "long":
            path = tmp_path / ("x" * 100)
            text = f"a socket's path must have at most {MAX_SOCKET_PATH_BYTES} bytes"
        case "missing":
            path = tmp_path / "a" / "b" / "c"
    config = project("mm", section(ipc_command_publisher="mm_demo"), mm_demo=SERVICE)
    program = await (run(config, "--root", path) if way == "option" else run(config, HFT_ROOT=path))
    if kind == "missing":
        await program.says("runs (MMDemoService)")
        assert path.stat().st_mode & 0o777 == 0o700
        assert await program.end() == 0
    else:
        await refused(program, text)


async def test_ctrl_c_at_any_moment(run, project, left_behind):
    sections = {
        f"service.{name}": {"class_name": "MMDemoService", "setting": {"ipc_command_publisher": name}}
        for name in ("one", "two")
    }
    config = project("mm", sections, one=SERVICE, two=SERVICE)
    for delay in (0.0, 0.2, 0.4):  # from before the services listen until they run
        program = await run(config)
        while not program.family:
            program.look()
            await asyncio.sleep(0.01)
        await asyncio.sleep(delay)
        assert await program.end() == 0, program.text
        assert program.survivors() == [] and left_behind() == []
