"""Child processes: how they end is seen and told, and nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from hftpy.worker import Launcher

SLEEPER = "import time\ntime.sleep(600)\n"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('ready', 'w').close()\ntime.sleep(600)\n"
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that a child can run with ``python -m``."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> str:
        (tmp_path / "child_of_test.py").write_text(textwrap.dedent(text))
        return "child_of_test"

    return write


async def test_a_kill_is_told_with_its_signal(module):
    ended = asyncio.Queue()
    launcher = Launcher(ended.put_nowait)
    child = await launcher.start("mm1", [module(SLEEPER)])
    os.kill(child.pid, signal.SIGKILL)
    assert (await ended.get()).ending == "killed by SIGKILL"
    assert not child.asked_to_stop
    await launcher.stop_all()


async def test_an_exit_status_is_told(module):
    ended = asyncio.Queue()
    launcher = Launcher(ended.put_nowait)
    await launcher.start("mm1", [module("raise SystemExit(3)")])
    assert (await ended.get()).ending == "exited with status 3"
    await launcher.stop_all()


async def test_stop_ends_a_child(module):
    launcher = Launcher()
    child = await launcher.start("mm1", [module(SLEEPER)])
    await launcher.stop("mm1")
    assert child.asked_to_stop
    assert not psutil.pid_exists(child.pid)
    await launcher.stop_all()


async def test_a_child_that_will_not_end_is_killed(module, tmp_path, eventually):
    launcher = Launcher()
    child = await launcher.start("mm1", [module(STUBBORN)])
    await eventually((tmp_path / "ready").exists)
    await launcher.stop("mm1", timeout=0.2)
    assert child.ending == "killed by SIGKILL"
    await launcher.stop_all()


async def test_a_running_name_is_not_taken_twice(module):
    launcher = Launcher()
    await launcher.start("mm1", [module(SLEEPER)])
    with pytest.raises(ValueError, match="a child named 'mm1' runs already"):
        await launcher.start("mm1", ["child_of_test"])
    await launcher.stop_all()


def test_children_end_when_their_launcher_is_killed(module, tmp_path):
    module(
        """
        import os, threading
        from hftpy.common.lifeline import watch_lifeline
        gone = threading.Event()
        watch_lifeline(gone.set)
        open(f"child-{os.getpid()}", "w").close()
        gone.wait()
        """
    )
    script = textwrap.dedent(
        """
        import asyncio
        from hftpy.worker import Launcher

        async def main():
            launcher = Launcher()
            child = await launcher.start("mm1", ["child_of_test"])
            print(child.pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent:
        child = psutil.Process(int(parent.stdout.readline()))
        while not (tmp_path / f"child-{child.pid}").exists():
            assert child.is_running()
        parent.kill()
    child.wait(timeout=30)
