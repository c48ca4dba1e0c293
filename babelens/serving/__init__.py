"""Prediction over HTTP: a service that batches, refuses what is too much, and does not trust what it is sent."""
