"""A sentence and its picture in, entities out: one at a time, or files of any size."""
