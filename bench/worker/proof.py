"""What a proof compares with the oracle: output, loss, gradients, losses after updates, and learning."""

import numpy as np

from .graphs import objectives, trainable_keys
from .samples import count, first, first_loss, named, part_of

DEVIATIONS = 3  # the largest of three normal deviates is 1.3 sigma on average, so four sigma are allowed
COPY_STEPS = 2  # between the copies of a program: the third loss shows one, where a training would wait for thousands
LOSSES = 4      # the first three are judged; later ones are only shown, since rounding makes them diverge


def dropout_masks(graph, samples, seed):
    """{dropout layer: float32 array (samples, *shape)}: 0, or 1/(1-rate) where an element is kept.

    It uses RandomState, whose stream is the same in every version of NumPy, so that all builds draw the same masks.
    """
    rng = np.random.RandomState(seed)
    masks = {}
    for layer in graph["layers"]:
        if layer["op"] == "dropout":
            rate = layer["attributes"]["rate"]
            kept = rng.random_sample([samples, *layer["output_shape"]]) >= rate
            masks[layer["name"]] = (kept / (1 - rate)).astype(np.float32)
    return masks


def answer(prepared, graph, x, y, seed, part=slice(None)):
    """Arrays by name: "output", "output:NAME" for others, "losses", and "gradient:KEY" for every trainable parameter.

    Of a graph with objectives, "losses" has a row per step with a number per objective, each before the update of that
    objective, and a gradient is "gradient:OBJECTIVE:KEY"; it is for the weights before any update.

    ``part`` selects the samples of this process from the whole batch, for which all masks are drawn.

    Contains only outputs if the precision has no training.
    """
    masks = {name: mask[part] for name, mask in dropout_masks(graph, count(x), seed).items()}
    x, y = part_of(x, part), y[part]
    arrays = named(graph, prepared.forward(x))
    if not prepared.can_train:
        return arrays
    gradients = prepared.gradients(x, y, masks)[1]
    for each in objectives(graph):
        prefix = "gradient:" + (each["objective"] + ":" if "objective" in each else "")
        arrays.update((prefix + key, np.asarray(gradients[key])) for key in trainable_keys(each))
    arrays["losses"] = np.array([prepared.train(x, y, masks) for _ in range(LOSSES)], np.float64)
    return arrays


def tie_effects(prepare, graph, x, y, seed, times, exact_losses):
    """How much gradients and losses after updates depend on decisions that fp32 rounding leaves open.

    A ReLU passes values above 0, a max pooling the largest: if values are so close that rounding decides, two correct
    frameworks may decide differently, and the gradient jumps. The reach of rounding is measured at each such layer:
    ``times`` the root mean square error of a forward pass in fp32 against one in fp64. ``prepare(**settings)`` returns
    the oracle with these settings changed. It trains with all open decisions taken one way, the other way, and at
    random; ``exact_losses`` are those without any change. The gradient may differ by the distance of the first two, a
    loss after updates by DEVIATIONS times the largest deviation that occurred.
    """
    masks = dropout_masks(graph, count(x), seed)
    exact = prepare(precision="fp64").decided(x, masks)
    if not exact:                        # no layer decides: the oracle would train three times what it trained already
        return {name: np.array(0.0) for name in ("tie_gradient", "tie_second_loss", "tie_third_loss")}
    rounded = prepare(precision="fp32").decided(x, masks)
    margins = {name: times * rounding(rounded[name], exact[name]) for name in exact}
    del exact, rounded
    gradients, losses = [], []
    for tie_seed, sign in ((None, 1), (None, -1), (seed, 1)):
        prepared = prepare(
            tie_margins={name: sign * margin for name, margin in margins.items()}, tie_seed=tie_seed
        )
        loss, gradient = prepared.descend(x, y, masks)
        gradients.append(gradient)
        losses.append([loss, prepared.train(x, y, masks), prepared.train(x, y, masks)])
    exact_losses = np.asarray(exact_losses)
    deviations = np.abs(np.array(losses) - exact_losses[:3]).max(axis=0)
    moved = [moved_gradient(trainable_keys(part), *gradients[:2]) for part in objectives(graph)]
    return {
        "tie_gradient": np.array(max(moved)),
        "tie_second_loss": np.max(DEVIATIONS * deviations[1] / np.abs(exact_losses[:2]).max(axis=0)),
        "tie_third_loss": np.max(DEVIATIONS * deviations[2] / np.abs(exact_losses[:3]).max(axis=0)),
    }


def moved_gradient(keys, one, other):
    """The largest distance of one of these parts of two gradients, relative to the norm of all of them."""
    norm = np.sqrt(sum(np.square(one[key]).sum() for key in keys))
    return max(np.linalg.norm(one[key] - other[key]) for key in keys) / norm if norm else 0.0


def rounding(rounded, exact):
    """Root mean square of the difference relative to that of the exact values, ignoring infinities such as padding."""
    finite = np.isfinite(exact)
    scale = np.sqrt(np.mean(np.square(exact[finite])))
    return np.sqrt(np.mean(np.square(rounded[finite] - exact[finite]))) / scale if scale else 0.0


def learning(prepared, graph, x, y, test_x, test_y, local_batch, seed):
    """One epoch over (x, y): "learning_losses", one per batch, and "learning_accuracy" on the held-out samples.

    Empty if the precision has no training.
    """
    if not prepared.can_train:
        return {}
    losses = []
    for index in range(count(x) // local_batch):
        batch = slice(index * local_batch, (index + 1) * local_batch)
        masks = dropout_masks(graph, local_batch, seed + 1 + index)
        losses.append(first_loss(prepared.train(part_of(x, batch), y[batch], masks)))
    right = 0
    for start in range(0, len(test_y), local_batch):
        batch = slice(start, start + local_batch)
        output = np.asarray(first(prepared.forward(part_of(test_x, batch))))
        right += int((output.argmax(-1) == test_y[batch]).sum())
    return {
        "learning_losses": np.array(losses, np.float64),
        "learning_accuracy": np.array(right / float(np.size(test_y))),
    }
