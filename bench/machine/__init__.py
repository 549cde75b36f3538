"""What this machine is: hardware, the state of its system, instruction sets, specifications of GPUs."""
