"""Several calls of ATen that are one call to everyone who reads them."""

KINDS = {"aten.rand.default": "zeros", "aten.rand_like.default": "zeros_like"}


def simplify(graph):
    """Rewrites an exported graph in place: floor(rand + kept) draws 1 with the probability ``kept``, else 0.

    So the layers of transformers leave out samples at random.
    """
    for node in list(graph.nodes):
        found = _rounded(node) if str(node.target) in KINDS else None
        if found is not None:
            floor, kept = found
            _draw(node, floor, kept)
            graph.eliminate_dead_code()


def _rounded(drawn):
    """(the node that rounds a sum down, the number that is added), where nothing else reads numbers drawn."""
    if len(drawn.users) != 1:
        return None
    (total,) = drawn.users
    others = [each for each in total.args if each is not drawn]
    if not str(total.target).startswith("aten.add") or len(total.users) != 1 or not isinstance(others[0], float):
        return None
    (floor,) = total.users
    return (floor, others[0]) if str(floor.target) in ("aten.floor.default", "aten.floor_.default") else None


def _draw(drawn, floor, kept):
    import torch

    drawn.target = getattr(torch.ops.aten, KINDS[str(drawn.target)]).default
    floor.target = torch.ops.aten.bernoulli.p
    floor.args = (drawn, kept)
