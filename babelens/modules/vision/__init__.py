"""Region encoders: pictures in, regions out."""
