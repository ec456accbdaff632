"""One HTML page to check a data set by eye."""
