"""Sizes that both the algorithms and the plan go by. Light to import."""

#: Observations, at most: their numbers, and the merges of a tree, have 32 bits where many are kept.
MOST = 2**31 - 1
#: Side of a tile of the stored layout: 128 KiB in float64, so that two fit the second-level cache.
TILE = 128
#: The same in Numba's simulator of a GPU, which takes a millisecond for each thread.
TILE_SIMULATED = 16
#: Up to here a matrix of all points is small, and the first round is made on it like the others.
FUSED = 1024
#: Neighbours on a list. More prove more merges, and cost more to find.
NEIGHBOURS = 32
#: Largest number of features at which a kd-tree is tried: one of a million points is 15 levels deep.
TREE_FEATURES = 64
#: Clusters that searches through a tree leave to a matrix: few, but enough to be hard to tell apart by bounds.
LAST = 2048
#: Largest number of features at which a kd-tree of Gaussian points beats float32 screening; the choice is sampled at
#: run time, and the plan assumes this.
BY_TREE = 4
#: Below this number of points screening by boxes does not pay.
FEWEST = 1024
#: Nearest clusters that each cluster keeps on the CPU where there is no matrix: fewer are used up sooner.
LISTED = 6
