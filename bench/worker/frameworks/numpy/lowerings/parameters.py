"""Values that come from no other layer."""

from ._base import Operation


class ParameterValue(Operation):
    def forward(self):
        return self.weights["value"]

    def backward(self, gradient):
        self.gradients["value"] = gradient
        return ()


LOWERINGS = {
    "parameter": ParameterValue,
}
