"""Text encoders: words in, one state per word out."""
