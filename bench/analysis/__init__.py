"""Pure functions from stored trials to tables, verdicts and documents; nothing here measures or renders."""
