"""Starts the processes of a trial: on this machine, or on the nodes that torchrun, mpirun or srun started."""
