"""The user's model run as it is."""

import numpy as np

from ..user_code import Refused, made, told


def opened(source, factory, folder):
    """(model, its example inputs or None) of a factory, or of a saved file where ``factory`` is None."""
    if factory is not None:
        return made(source, factory, folder)
    import keras

    with told(folder, "reading %s" % source):
        try:
            return keras.saving.load_model(source, compile=False), None
        except (TypeError, ValueError) as error:
            text = str(error)
            if "File not found" in text:
                raise Refused("%s is no file that Keras 3 saved; write it by model.save('net.keras')" % (
                    source)) from error
            if "safe_mode" in text:
                raise Refused("%s holds a function of Python's (Lambda), which is never run from a file; bring the "
                              "code that makes the model, as net.py:make" % source) from error
            if "Could not locate class" in text or "Unknown layer" in text:
                raise Refused("%s has layers of your own classes, whose code is not in the file; bring the code that "
                              "makes the model, as net.py:make" % source) from error
            raise


def samples(told_of, stored):
    """The arrays of a file of samples as the model takes them."""
    arrays = [stored[name] for name in stored if name == "x" or name.startswith("x:")]
    return [np.moveaxis(array, 1, -1) if is_image else array
            for array, is_image in zip(arrays, told_of["images"])]


def output(told_of, stored):
    """What the model gives in inference for samples; an image has its channels first."""
    import keras

    model, _ = opened(told_of["source"], told_of["factory"], told_of["folder"])
    inputs = samples(told_of, stored)
    with told(told_of["folder"], "the model's predict"):
        given = keras.tree.pack_sequence_as(structure(model, inputs), inputs)
        found = keras.tree.flatten(model.predict(given, verbose=0))[told_of["output"]["index"]]
    return np.moveaxis(found, -1, 1) if told_of["output"]["image"] else found


def structure(model, inputs):
    """How the model takes its inputs: a dict, a list, or one alone."""
    given = getattr(model, "_inputs_struct", None)
    if given is not None:
        return given
    return inputs[0] if len(inputs) == 1 else inputs
