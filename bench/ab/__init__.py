"""Compares a base with a new version: pairs of processes take turns until there is a verdict."""
