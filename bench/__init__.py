"""Rigmark: identical neural networks across frameworks, builds, devices and precisions, timed so as to be believed."""

__version__ = "0.1.0"
