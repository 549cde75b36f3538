"""What the machine does while a trial runs: a sampler process, its readings, and what a region of a trial cost."""
