"""The user's own code: its network and example inputs, and what goes wrong in it as one sentence."""

import contextlib
import hashlib
import importlib
import importlib.util
import os
import random
import sys
import sysconfig
import traceback

import numpy as np

SEED = 0


class Refused(Exception):
    """A network cannot become a graph; the message is one sentence with the remedy."""


class Lacking(Refused):
    """The user's code imports a package that this interpreter does not have."""


def made(source, factory, folder):
    """What the user's ``factory()`` returns: (network, its example inputs as a tuple or dict; None if it gives none).

    ``source`` is a module's name, or the path of a file that ends in .py; ``folder`` is where imports begin. It gives
    the same each time, since all random numbers are. Raises Refused with the user's file and line for whatever fails
    there.
    """
    sys.path.insert(0, folder)
    if source.endswith(".py") and not os.path.isfile(os.path.join(folder, source)):
        raise Refused("there is no file %s" % os.path.join(folder, source))
    seed_all()
    with told(folder, "importing %s" % source):
        module = _loaded(source, folder)
    function = getattr(module, factory, None)
    if not callable(function):
        names = sorted(name for name, each in vars(module).items() if callable(each) and not name.startswith("_"))
        raise Refused("%s has no function '%s'; it has: %s" % (source, factory, ", ".join(names) or "none"))
    seed_all()                               # libraries draw numbers while they are imported
    with told(folder, "%s()" % factory):
        result = function()
    network, example = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if example is None or isinstance(example, (tuple, dict)):
        return network, example
    return network, tuple(example) if isinstance(example, list) else (example,)


def seed_all():
    """Makes random numbers the same each time."""
    random.seed(SEED)                        # Keras draws its seeds from it
    np.random.seed(SEED)
    if "torch" in sys.modules:               # which only a user of it has imported
        sys.modules["torch"].manual_seed(SEED)


def library_of(network):
    """The library whose network this is, "torch" or "keras"; None for what is no network of either."""
    for name, kind in (("keras", ("Model",)), ("torch", ("nn", "Module"))):      # Keras in torch gives both
        found = sys.modules.get(name)
        for each in kind:
            found = getattr(found, each, None)
        if found is not None and isinstance(network, found):
            return name
    return None


def digest(source, folder, before):
    """The hash of the user's own files: of the factory, and of all that was imported since, but for installed packages.

    ``before`` are the names of the modules that there were.
    """
    installed = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    paths = {os.path.join(folder, source)} if source.endswith(".py") else {sys.modules[source].__file__}
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None) or ""
        is_installed = path.startswith(installed) or "site-packages" in path or "dist-packages" in path
        if path.endswith(".py") and os.path.isfile(path) and not is_installed:
            paths.add(path)
    found = hashlib.sha256()
    for content in sorted(_content(path) for path in {os.path.realpath(path) for path in paths}):
        found.update(hashlib.sha256(content).digest())
    return found.hexdigest()[:16]


def _content(path):
    with open(path, "rb") as file:
        return file.read()


@contextlib.contextmanager
def standing_in(folder):
    """The user's code opens files as it does when the user starts it."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _loaded(source, folder):
    if not source.endswith(".py"):
        return importlib.import_module(source)
    path = os.path.join(folder, source)
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module          # so that its classes can be found by name, as a dataclass needs
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def told(folder, doing):
    """Any exception inside becomes a Refused with the innermost line below ``folder`` on which it happened."""
    try:
        yield
    except Refused:
        raise
    except SystemExit as end:
        raise Refused("%s ended the process with exit code %s; let it return" % (doing, end.code)) from end
    except Exception as error:
        kind = Lacking if isinstance(error, ModuleNotFoundError) else Refused
        raise kind("%s failed%s: %s" % (doing, place(error, folder), first_line(error))) from error


def place(error, folder):
    """" in net.py, line 12": the innermost line below ``folder``; nothing if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return " in %s, line %s" % (shown(error.filename, folder), error.lineno)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename, folder)]
    return " in %s, line %d" % (shown(own[-1].filename, folder), own[-1].lineno) if own else ""


def _is_own(path, folder):
    below = os.path.abspath(path).startswith(os.path.join(folder, ""))
    return below and os.path.isfile(path) and "site-packages" not in path


def shown(path, folder):
    """A path as the user would write it."""
    path = os.path.abspath(path)
    return os.path.relpath(path, folder) if path.startswith(os.path.join(folder, "")) else path


def first_line(error):
    """The kind of an exception and the first line of its message."""
    lines = str(error).strip().splitlines() or ["no message"]
    return "%s: %s" % (type(error).__name__, lines[0][:300])
