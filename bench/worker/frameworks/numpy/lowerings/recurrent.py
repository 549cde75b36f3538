"""Layers with a state that goes from step to step."""

import numpy as np

from ._base import Operation
from .elementwise import sigmoid


class Cell:
    """One direction: the product with the input for all steps at once, then step by step. Axis 0 is the step.

    ``states`` are arrays that begin with the state before the first step, the hidden one first.
    """

    def __init__(self, attributes, weights, rounding):
        self.attributes = attributes
        self.weights = weights
        self.rounding = rounding
        self.gradients = {}

    def forward(self, x, first):
        self.x = np.ascontiguousarray(x)
        self.gates = np.matmul(self.x, self.weights["weight_input"].T)
        self.gates += self.weights["bias"]
        self.states = [np.zeros((len(x) + 1, x.shape[1], self.attributes["hidden"]), dtype=x.dtype) for _ in first]
        for states, start in zip(self.states, first):
            states[0] = start
        self.prepare()
        for step in range(len(x)):
            self.advance(step, self.gates[step])
            for index, states in enumerate(self.states):
                if self.rounding is not None:        # the hidden state is what products take
                    kept = self.rounding.stored if index else self.rounding.rounded
                    states[step + 1] = kept(states[step + 1])
        return self.states[0][1:]

    def stored(self, gates):
        if self.rounding is not None:
            gates[...] = self.rounding.stored(gates)

    def prepare(self):
        """What a cell needs beside gates and states."""

    def advance(self, step, gates):
        """Writes the states after a step, and the gates after their functions in place of the sums."""
        raise NotImplementedError

    def backward(self, gradient, of_final, needs_input_gradient):
        """(gradient of the input or None, those of the first states), from those of all steps and of the last."""
        self.gate_gradients = np.empty_like(self.gates)                  # before their functions
        later = of_final
        for step in reversed(range(len(self.gates))):
            later = self.retreat(step, [later[0] + gradient[step], *later[1:]])
        rows = self.gate_gradients.reshape(-1, self.gate_gradients.shape[-1])
        self.gradients["weight_input"] = np.matmul(rows.T, self.x.reshape(len(rows), -1))
        self.gradients["bias"] = rows.sum(axis=0)
        self.hidden_gradients(rows, self.states[0][:-1].reshape(len(rows), -1))
        return np.matmul(self.gate_gradients, self.weights["weight_input"]) if needs_input_gradient else None, later

    def hidden_gradients(self, rows, before):
        self.gradients["weight_hidden"] = np.matmul(rows.T, before)

    def retreat(self, step, later):
        """The gradients of the states before a step from those after it; writes those of the gates."""
        raise NotImplementedError


class LstmCell(Cell):
    """Gates i, f, g, o."""

    def advance(self, step, gates):
        hidden, cells = self.states
        gates += np.matmul(hidden[step], self.weights["weight_hidden"].T)
        self.stored(gates)
        i, f, g, o = np.split(gates, 4, axis=-1)                         # views: the functions write into gates
        for gate in (i, f, o):
            gate[...] = sigmoid(gate)
        np.tanh(g, out=g)
        cells[step + 1] = f * cells[step] + i * g
        hidden[step + 1] = o * np.tanh(cells[step + 1])

    def retreat(self, step, later):
        of_hidden, of_cell = later
        i, f, g, o = np.split(self.gates[step], 4, axis=-1)
        bent = np.tanh(self.states[1][step + 1])
        of_cell = of_cell + of_hidden * o * (1 - bent ** 2)
        to_i, to_f, to_g, to_o = np.split(self.gate_gradients[step], 4, axis=-1)
        to_i[...] = of_cell * g * i * (1 - i)
        to_f[...] = of_cell * self.states[1][step] * f * (1 - f)
        to_g[...] = of_cell * i * (1 - g ** 2)
        to_o[...] = of_hidden * bent * o * (1 - o)
        return [np.matmul(self.gate_gradients[step], self.weights["weight_hidden"]), of_cell * f]


class RnnCell(Cell):
    def advance(self, step, gates):
        gates += np.matmul(self.states[0][step], self.weights["weight_hidden"].T)
        self.stored(gates)
        self.states[0][step + 1] = np.maximum(gates, 0) if self.attributes["relu"] else np.tanh(gates)

    def retreat(self, step, later):
        after = self.states[0][step + 1]
        self.gate_gradients[step] = later[0] * ((after > 0) if self.attributes["relu"] else 1 - after ** 2)
        return [np.matmul(self.gate_gradients[step], self.weights["weight_hidden"])]


class GruCell(Cell):
    """Gates r, z, n, where r multiplies the product of n with the hidden state."""

    def prepare(self):
        self.from_hidden = np.empty_like(self.gates)                     # r acts on the last third

    def advance(self, step, gates):
        before = self.states[0][step]
        from_hidden = self.from_hidden[step]
        from_hidden[...] = np.matmul(before, self.weights["weight_hidden"].T) + self.weights["bias_hidden"]
        self.stored(from_hidden)
        r, z, n = np.split(gates, 3, axis=-1)
        hidden_r, hidden_z, hidden_n = np.split(from_hidden, 3, axis=-1)
        r[...], z[...] = sigmoid(r + hidden_r), sigmoid(z + hidden_z)
        n[...] = np.tanh(n + r * hidden_n)
        self.stored(gates)
        self.states[0][step + 1] = (1 - z) * n + z * before

    def retreat(self, step, later):
        of_hidden, (r, z, n) = later[0], np.split(self.gates[step], 3, axis=-1)
        before, hidden_n = self.states[0][step], self.from_hidden[step][..., -n.shape[-1]:]
        to_r, to_z, to_n = np.split(self.gate_gradients[step], 3, axis=-1)
        to_n[...] = of_hidden * (1 - z) * (1 - n ** 2)
        to_z[...] = of_hidden * (before - n) * z * (1 - z)
        to_r[...] = to_n * hidden_n * r * (1 - r)
        of_sums = np.concatenate([to_r, to_z, to_n * r], axis=-1)
        self.from_hidden[step] = of_sums                                 # read for the last time
        return [of_hidden * z + np.matmul(of_sums, self.weights["weight_hidden"])]

    def hidden_gradients(self, rows, before):
        rows = self.from_hidden.reshape(rows.shape)
        self.gradients["weight_hidden"] = np.matmul(rows.T, before)
        self.gradients["bias_hidden"] = rows.sum(axis=0)


class ResetBeforeGruCell(Cell):
    """Gates r, z, n, where r multiplies the hidden state of which n takes the product."""

    def prepare(self):
        self.reset = np.empty_like(self.states[0][1:])

    def halves(self):
        """The weights of the hidden state for r and z, and for n."""
        rows = 2 * self.attributes["hidden"]
        return self.weights["weight_hidden"][:rows], self.weights["weight_hidden"][rows:]

    def advance(self, step, gates):
        before, (of_gates, of_n) = self.states[0][step], self.halves()
        size = before.shape[-1]
        gates[..., :2 * size] = sigmoid(gates[..., :2 * size] + np.matmul(before, of_gates.T))
        r, z, n = np.split(gates, 3, axis=-1)
        self.reset[step] = r * before
        n[...] = np.tanh(n + np.matmul(self.reset[step], of_n.T))
        self.stored(gates)
        self.states[0][step + 1] = (1 - z) * n + z * before

    def retreat(self, step, later):
        of_hidden, (r, z, n) = later[0], np.split(self.gates[step], 3, axis=-1)
        before, (of_gates, of_n) = self.states[0][step], self.halves()
        to_r, to_z, to_n = np.split(self.gate_gradients[step], 3, axis=-1)
        to_n[...] = of_hidden * (1 - z) * (1 - n ** 2)
        to_z[...] = of_hidden * (before - n) * z * (1 - z)
        of_reset = np.matmul(to_n, of_n)
        to_r[...] = of_reset * before * r * (1 - r)
        return [of_hidden * z + of_reset * r + np.matmul(np.concatenate([to_r, to_z], axis=-1), of_gates)]

    def hidden_gradients(self, rows, before):
        size = before.shape[-1]
        self.gradients["weight_hidden"] = np.concatenate([
            np.matmul(rows[:, :2 * size].T, before),
            np.matmul(rows[:, 2 * size:].T, self.reset.reshape(before.shape)),
        ])


class Recurrent(Operation):
    """A cell for each direction, of which the second reads the sequence from its end."""

    states = 1

    def cell(self):
        raise NotImplementedError

    def forward(self, x, *first):
        self.count = self.attributes.get("directions", 1)
        self.is_given = bool(first)
        shape = (len(x), self.count, self.attributes["hidden"])
        first = first or [np.zeros(shape, dtype=x.dtype)] * self.states
        self.cells, outputs, finals = [], [], []
        for direction in range(self.count):
            suffix = "_reverse" if direction else ""
            own = {
                name[:len(name) - len(suffix)]: weight for name, weight in self.weights.items()
                if name.endswith("_reverse") == bool(direction)
            }
            cell = self.cell()(self.attributes, own, self.rounding)
            output = cell.forward(self.turned(x.swapaxes(0, 1), direction), [each[:, direction] for each in first])
            outputs.append(self.turned(output, direction))
            finals.append([states[-1] for states in cell.states])
            self.cells.append(cell)
        sequence = np.concatenate(outputs, axis=-1).swapaxes(0, 1)
        if not self.attributes.get("final"):
            return sequence
        return (sequence, *(np.stack(each, axis=1) for each in zip(*finals)))

    def turned(self, steps, direction):
        return steps[::-1] if direction else steps

    def backward(self, *gradients):
        like = next(each for each in gradients if each is not None)
        of_x, of_first = [], []
        for direction, cell in enumerate(self.cells):
            none = np.zeros(cell.states[0].shape[1:], dtype=like.dtype)
            steps = np.broadcast_to(none, (len(cell.x), *none.shape))
            if gradients[0] is not None:
                steps = np.split(gradients[0].swapaxes(0, 1), self.count, axis=-1)[direction]
            finals = list(gradients[1:]) or [None] * self.states
            finals = [none if each is None else each[:, direction] for each in finals]
            own_x, own_first = cell.backward(self.turned(steps, direction), finals, self.needs_input_gradient)
            of_first.append(own_first)
            if own_x is not None:
                of_x.append(self.turned(own_x, direction).swapaxes(0, 1))
            suffix = "_reverse" if direction else ""
            self.gradients.update((name + suffix, each) for name, each in cell.gradients.items())
        states = [np.stack(each, axis=1) for each in zip(*of_first)] if self.is_given else []
        return (sum(of_x[1:], of_x[0]) if of_x else None, *states)


class Lstm(Recurrent):
    states = 2

    def cell(self):
        return LstmCell


class Gru(Recurrent):
    def cell(self):
        return GruCell if self.attributes["reset_after"] else ResetBeforeGruCell


class Rnn(Recurrent):
    def cell(self):
        return RnnCell


LOWERINGS = {
    "lstm": Lstm,
    "gru": Gru,
    "rnn": Rnn,
}
