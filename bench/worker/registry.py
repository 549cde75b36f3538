"""Finds modules of a package by name: one per framework, strategy, model, format, source, verb.

It has Python 3.6 syntax, since workers use it too. A module whose name begins with "_" is a helper.
"""

import importlib
import importlib.util
import pkgutil


def names(path):
    """The sorted names of the modules and packages in a package's ``__path__``, without helpers."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")))


def load(package, name):
    """The module ``name`` of the package with this ``__name__``; ``name`` may be a path such as "a.b"."""
    return importlib.import_module("." + name, package)


def load_if_there(package, name):
    """As ``load``; None if the package has no such module. If an import inside of the module fails, it still raises."""
    try:
        spec = importlib.util.find_spec("." + name, package)
    except ImportError as error:
        if error.name != package + "." + name:
            raise
        spec = None      # "a.b", but a is a file, not a folder
    if spec is None:
        return None
    return load(package, name)


def tables(package, path, name):
    """One dict of the dicts called ``name`` in all modules of a package; helpers need have none."""
    return {
        key: value for module in names(path) for key, value in getattr(load(package, module), name).items()
    }
