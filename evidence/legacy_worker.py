"""The half of evidence.legacy that runs in the environment of a framework: ``PACKAGE FOLDER FRAMEWORK``.

Python 3.6 syntax. It asks the adapter in the worker package every question in the folder.
"""

import glob
import json
import os
import sys


def main(package, folder, name):
    sys.path.insert(0, package)
    import numpy as np
    from rigmark_worker import frameworks, proof, samples

    adapter = frameworks.load(name)
    modes = {}
    for compile_mode in adapter.COMPILE_MODES:
        told = modes[compile_mode] = {"answered": [], "refused": {}, "failed": {}}
        for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
            case = os.path.basename(path)[:-len(".json")]
            with open(path) as file:
                graph = json.load(file)
            settings = {"mode": "training", "precision": "fp32", "compile_mode": compile_mode,
                        "layout": adapter.LAYOUTS[0], "device": "cpu", "threads": 1, "seed": 1}
            try:
                prepared = adapter.prepare(graph, _arrays(np, folder, case, "weights"), settings)
                inputs = _arrays(np, folder, case, "inputs")
                answer = proof.answer(prepared, graph, samples.taken(graph, inputs), inputs["y"], 3)
            except frameworks.Unsupported as reason:
                told["refused"][case] = str(reason)
            except Exception as error:
                told["failed"][case] = "%s: %s" % (type(error).__name__, str(error).strip()[-300:])
            else:
                np.savez(os.path.join(folder, "%s.%s.npz" % (case, compile_mode)), **answer)
                told["answered"].append(case)
    answers = {"python": sys.version.split()[0], "facts": adapter.facts(), "compile_modes": modes}
    with open(os.path.join(folder, "answers.json"), "w") as file:
        json.dump(answers, file)


def _arrays(np, folder, case, kind):
    with np.load(os.path.join(folder, "%s.%s.npz" % (case, kind))) as stored:
        return {key: stored[key] for key in stored.files}


if __name__ == "__main__":
    main(*sys.argv[1:])
