"""This machine: its hardware, the state of its system, its instruction sets, and specifications of GPUs."""
