"""Runs an ONNX file as it is, in ONNX Runtime: a second opinion on how it was imported."""

import numpy as np

DTYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8, "tensor(int16)": np.int16,
}


def output(path, original, pins, given):
    """The compared output for samples by their key; ``original`` is as bench.worker.onnx_import.importing gives it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    count = len(given["y"])
    size = _fixed_batch(session, original) or count
    # The last run is filled up with samples of before.
    runs = [np.arange(start, start + size) % count for start in range(0, count, size)]
    outputs = np.concatenate([_run(session, original, pins, given, each) for each in runs], original["axis"])
    return np.take(outputs, np.arange(count), original["axis"])


def _fixed_batch(session, original):
    """The batch that a file fixes; None if it is open."""
    if original.get("is_alone"):
        return 1
    for each in session.get_inputs():
        if each.name in original["places"]:
            size = each.shape[original["places"][each.name]["batch"]]
            if isinstance(size, int) and size > 0:
                return size
    return None


def _run(session, original, pins, given, samples):
    feed = {}
    for each in session.get_inputs():
        dtype = DTYPES[each.type]
        if each.name in pins:
            sizes = [size if isinstance(size, int) and size > 0 else 1 for size in each.shape]
            feed[each.name] = np.full(sizes, pins[each.name], dtype)
            continue
        if each.name not in original["places"]:      # no node reads it
            feed[each.name] = np.zeros([size if isinstance(size, int) else 1 for size in each.shape], dtype)
            continue
        place = original["places"][each.name]
        if place["key"] is None:     # nothing that is compared depends on it
            shape = list(place["shape"])
            if place["batch"] is not None:
                shape[place["batch"]] = len(samples)
            feed[each.name] = np.zeros(shape, dtype)
        elif place["batch"] is None:
            feed[each.name] = given[place["key"]][samples[0]].reshape(place["shape"]).astype(dtype)
        else:
            feed[each.name] = np.moveaxis(given[place["key"]][samples], 0, place["batch"]).astype(dtype)
    output = session.run([session.get_outputs()[original["output"]].name], feed)[0]
    return output[None] if original.get("is_alone") else output
