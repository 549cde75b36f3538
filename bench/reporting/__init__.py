"""Gathers what a report needs from a results folder, for the command line, the server and notebooks."""
