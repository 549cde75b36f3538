"""What is found by its name: the modules of a package, one per framework, strategy, model, format, source, verb.

Python 3.6 syntax, since workers find their own parts by it too. A module whose name begins with "_" is a helper.
"""

import importlib
import importlib.util
import pkgutil


def names(path):
    """Sorted names of the modules and packages in a package's ``__path__``, helpers left out."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")))


def load(package, name):
    """The module ``name`` of a package, which is given by its ``__name__``; ``name`` may lead deeper, as "a.b"."""
    return importlib.import_module("." + name, package)


def load_if_there(package, name):
    """As ``load``; None where the package has no such module. An import that fails inside of it still raises."""
    try:
        spec = importlib.util.find_spec("." + name, package)
    except ImportError as error:
        if error.name != package + "." + name:
            raise
        spec = None      # "a.b" where a is a file and no folder
    if spec is None:
        return None
    return load(package, name)
