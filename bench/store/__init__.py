"""The results folder: records, the table made of them, and tables of others."""
