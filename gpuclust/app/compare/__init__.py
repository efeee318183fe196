"""Other programs on the same data: how each is called, and what the comparison found."""
