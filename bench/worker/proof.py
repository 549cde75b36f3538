"""What a framework must show to be believed: output, loss, gradients, the loss after an update, and how it learns."""

import numpy as np

LOSSES = 4      # the first three are judged; what follows is shown only, since rounding makes it diverge


def dropout_masks(graph, samples, seed):
    """{dropout layer: float32 array (samples, *shape)}: 0, or 1/(1-rate) where an element is kept.

    RandomState, because its stream is the same in every NumPy, so all builds draw the same masks.
    """
    rng = np.random.RandomState(seed)
    masks = {}
    for layer in graph["layers"]:
        if layer["op"] == "dropout":
            rate = layer["attributes"]["rate"]
            kept = rng.random_sample([samples, *layer["output_shape"]]) >= rate
            masks[layer["name"]] = (kept / (1 - rate)).astype(np.float32)
    return masks


def answer(prepared, graph, x, y, seed):
    """Arrays by name: "output", "losses", and "gradient:KEY" for every trainable parameter."""
    masks = dropout_masks(graph, len(x), seed)
    arrays = {"output": np.asarray(prepared.forward(x))}
    for key, gradient in prepared.gradients(x, y, masks)[1].items():
        arrays["gradient:" + key] = np.asarray(gradient)
    arrays["losses"] = np.array([prepared.train(x, y, masks) for _ in range(LOSSES)], np.float64)
    return arrays


def tie_effects(prepare, graph, x, y, seed, margin):
    """How far gradients and the losses after updates move with the decisions that rounding leaves open.

    A ReLU passes a value above 0, a max pooling the largest: where values lie within ``margin`` (relative to their
    layer's root mean square) of the decision, two correct frameworks may decide differently, and the gradient jumps.
    ``prepare(tie_margin)`` gives the oracle with all of these decisions taken one way, or the other.
    """
    masks = dropout_masks(graph, len(x), seed)

    def decided(tie_margin):
        prepared = prepare(tie_margin)
        gradients = prepared.gradients(x, y, masks)[1]
        return gradients, [prepared.train(x, y, masks) for _ in range(3)]

    (one, losses), (other, other_losses) = decided(margin), decided(-margin)
    norm = np.sqrt(sum(np.square(gradient).sum() for gradient in one.values()))
    moved = max(np.linalg.norm(gradient - other[key]) for key, gradient in one.items())
    return {
        "tie_gradient": np.array(moved / norm if norm else 0.0),
        "tie_second_loss": np.array(abs(losses[1] - other_losses[1]) / max(losses[:2])),
        "tie_third_loss": np.array(abs(losses[2] - other_losses[2]) / max(losses[:3])),
    }


def learning(prepared, graph, x, y, test_x, test_y, local_batch, seed):
    """One pass over (x, y): "learning_losses", one a batch, and "learning_accuracy" on the held-out samples."""
    losses = []
    for index in range(len(x) // local_batch):
        batch = slice(index * local_batch, (index + 1) * local_batch)
        masks = dropout_masks(graph, local_batch, seed + 1 + index)
        losses.append(prepared.train(x[batch], y[batch], masks))
    right = 0
    for start in range(0, len(test_x), local_batch):
        output = np.asarray(prepared.forward(test_x[start:start + local_batch]))
        right += int((output.argmax(-1) == test_y[start:start + local_batch]).sum())
    return {
        "learning_losses": np.array(losses, np.float64),
        "learning_accuracy": np.array(right / float(np.size(test_y))),
    }
