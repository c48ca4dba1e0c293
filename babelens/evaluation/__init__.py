"""A model over a corpus: scores, errors, and the page that reports them."""
