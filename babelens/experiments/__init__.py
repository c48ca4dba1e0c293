"""The experiments of the paper and others: grids of runs, their protocol, their tables."""
