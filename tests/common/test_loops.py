import asyncio
import sys

import pytest

from hftpy.common.loops import new_event_loop


@pytest.mark.parametrize("there", [True, False])
def test_loop_of_uvloop_where_there_is_one(monkeypatch, there):
    if there:
        module = pytest.importorskip("uvloop").Loop.__module__
    else:
        monkeypatch.setitem(sys.modules, "uvloop", None)
        module = "asyncio"
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert type(runner.get_loop()).__module__.partition(".")[0] == module.partition(".")[0]
        runner.run(asyncio.sleep(0))
