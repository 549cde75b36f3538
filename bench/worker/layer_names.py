"""Names of layers that an importer makes of a user's own."""

import re

LONGEST = 120


def fresh(taken, wanted, instead="_"):
    """The wanted name as traces can carry it, numbered where it is among those ``taken``, to which it is added.

    ``instead`` stands for what traces cannot carry.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", instead, wanted).strip(".-").lstrip("_")[:LONGEST] or "layer"
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = "%s_%d" % (name, count)
    taken.add(unique)
    return unique
