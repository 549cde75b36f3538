"""Where the processes of a trial run: on this machine, or on the nodes that torchrun, mpirun or srun started."""
