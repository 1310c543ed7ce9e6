"""Build of the compiled core.

The build mode is chosen by ``HFT_BUILD`` (see `MODES`); each mode has its own build folder, so that switching never
reuses the other's objects. Everything that is not about compiling stands in pyproject.toml.
"""

import hashlib
import importlib.util
import os
import re
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer


@dataclass(frozen=True)
class Mode:
    compile: list[str]
    link: list[str] = field(default_factory=list)
    directives: dict[str, bool] = field(default_factory=dict)


SANITIZE_ADDRESS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
CHECKED = {"boundscheck": True, "initializedcheck": True}
MODES = {
    "release": Mode(["-O3", "-g0", "-DNDEBUG"]),
    "debug": Mode(["-O0", "-g", "-DHFT_DEBUG"], directives=CHECKED),
    "asan": Mode(["-O1", "-g", "-fno-omit-frame-pointer", "-DHFT_DEBUG", *SANITIZE_ADDRESS], SANITIZE_ADDRESS),
    "tsan": Mode(["-O1", "-g", "-DHFT_DEBUG", "-fsanitize=thread"], ["-fsanitize=thread"]),
    "coverage": Mode(["-O0", "-g", "--coverage"], ["--coverage"], {"linetrace": True}),
}
SIMDJSON = "hftcore/simdjson.cpp"
EXTENSIONS = (
    "types", "json_value", "topic", "latency", "ring_base", "ring", "object_ring", "delivery", "shm", "shm_cursor",
    "shm_reader", "codec", "zmq", "publication", "subscription", "parse", "watch", "book_parse", "feed_base",
    "book_feed", "snapshot", "book", "feed", "ws_listener", "layout", "strategy", "kline",
)  # fmt: skip
LINKS_SIMDJSON = frozenset({"parse", "book_parse", "kline"})
INCLUDES_SIMDJSON = LINKS_SIMDJSON | {"book_feed", "feed", "ws_listener"}

MODE = os.environ.get("HFT_BUILD", "release")
if MODE not in MODES:
    sys.exit(f"HFT_BUILD must be one of {', '.join(MODES)}, was {MODE!r}")


LAYOUT = Path("hftcore/layout.pyx")
LAYOUT_PXD = "cdef class Layout_{digest}:\n    pass\n"
LAYOUT_PYX = '''"""The layout of the core's classes and structs, as a name; made by setup.py.

Whatever cimports hftcore.strategy imports the class of this name before anything else of the core: an extension that
was compiled against another layout does not find its own, and is refused before it reads memory in the wrong places.
"""

LAYOUT = "{digest}"


cdef class Layout_{digest}:
    """The layout that is installed."""


def __getattr__(name):
    if name.startswith("Layout_"):
        raise ImportError(
            f"an extension was compiled against layout {{name[7:]}} of hftcore, but {{LAYOUT}} is installed: "
            f"compile it again"
        )
    raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
'''


def write_layout() -> None:
    """Write hftcore/layout.pyx and .pxd, whose class is named after all that a compiled user depends on."""
    # Headers too: what is inline in them was compiled into the user's extension.
    sources = [path for path in sorted(Path("hftcore").glob("*.pxd")) if path.stem != "layout"]
    sources += sorted(Path("hftcore/include/hftcore").glob("*.hpp"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    for path, template in ((LAYOUT, LAYOUT_PYX), (LAYOUT.with_suffix(".pxd"), LAYOUT_PXD)):
        text = template.format(digest=digest)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def simdjson_include() -> str:
    """The folder of simdjson.h, which the build requirement pysimdjson installs."""
    spec = importlib.util.find_spec("simdjson")
    if spec is None or spec.origin is None:
        sys.exit("simdjson.h was not found: build with isolation, or pip install pysimdjson==7.0.2")
    return str(Path(spec.origin).parent)


def can_build(name: str) -> bool:
    """Whether an extension's source and what it is compiled against are here; it says so where that is missing."""
    if not Path(f"hftcore/{name}.pyx").exists():
        return False
    if name != "ws_listener":
        return True
    text = Path("hftcore/picows_version.py").read_text()
    wanted = re.search(r'^PICOWS_VERSION = "(.+)"$', text, re.MULTILINE)
    assert wanted is not None
    try:
        found = version("picows")
    except PackageNotFoundError:
        found = "missing"
    if found != wanted[1]:
        print(f"hftcore.ws_listener is left out: it needs picows {wanted[1]}, found {found}", file=sys.stderr)
    return found == wanted[1]


def extension(name: str) -> Extension:
    return Extension(
        f"hftcore.{name}",
        [f"hftcore/{name}.pyx"],
        language="c++",
        include_dirs=["hftcore/include"],
        define_macros=[("HFT_BUILD_MODE", f'"{MODE}"')],
        extra_compile_args=compile_options(name in INCLUDES_SIMDJSON),
        extra_link_args=MODES[MODE].link,
        depends=[str(path) for path in sorted(Path("hftcore/include/hftcore").glob("*.hpp"))],
    )


def compile_options(includes_simdjson: bool) -> list[str]:
    # Where a processor multiplies and adds in one step (arm64), compilers round but once: the same book, another value.
    options = ["-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-unused-parameter", *MODES[MODE].compile]
    # simdjson.h is included from pysimdjson's folder as a system header: its warnings are not ours.
    return [*options, "-isystem", simdjson_include()] if includes_simdjson else options


class BuildPerMode(build_ext):
    """Keeps objects per mode, and rebuilds in place when the mode changed (timestamps alone would keep the old one).

    Extensions are compiled side by side, one for each CPU, and simdjson once for all of them.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1
        self.build_temp = str(Path(self.build_temp) / MODE)
        stamp = Path("build/mode")
        if self.inplace or getattr(self, "editable_mode", False):
            if stamp.exists() and stamp.read_text() != MODE:
                self.force = True
            stamp.parent.mkdir(exist_ok=True)
            stamp.write_text(MODE)

    def build_extensions(self) -> None:
        (made,) = self.compiler.object_filenames([SIMDJSON], output_dir=self.build_temp)
        if self.force or newer(SIMDJSON, made):
            options = compile_options(includes_simdjson=True)
            self.compiler.compile([SIMDJSON], output_dir=self.build_temp, extra_postargs=options)
        # Without -O3 the compiler keeps inline functions of simdjson.h that nobody calls, and what they call.
        wanted = LINKS_SIMDJSON if MODE == "release" else INCLUDES_SIMDJSON
        for each in self.extensions:
            if each.name.removeprefix("hftcore.") in wanted:
                each.extra_objects = [made]
        super().build_extensions()


if __name__ == "__main__":
    write_layout()
    setup(
        ext_modules=cythonize(
            [extension(name) for name in EXTENSIONS if can_build(name)],
            build_dir=f"build/cython-{MODE}",
            compiler_directives={
                "language_level": 3,
                "embedsignature": True,
                "embedsignature.format": "python",
                "boundscheck": False,
                "wraparound": False,
                "initializedcheck": False,
                "cdivision": True,
                "freethreading_compatible": False,
                **MODES[MODE].directives,
            },
            show_all_warnings=False,
        ),
        cmdclass={"build_ext": BuildPerMode},
    )
