"""Makes a worker's network do each N-th step twice, N from RIGMARK_EXTRA_EVERY: 1/N more work, all of it real.

Python imports a module of this name when it starts. In any N steps one after the other there is exactly one that is
done twice, so a timing of N steps takes as long as N + 1 steps. A twin does the second one, so that the network's own
answers, which are held to the oracle, stay what they are.
"""

import importlib.machinery
import itertools
import os
import sys

PACKAGE, ADAPTER = "rigmark_worker.frameworks.", ".adapter"
EVERY = int(os.environ["RIGMARK_EXTRA_EVERY"])


class SlowedLoader:
    """Loads an adapter as its own loader does, and wraps what it prepares."""

    def __init__(self, loader):
        self._loader = loader        # of an archive it is one object for all modules, so it must not be changed

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        module.prepare = slowed(module.prepare)


class SlowedAdapters:
    """Finds the adapters where Python would."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if not (name.startswith(PACKAGE) and name.endswith(ADAPTER)):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        spec.loader = SlowedLoader(spec.loader)
        return spec


def slowed(prepare):
    def prepared(*arguments):
        network, twin = prepare(*arguments), prepare(*arguments)
        load, step, count = network.load, network.step, itertools.count(1)

        def both_loaded(batches):
            load(batches)
            twin.load(batches)

        def repeated():
            step()
            if next(count) % EVERY == 0:
                twin.step()

        network.load, network.step = both_loaded, repeated
        return network

    return prepared


sys.meta_path.insert(0, SlowedAdapters)
