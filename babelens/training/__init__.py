"""Recipes, the loop, its optimiser, its order of data and its state."""
