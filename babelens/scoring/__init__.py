"""Scores of predicted entities and kinds of errors: pure functions on entities, without torch."""
