"""Values that come from no other layer."""


def _parameter(tf, layer):
    return lambda run, value: tf.convert_to_tensor(value)


LOWERINGS = {
    "parameter": _parameter,
}
