"""The sdist and the wheel: complete, without build products, and usable where there is no compiler.

Built without isolation, so that no network is needed: the build requirements stand in the extras. The core is built
without optimisation, which takes a third of the time and makes the same files; `make wheels` tests what is released.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("build", "Cython", "setuptools", "simdjson")
MADE = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache", ".hypothesis"
)

pytestmark = [
    pytest.mark.native,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        any(find_spec(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}: make setup installs them"
    ),
    pytest.mark.skipif(
        shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("c++") is None, reason="no C++ compiler"
    ),
]


def run(*command: str | Path, **options) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def build(source: Path, what: str, target: Path) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", what]
    run(*command, "--outdir", target, source, env=os.environ | {"HFT_BUILD": "debug"})
    (product,) = target.iterdir()
    return product


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, folder / "tree", ignore=MADE)
    return build(folder / "tree", "--sdist", folder / "sdist")


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("from_sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return build(tree, "--wheel", tmp_path_factory.mktemp("wheel"))


def sources(*suffixes: str) -> set[str]:
    """Names of the core's source files with one of these endings, relative to the tree."""
    return {str(path.relative_to(ROOT)) for path in (ROOT / "hftcore").rglob("*") if path.suffix in suffixes}


def test_sdist_holds_all_sources_and_nothing_made(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = sources(".py", ".pyx", ".pxd", ".pyi", ".hpp", ".cpp")
    expected |= {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"}
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "hftpy").rglob("*.py")}
    assert expected - names == set()
    assert [name for name in names if name.endswith((".so", ".o", ".pyc"))] == []
    assert [name for name in names if name.endswith(".cpp") and name.startswith("hft")] == sorted(
        sources(".cpp")
    )


def test_sdist_holds_all_that_is_under_version_control(sdist):
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {name for name in done.stdout.splitlines() if (ROOT / name).exists()}
    assert tracked - names == {".ci/run", ".gitignore"} & tracked


def test_wheel_holds_what_users_need_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata_name,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        (entry_points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
        metadata = Parser().parsestr(archive.read(metadata_name).decode())
        scripts = archive.read(entry_points).decode()
    expected = sources(".py", ".pyi", ".pxd", ".hpp") | {"hftcore/py.typed", "hftpy/py.typed"}
    for kind in ("ring.pxd", "ring.pyi", "include/hftcore/spsc_ring.hpp"):
        assert f"hftcore/{kind}" in expected
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "hftpy").rglob("*.py")}
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    expected |= {f"hftcore/{Path(name).stem}{suffix}" for name in sources(".pyx")}
    assert expected - names == set()
    assert [name for name in names if name.endswith((".cpp", ".c", ".o", ".pyc"))] == []
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"hftcore", "hftpy"}
    assert "hftpy = hftpy.cli:main" in scripts
    assert metadata["License-Expression"] == "MIT" and metadata["Requires-Python"] == ">=3.11"
    assert any(name.endswith("LICENSE") for name in names)


USE = """
import asyncio, pathlib, shutil, sys
assert not any(shutil.which(name) for name in ("gcc", "g++", "cc", "c++", "clang")), "a compiler is on PATH"
import hftcore, hftpy.common
from hftcore.ring import Ring
from hftcore.types import Ticker, tickers_from_array
assert pathlib.Path(hftcore.__file__).is_relative_to(sys.prefix), hftcore.__file__
assert hftcore.build_mode == "debug"
ticker = Ticker(exchange="kraken", symbol="BTC/USDT", bidPrice=1.5, askPrice=2.5, seq=7)
ring = Ring(Ticker, 8)
ring.put_nowait(ticker)
assert asyncio.run(ring.get()) == ticker == tickers_from_array(ticker.to_bytes())[0]
print(ticker.symbol, ticker.bid_price)
"""


def test_the_wheel_works_without_a_compiler(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel)
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # The dependencies come from here: a folder named in a .pth is searched, but its own .pth files (the editable
    # install of the tree) are not read.
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {"PATH": str(python.parent), "HOME": str(tmp_path)}
    assert run(python, "-I", "-c", USE, env=environment, cwd=tmp_path) == "btc/usdt 1.5\n"
    assert (python.parent / "hftpy").exists()
