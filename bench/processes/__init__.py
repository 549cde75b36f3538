"""How one worker process is started, answers and ends."""
