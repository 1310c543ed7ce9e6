"""The layers of the tree: each package may import what stands before it, and hftcore imports nothing from hftpy."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Packages of one row stand side by side and do not import each other, but errors and common may.
ROWS = (
    ("errors", "common"),
    ("wire",),
    ("ipc", "exchange"),
    ("trading",),
    ("observer",),
    ("service",),
    ("worker",),
    ("engine",),
    ("sim",),
    ("cli",),
)
LEVEL = {name: level for level, row in enumerate(ROWS) for name in row}
KNOWS_SIM = {"sim", "cli"}
CIMPORT = re.compile(r"^\s*(?:from\s+(?P<source>[\w.]+)\s+c?import\b|c?import\s+(?P<names>[\w., ]+))", re.MULTILINE)


def python_imports(source: str, module: str, is_package: bool) -> set[str]:
    """Absolute names of what Python source imports, wherever in the file; of `from a import b` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join([*kept, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def cython_imports(source: str) -> set[str]:
    """Names that Cython source imports or cimports."""
    found = set()
    for match in CIMPORT.finditer(source):
        if match["source"]:
            found.add(match["source"])
        else:
            found.update(name.split()[0] for name in match["names"].split(",") if name.split())
    return found


def complaint(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`, or None."""
    if module.split(".")[0] == "hftcore":
        return f"{module} imports {imported}" if imported.split(".")[0] == "hftpy" else None
    there = imported.split(".")
    here = module.split(".")
    if there[0] != "hftpy" or len(there) < 2 or len(here) < 2:
        return None
    mine, theirs = here[1], there[1]
    if theirs not in LEVEL or mine == theirs:
        return None
    if mine not in LEVEL:
        return f"{module}: the package hftpy.{mine} stands in no layer"
    if theirs == "sim" and mine not in KNOWS_SIM:
        return f"{module} imports {imported}: only cli and tests know sim"
    if LEVEL[theirs] > LEVEL[mine] or (LEVEL[theirs] == LEVEL[mine] and LEVEL[mine] > 0):
        return f"{module} imports {imported}"
    return None


def all_imports() -> list[tuple[str, set[str]]]:
    found = []
    for top in ("hftcore", "hftpy"):
        for path in sorted((ROOT / top).rglob("*")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if path.suffix in (".py", ".pyi"):
                is_package = parts[-1] == "__init__"
                module = ".".join(parts[:-1] if is_package else parts)
                found.append((module, python_imports(path.read_text(), module, is_package)))
            elif path.suffix in (".pyx", ".pxd"):
                found.append((".".join(parts), cython_imports(path.read_text())))
    return found


def test_no_arrow_runs_the_wrong_way():
    imports = all_imports()
    assert {"hftcore.types", "hftpy.errors", "hftpy.common.paths"} <= {module for module, _ in imports}
    wrong = [text for module, names in imports for name in sorted(names) if (text := complaint(module, name))]
    assert wrong == []


def test_every_package_stands_in_a_layer():
    packages = {path.parent.name for path in (ROOT / "hftpy").glob("*/__init__.py")}
    assert packages and packages <= set(LEVEL)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("hftcore.ring", "hftpy.errors"),
        ("hftpy.common.paths", "hftpy.ipc"),
        ("hftpy.errors", "hftpy.wire.market_pb2"),
        ("hftpy.ipc.commands", "hftpy.exchange"),
        ("hftpy.exchange.kraken", "hftpy.ipc.publisher"),
        ("hftpy.trading.book", "hftpy.service"),
        ("hftpy.service.base", "hftpy.worker"),
        ("hftpy.worker.launcher", "hftpy.sim"),
        ("hftpy.sim.venue", "hftpy.cli"),
        ("hftpy.unknown.module", "hftpy.common"),
    ],
)
def test_a_wrong_arrow_is_seen(module, imported):
    assert complaint(module, imported) is not None


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("hftcore.ring", "hftcore.types"),
        ("hftpy.common.paths", "hftpy.errors"),
        ("hftpy.errors", "hftpy.common.paths"),
        ("hftpy.ipc.commands", "hftpy.ipc.address"),
        ("hftpy.service.gateway", "hftpy.ipc"),
        ("hftpy.cli.demo", "hftpy.sim"),
        ("hftpy.sim.venue", "hftpy.trading.matching"),
        ("hftpy.ipc.commands", "zmq"),
    ],
)
def test_a_right_arrow_passes(module, imported):
    assert complaint(module, imported) is None


def test_the_readers_of_imports():
    source = "import a.b\nfrom . import c\nfrom ..d import e\ndef f():\n    from hftpy.sim import g\n"
    assert python_imports(source, "hftpy.ipc.x", is_package=False) == {
        "a.b", "hftpy.ipc", "hftpy.ipc.c", "hftpy.d", "hftpy.d.e", "hftpy.sim", "hftpy.sim.g",
    }  # fmt: skip
    assert python_imports("from .x import y", "hftpy.ipc", is_package=True) == {"hftpy.ipc.x", "hftpy.ipc.x.y"}
    text = "from hftpy.a cimport b\ncimport cython\nimport asyncio, hftpy.c as d\n    from x import y\n# import no\n"
    assert cython_imports(text) == {"hftpy.a", "cython", "asyncio", "hftpy.c", "x"}
