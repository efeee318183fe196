"""Linkages without a stored matrix: dissimilarities of clusters from points, from summaries or from centroids."""
