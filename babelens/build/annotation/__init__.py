"""Annotation by people: who reads what, Label Studio there and back, two versions made one gold, and its trail."""
