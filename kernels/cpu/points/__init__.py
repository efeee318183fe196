"""Searches among points: nearest neighbours, lists of k of them, and Borůvka's shortest outgoing edges."""
