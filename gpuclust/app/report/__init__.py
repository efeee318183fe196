"""HTML pages: the report of a data set, and what they are made of."""
