"""The version of Rigmark."""

__version__ = "0.1.0"
