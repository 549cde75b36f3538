"""Series of measurements over commits or sessions, ours and those of asv."""
