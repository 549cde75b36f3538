"""Why one side is slower: from the records of a contest to a cause, one file per source of evidence."""
