"""Builds: an interpreter with a framework, its environment variables, and the worker package shipped to it."""
