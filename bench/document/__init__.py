"""A finished report as plain data, its languages, and the formatting of numbers."""
