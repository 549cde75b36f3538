"""Runs a plan: measures its trials and stores their records."""
