"""Series of measurements over commits or sessions, from our results or from asv."""
