"""Count embedded tracks; Python runs this at start-up if this folder is on the path.

Each embedding appends a line to the file ``MESS_COUNTED``: track, process. A line is written with
one system call, so that a killed process leaves no partial line.
"""

import importlib.abc
import importlib.util
import os
import sys
import time
from pathlib import Path

_MODULE = "mess_core.encoders.base"


def _count(module):
    real = module.Encoder.embed

    def embed(self, source, *args, **kwargs):
        found = real(self, source, *args, **kwargs)
        # Long enough for the scenario to find and kill the active run.
        time.sleep(float(os.environ.get("MESS_COUNTED_SLOWLY", "0")))
        name = Path(str(getattr(source, "path", source))).name
        line = f"{name}\t{os.getpid()}\n".encode()
        file = os.open(os.environ["MESS_COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, line)
        os.close(file)
        return found

    module.Encoder.embed = embed


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            _count(module)

        spec.loader.exec_module = exec_module
        return spec


if "MESS_COUNTED" in os.environ:
    sys.meta_path.insert(0, _Finder())
