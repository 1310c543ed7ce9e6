"""The check of `make lint` that finds hot functions which lost their `noexcept`."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("Cython", reason="needs Cython: make setup installs it")
_spec = importlib.util.spec_from_file_location("cython_hints", ROOT / "tests" / "cython_hints.py")
assert _spec is not None and _spec.loader is not None
cython_hints = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cython_hints)


@pytest.mark.parametrize(
    ("signature", "found"), [("cdef void hot() nogil", True), ("cdef void hot() noexcept nogil", False)]
)
def test_a_missing_noexcept_is_found(tmp_path, signature, found):
    source = tmp_path / "seeded.pyx"
    source.write_text(f"{signature}:\n    pass\n\n\ndef call():\n    with nogil:\n        hot()\n")
    assert bool(cython_hints.complaints([source])) is found
