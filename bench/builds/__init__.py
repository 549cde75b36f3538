"""Builds: an interpreter with a framework inside, its environment, and the worker package shipped to it."""
