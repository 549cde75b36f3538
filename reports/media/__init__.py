"""One file per medium: renders a finished document as one text."""
