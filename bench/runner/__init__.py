"""From a plan to stored records."""
