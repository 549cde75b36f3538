"""Estimates, intervals, decisions and change points: numbers in, numbers out."""
