"""The results folder: records, the table made of them, and quoted tables."""
