"""The dissimilarity matrix of clusters, stored in tiles; Prim's algorithm and cophenetic distances."""
