"""Base against new: pairs of processes that take turns until there is a verdict."""
