"""Declarations, the zoo, the one model class, batches and checkpoints."""
