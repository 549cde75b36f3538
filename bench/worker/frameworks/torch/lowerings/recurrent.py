"""Layers with a state that goes from step to step."""

from ._modules import modules


def _recurrent(kind):
    """The lowering to the class of torch.nn of this name."""
    def lower(nn, layer):
        a = layer["attributes"]
        settings = {"batch_first": True, "bidirectional": a.get("directions") == 2}
        if "relu" in a:
            settings["nonlinearity"] = "relu" if a["relu"] else "tanh"
        module = getattr(nn, kind)(layer["input_shapes"][0][-1], a["hidden"], **settings)
        return modules().Recurrent(module, layer["op"] != "gru", bool(a.get("final")))

    return lower


def _gru(nn, layer):
    if layer["attributes"]["reset_after"]:
        return _recurrent("GRU")(nn, layer)
    a = layer["attributes"]
    return modules().ResetBeforeGru(
        layer["input_shapes"][0][-1], a["hidden"], a.get("directions", 1), bool(a.get("final"))
    )


LOWERINGS = {
    "lstm": _recurrent("LSTM"),
    "gru": _gru,
    "rnn": _recurrent("RNN"),
}
