"""A pytest plugin (-p tests.support.native): `stack._native` comes from the folder that
TUNSTACK_NATIVE names, where native/Makefile has built it with sanitizers or with counters.
"""

import os
from pathlib import Path

import stack

folder = Path(os.environ["TUNSTACK_NATIVE"]).resolve(strict=True)
stack.__path__.insert(0, str(folder))

import stack._native  # noqa: E402

assert Path(stack._native.__file__).parent == folder, "the usual one was loaded already"
