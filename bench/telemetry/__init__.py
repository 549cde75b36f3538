"""Telemetry of a trial: a process that reads the machine's sensors, its readings, and the energy of each region."""
