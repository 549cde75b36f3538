"""From the table of trials to one row per case, with validity and findings."""
