"""Hierarchical clustering: every name of ``scipy.cluster.hierarchy``, and more.

======================  ==========================================================================
make a tree             linkage; single, complete, average, weighted, centroid, median, ward
flat clusters           fcluster, fclusterdata, leaders, cut_tree; fcluster_many (many cuts at once)
how many                inconsistent, maxdists, maxinconsts, maxRstat; acceleration, suggest_k
how faithful            cophenet, correspond, is_isomorphic; cophenetic_correlation (no n^2 memory)
draw                    dendrogram, set_link_color_palette
leaf order              leaves_list, optimal_leaf_ordering; leaf_positions
other forms             to_tree, ClusterNode, from_mlab_linkage, to_mlab_linkage; to_newick, from_newick
check                   is_valid_linkage, is_valid_im, is_monotonic, num_obs_linkage, ClusterWarning
beside                  DisjointSet
======================  ==========================================================================

Names after a semicolon are not in SciPy. Names are imported when first used.

Linkage matrices of other programs: rows may come in any order in which children precede their parents, in arrays,
nested lists or data frames. Sizes that do not follow from the ids are computed anew, with a
`gpuclust.errors.LinkageWarning`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuclust.core.lazy import export

if TYPE_CHECKING:
    from gpuclust.errors import ClusterWarning as ClusterWarning
    from gpuclust.hierarchy.convert import from_mlab_linkage as from_mlab_linkage
    from gpuclust.hierarchy.convert import to_mlab_linkage as to_mlab_linkage
    from gpuclust.hierarchy.cophenetic import cophenet as cophenet
    from gpuclust.hierarchy.cophenetic import cophenetic_correlation as cophenetic_correlation
    from gpuclust.hierarchy.correspondence import correspond as correspond
    from gpuclust.hierarchy.correspondence import is_isomorphic as is_isomorphic
    from gpuclust.hierarchy.cut import fcluster as fcluster
    from gpuclust.hierarchy.cut import fcluster_many as fcluster_many
    from gpuclust.hierarchy.cut import fclusterdata as fclusterdata
    from gpuclust.hierarchy.cut_tree import cut_tree as cut_tree
    from gpuclust.hierarchy.dendrogram import dendrogram as dendrogram
    from gpuclust.hierarchy.dendrogram import set_link_color_palette as set_link_color_palette
    from gpuclust.hierarchy.disjoint_set import DisjointSet as DisjointSet
    from gpuclust.hierarchy.inconsistent import inconsistent as inconsistent
    from gpuclust.hierarchy.inconsistent import maxdists as maxdists
    from gpuclust.hierarchy.inconsistent import maxinconsts as maxinconsts
    from gpuclust.hierarchy.inconsistent import maxRstat as maxRstat
    from gpuclust.hierarchy.leaders import leaders as leaders
    from gpuclust.hierarchy.newick import to_newick as to_newick
    from gpuclust.hierarchy.newick_reader import from_newick as from_newick
    from gpuclust.hierarchy.ordering import leaf_positions as leaf_positions
    from gpuclust.hierarchy.ordering import leaves_list as leaves_list
    from gpuclust.hierarchy.ordering import optimal_leaf_ordering as optimal_leaf_ordering
    from gpuclust.hierarchy.suggest import Acceleration as Acceleration
    from gpuclust.hierarchy.suggest import Suggestion as Suggestion
    from gpuclust.hierarchy.suggest import acceleration as acceleration
    from gpuclust.hierarchy.suggest import suggest_k as suggest_k
    from gpuclust.hierarchy.tree import ClusterNode as ClusterNode
    from gpuclust.hierarchy.tree import to_tree as to_tree
    from gpuclust.hierarchy.validity import is_monotonic as is_monotonic
    from gpuclust.hierarchy.validity import is_valid_im as is_valid_im
    from gpuclust.hierarchy.validity import is_valid_linkage as is_valid_linkage
    from gpuclust.hierarchy.validity import num_obs_linkage as num_obs_linkage
    from gpuclust.linkage import average as average
    from gpuclust.linkage import centroid as centroid
    from gpuclust.linkage import complete as complete
    from gpuclust.linkage import linkage as linkage
    from gpuclust.linkage import median as median
    from gpuclust.linkage import single as single
    from gpuclust.linkage import ward as ward
    from gpuclust.linkage import weighted as weighted

__all__ = export(
    __name__,
    {
        "gpuclust.linkage": "average centroid complete linkage median single ward weighted",
        "gpuclust.errors": "ClusterWarning",
        "gpuclust.hierarchy.convert": "from_mlab_linkage to_mlab_linkage",
        "gpuclust.hierarchy.cophenetic": "cophenet cophenetic_correlation",
        "gpuclust.hierarchy.correspondence": "correspond is_isomorphic",
        "gpuclust.hierarchy.cut": "fcluster fcluster_many fclusterdata",
        "gpuclust.hierarchy.cut_tree": "cut_tree",
        "gpuclust.hierarchy.dendrogram": "dendrogram set_link_color_palette",
        "gpuclust.hierarchy.disjoint_set": "DisjointSet",
        "gpuclust.hierarchy.inconsistent": "inconsistent maxRstat maxdists maxinconsts",
        "gpuclust.hierarchy.leaders": "leaders",
        "gpuclust.hierarchy.newick": "to_newick",
        "gpuclust.hierarchy.newick_reader": "from_newick",
        "gpuclust.hierarchy.ordering": "leaf_positions leaves_list optimal_leaf_ordering",
        "gpuclust.hierarchy.suggest": "Acceleration Suggestion acceleration suggest_k",
        "gpuclust.hierarchy.tree": "ClusterNode to_tree",
        "gpuclust.hierarchy.validity": "is_monotonic is_valid_im is_valid_linkage num_obs_linkage",
    },
)
