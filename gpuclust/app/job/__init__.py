"""One data set, from its file to a folder of results."""
