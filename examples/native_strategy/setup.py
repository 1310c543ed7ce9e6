"""Compiles the strategy: with Cython, a C++17 compiler and an installed hftpy, and nothing of hftpy's source tree."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

import hftcore

setup(
    ext_modules=cythonize(
        [
            Extension(
                "imbalance.strategy",
                ["imbalance/strategy.pyx"],
                language="c++",
                include_dirs=[hftcore.get_include()],
                extra_compile_args=["-std=c++17", "-O3"],
            )
        ],
        compiler_directives={"language_level": 3, "boundscheck": False, "cdivision": True},
        # Where the .pxd files are: only an editable install needs to be told.
        include_path=[str(Path(hftcore.__file__).parents[1])],
    )
)
