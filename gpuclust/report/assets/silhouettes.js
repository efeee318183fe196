// Silhouettes and medoids of the observations whose distances are known, a sample of at most 150.

const silhouettes = {
  distance(i, j) {
    const { distances, chosen } = state.meta,
      s = chosen.length;
    if (i === j) return 0;
    const [a, b] = i < j ? [i, j] : [j, i];
    return distances[s * a - (a * (a + 1)) / 2 + b - a - 1];
  },

  /** The label of each observation whose distances are known. */
  labels(cut = state.cut) {
    const { meta, placeOf } = state;
    return Array.from(meta.chosen, (row) => cut.labelAt(placeOf[row]));
  },

  /** Mean silhouette, and that of each cluster, of the sample whose distances are known. */
  of(cut) {
    const labels = this.labels(cut),
      sums = new Map(),
      numbers = new Map();
    for (const label of labels) if (label) numbers.set(label, (numbers.get(label) || 0) + 1);
    if (numbers.size < 2) return { known: false, of: new Map() };
    let total = 0,
      known = 0;
    labels.forEach((own, i) => {
      if (!own) return;
      const away = new Map();
      labels.forEach((label, j) => {
        if (label && j !== i) away.set(label, (away.get(label) || 0) + this.distance(i, j));
      });
      const inside = numbers.get(own) > 1 ? (away.get(own) || 0) / (numbers.get(own) - 1) : null;
      let other = Infinity;
      for (const [label, sum] of away) if (label !== own) other = Math.min(other, sum / numbers.get(label));
      const value = inside === null || Math.max(inside, other) === 0 ? 0 : (other - inside) / Math.max(inside, other);
      sums.set(own, (sums.get(own) || 0) + value);
      total += value;
      known++;
    });
    return {
      known: true,
      mean: total / known,
      of: new Map(Array.from(sums, ([label, sum]) => [label, sum / numbers.get(label)])),
    };
  },

  /** Mean silhouettes of the cuts into 2 to 10 clusters, as buttons that cut so. */
  draw() {
    const { tree, meta } = state,
      found = [];
    for (let k = 2; k <= Math.min(10, tree.n - 1); k++) {
      const cut = new Cut(tree, tree.clustersInto(k), null, meta.smallest),
        wide = this.of(cut);
      if (cut.nodes.length === k && wide.known) found.push([k, wide.mean]);
    }
    const best = Math.max(...found.map(([, mean]) => mean));
    byId("silhouettes").replaceChildren(
      ...found.map(([k, mean]) =>
        element(
          "button",
          {
            type: "button",
            "data-k": k,
            "aria-pressed": "false",
            "aria-label": `${k} clusters: mean silhouette ${mean.toFixed(2)}`,
          },
          element("span", { class: "column", style: `height:${Math.max(2, 60 * Math.max(0, mean)).toFixed(0)}px` }),
          element("b", {}, String(k)),
          element("small", mean === best ? { class: "best" } : {}, mean.toFixed(2)),
        ),
      ),
    );
    byId("silhouette-section").hidden = !found.length;
  },

  /** The observation of the distance sample with the least sum of distances within its cluster; null if there is none. */
  medoid(label) {
    const labels = this.labels(),
      inside = labels.map((_, i) => i).filter((i) => labels[i] === label);
    let best = null,
      closest = Infinity;
    for (const i of inside) {
      const sum = inside.reduce((total, j) => total + this.distance(i, j), 0);
      if (sum < closest) {
        closest = sum;
        best = i;
      }
    }
    return best === null ? null : state.meta.sample[state.meta.chosen[best]];
  },
};
