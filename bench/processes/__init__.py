"""Starts one worker process, and judges how it ended."""
