"""ONNX files as graphs; the package ``onnx`` is imported inside functions only, since a build may lack it."""


class Refused(Exception):
    """What a file has and cannot be taken: a sentence with the operator, its node, the reason and the remedy."""
