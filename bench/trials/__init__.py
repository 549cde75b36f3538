"""The kinds of trial: proof, timing, layers, pair, micro-benchmark; one file per kind, and what they share."""
