"""A cut of a tree into clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpuclust.app.option import MOST

#: Criteria of `fcluster` by the option that chooses them; only one may be given.
CUTS = {"clusters": "maxclust", "distance": "distance", "inconsistent": "inconsistent"}


@dataclass(frozen=True)
class Cut:
    """How a tree is cut into clusters: `fcluster` with this criterion, threshold, depth (inconsistent) and size."""

    criterion: str
    threshold: float
    depth: int = 2
    min_size: int = 1

    def check(self) -> None:
        if self.criterion == "maxclust" and self.threshold < 1:
            raise ValueError(f"the number of clusters must be at least 1, got {self.threshold:g}")
        if not 0 <= self.threshold < math.inf:
            raise ValueError(f"the threshold of a cut must be a number >= 0, got {self.threshold:g}")
        if self.depth < 1:
            raise ValueError(f"the depth of inconsistency must be at least 1, got {self.depth}")
        if self.depth > MOST:
            raise ValueError(f"the depth of inconsistency must be at most {MOST:,}, got {self.depth}")

    def __str__(self) -> str:
        """As the option: ``clusters 5``."""
        name = next(name for name, criterion in CUTS.items() if criterion == self.criterion)
        return f"{name} {self.threshold:g}"

    def in_words(self) -> str:
        value = f"{self.threshold:g}"
        words = {
            "maxclust": f"into {value} cluster{'s' * (value != '1')}",
            "distance": f"at distance {value}",
            "inconsistent": f"where inconsistency exceeds {value} (depth {self.depth})",
        }[self.criterion]
        return words if self.min_size == 1 else f"{words}, clusters below {self.min_size} left out"
