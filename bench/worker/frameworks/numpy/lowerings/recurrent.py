"""Layers with a state that goes from step to step."""

import numpy as np

from ._base import Operation
from .elementwise import sigmoid


class Lstm(Operation):
    """The product with the input for all steps at once, then step by step. Inside, axis 0 is the step.

    ``gates`` are i, f, g, o after their functions; ``states`` and ``cells`` begin with the zeros before the first step.
    """

    def forward(self, x):
        self.x = np.ascontiguousarray(x.swapaxes(0, 1))
        self.gates = np.matmul(self.x, self.weights["weight_input"].T)
        self.gates += self.weights["bias"]
        steps, batch = self.x.shape[:2]
        self.states = np.zeros((steps + 1, batch, self.attributes["hidden"]), dtype=x.dtype)
        self.cells = np.zeros_like(self.states)
        recurrent = self.weights["weight_hidden"].T
        for step in range(steps):
            gates = self.gates[step]
            gates += np.matmul(self.states[step], recurrent)
            if self.rounding is not None:
                gates[...] = self.rounding.stored(gates)
            i, f, g, o = np.split(gates, 4, axis=-1)                     # views: the functions write into gates
            for gate in (i, f, o):
                gate[...] = sigmoid(gate)
            np.tanh(g, out=g)
            self.cells[step + 1] = f * self.cells[step] + i * g
            self.states[step + 1] = o * np.tanh(self.cells[step + 1])
            if self.rounding is not None:
                self.cells[step + 1] = self.rounding.stored(self.cells[step + 1])
                self.states[step + 1] = self.rounding.rounded(self.states[step + 1])
        return self.states[1:].swapaxes(0, 1)

    def backward(self, gradient):
        gradient = gradient.swapaxes(0, 1)
        gate_gradients = np.empty_like(self.gates)                       # before their functions
        state_gradient = cell_gradient = 0                               # from later steps
        for step in reversed(range(len(gradient))):
            i, f, g, o = np.split(self.gates[step], 4, axis=-1)
            bent = np.tanh(self.cells[step + 1])
            state_gradient = state_gradient + gradient[step]
            cell_gradient = cell_gradient + state_gradient * o * (1 - bent ** 2)
            to_i, to_f, to_g, to_o = np.split(gate_gradients[step], 4, axis=-1)
            to_i[...] = cell_gradient * g * i * (1 - i)
            to_f[...] = cell_gradient * self.cells[step] * f * (1 - f)
            to_g[...] = cell_gradient * i * (1 - g ** 2)
            to_o[...] = state_gradient * bent * o * (1 - o)
            cell_gradient = cell_gradient * f
            state_gradient = np.matmul(gate_gradients[step], self.weights["weight_hidden"])
        rows = gate_gradients.reshape(-1, gate_gradients.shape[-1])
        self.gradients["weight_input"] = np.matmul(rows.T, self.x.reshape(len(rows), -1))
        self.gradients["weight_hidden"] = np.matmul(rows.T, self.states[:-1].reshape(len(rows), -1))
        self.gradients["bias"] = rows.sum(axis=0)
        if not self.needs_input_gradient:
            return (None,)
        return (np.matmul(gate_gradients, self.weights["weight_input"]).swapaxes(0, 1),)


LOWERINGS = {
    "lstm": Lstm,
}
