"""Encoders, fusions, alignments and heads: modules that know tensors, and nothing of files or models."""
