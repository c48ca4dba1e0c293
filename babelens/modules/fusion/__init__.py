"""Words enriched with the regions of their picture."""
