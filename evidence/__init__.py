"""Scripts that reproduce what Rigmark claims of itself."""
