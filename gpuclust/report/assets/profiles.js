// Tables of the clusters: sizes, silhouettes, representative rows, means and what distinguishes each.

const LISTED = 40, COMPARED = 8, DISTINGUISHING = 3;

const profiles = {
  draw() {
    const { cut, tree, meta } = state;
    const clusters = cut.nodes.map((node, i) => ({ node, label: cut.labels[i], size: tree.size[node] })).filter((each) => each.label > 0);
    clusters.sort((a, b) => b.size - a.size || a.label - b.label);
    const listed = clusters.slice(0, LISTED), wide = this.silhouettes();
    for (const each of listed) this.describe(each, wide);
    byId("clusters").replaceChildren(this.table(listed));
    const out = tree.n - clusters.reduce((sum, each) => sum + each.size, 0), said = [];
    if (clusters.length > LISTED) said.push(`The ${LISTED} largest of ${plural(clusters.length, "cluster")}.`);
    if (out) said.push(`${plural(out, "observation")} in no cluster (label 0).`);
    if (wide.known) said.push(`Mean silhouette ${digits(wide.mean, 3)}${meta.distances.length < tree.n ? `, of a sample of ${count(meta.chosen.length)} observations` : ""}.`);
    if (meta.values && meta.sample.length < tree.n) said.push(`Means and representatives are those of a sample of ${count(meta.sample.length)} rows.`);
    byId("said").textContent = said.join(" ");
    byId("profile").replaceChildren(...(meta.values ? [this.comparison(listed.slice(0, COMPARED))] : []));
    byId("profiles").hidden = !meta.values;
    byId("count").textContent = count(cut.count);
    const largest = clusters.length ? clusters[0].size / tree.n : 0;
    byId("largest").textContent = `${Math.round(100 * largest)} %`;
  },

  /** Add the statistics of one cluster. */
  describe(each, wide) {
    const { meta, bySample } = state;
    each.silhouette = wide.of.get(each.label);
    each.means = [];
    if (!meta.values) { each.representative = this.medoid(each.label); return; }
    const [from, to] = heatmap.rowsOf(each.node), rows = Array.from(bySample.slice(from, to));
    for (let column = 0; column < meta.width; column++) each.means.push(moments(rows.map((row) => meta.values[row * meta.width + column])));
    each.representative = rows.length ? meta.sample[this.nearestTo(each.means, rows)] : null;
    const score = (column) => (heatmap.spread[column] > 0 ? (each.means[column].mean - heatmap.mean[column]) / heatmap.spread[column] : 0);
    const order = each.means.map((_, column) => column).filter((column) => Math.abs(score(column)) >= 0.25);
    order.sort((a, b) => Math.abs(score(b)) - Math.abs(score(a)));
    each.distinct = order.slice(0, DISTINGUISHING).map((column) => [column, score(column)]);
  },

  /** The row of the sample that is nearest to the means. */
  nearestTo(means, rows) {
    const { meta } = state;
    let best = rows[0], closest = Infinity;
    for (const row of rows) {
      let sum = 0;
      means.forEach(({ mean }, column) => {
        const away = meta.values[row * meta.width + column] - mean;
        if (away === away) sum += away * away;
      });
      if (sum < closest) { closest = sum; best = row; }
    }
    return best;
  },

  distance(i, j) {
    const { distances, chosen } = state.meta, s = chosen.length;
    if (i === j) return 0;
    const [a, b] = i < j ? [i, j] : [j, i];
    return distances[s * a - (a * (a + 1)) / 2 + b - a - 1];
  },

  /** The label of each observation whose distances are known. */
  labelsOfChosen(cut = state.cut) {
    const { meta, placeOf } = state;
    return Array.from(meta.chosen, (row) => cut.labelAt(placeOf[row]));
  },

  /** Mean silhouette, and that of each cluster, of the sample whose distances are known. */
  silhouettes(cut) {
    const labels = this.labelsOfChosen(cut), sums = new Map(), numbers = new Map();
    for (const label of labels) if (label) numbers.set(label, (numbers.get(label) || 0) + 1);
    if (numbers.size < 2) return { known: false, of: new Map() };
    let total = 0, known = 0;
    labels.forEach((own, i) => {
      if (!own) return;
      const away = new Map();
      labels.forEach((label, j) => { if (label && j !== i) away.set(label, (away.get(label) || 0) + this.distance(i, j)); });
      const inside = numbers.get(own) > 1 ? (away.get(own) || 0) / (numbers.get(own) - 1) : null;
      let other = Infinity;
      for (const [label, sum] of away) if (label !== own) other = Math.min(other, sum / numbers.get(label));
      const value = inside === null || Math.max(inside, other) === 0 ? 0 : (other - inside) / Math.max(inside, other);
      sums.set(own, (sums.get(own) || 0) + value);
      total += value;
      known++;
    });
    return { known: true, mean: total / known, of: new Map(Array.from(sums, ([label, sum]) => [label, sum / numbers.get(label)])) };
  },

  /** Mean silhouettes of the cuts into 2 to 10 clusters, as buttons that cut so. */
  byNumber() {
    const { tree, meta } = state, found = [];
    for (let k = 2; k <= Math.min(10, tree.n - 1); k++) {
      const cut = new Cut(tree, tree.clustersInto(k), null, meta.smallest), wide = this.silhouettes(cut);
      if (cut.nodes.length === k && wide.known) found.push([k, wide.mean]);
    }
    const best = Math.max(...found.map(([, mean]) => mean));
    byId("silhouettes").replaceChildren(...found.map(([k, mean]) => element("button",
      { type: "button", "data-k": k, "aria-pressed": "false", "aria-label": `${k} clusters: mean silhouette ${mean.toFixed(2)}` },
      element("span", { class: "column", style: `height:${Math.max(2, 60 * Math.max(0, mean)).toFixed(0)}px` }), element("b", {}, String(k)),
      element("small", mean === best ? { class: "best" } : {}, mean.toFixed(2)))));
    byId("silhouette-section").hidden = !found.length;
  },

  /** The observation of the distance sample with the least sum of distances within its cluster; null if there is none. */
  medoid(label) {
    const labels = this.labelsOfChosen(), inside = labels.map((_, i) => i).filter((i) => labels[i] === label);
    let best = null, closest = Infinity;
    for (const i of inside) {
      const sum = inside.reduce((total, j) => total + this.distance(i, j), 0);
      if (sum < closest) { closest = sum; best = i; }
    }
    return best === null ? null : state.meta.sample[state.meta.chosen[best]];
  },

  table(listed) {
    const { meta, tree } = state, largest = listed.length ? listed[0].size : 1;
    const heads = ["cluster", "size", "share", "", "silhouette", "representative", ...(meta.values ? ["distinguished by"] : [])];
    const numeric = new Set(["size", "share", "silhouette"]);
    const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col", ...(numeric.has(text) ? { class: "n" } : {}) }, text)));
    const rows = listed.map((each) => {
      const open = element("button", { type: "button", class: "plain", "aria-label": `Show cluster ${each.label} in the dendrogram` }, String(each.label));
      open.addEventListener("click", () => (each.node >= tree.n ? zoomTo(each.node) : showLeaf(each.node)));
      const swatch = element("span", { class: "swatch", style: `background:${colorOf(each.label)}` });
      const bar = element("span", { class: "bar", style: `width:${((100 * each.size) / largest).toFixed(1)}%;background:${colorOf(each.label)}` });
      return element("tr", {},
        element("td", {}, swatch, open), element("td", { class: "n" }, count(each.size)),
        element("td", { class: "n" }, `${((100 * each.size) / tree.n).toFixed(1)} %`), element("td", { class: "bars" }, bar),
        element("td", { class: "n" }, each.silhouette === undefined ? "–" : each.silhouette.toFixed(2)),
        element("td", {}, this.representative(each)),
        ...(meta.values ? [element("td", { class: "soft distinct" }, this.distinction(each))] : []));
    });
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  },

  representative(each) {
    if (each.representative === null) return "–";
    const button = element("button", { type: "button", class: "plain" }, nameOf(each.representative, 24));
    button.addEventListener("click", () => showLeaf(each.representative));
    return button;
  },

  distinction(each) {
    if (!each.distinct || !each.distinct.length) return "–";
    return each.distinct.map(([column, score]) => `${displayed(state.meta.columns[column], 24)} ${score > 0 ? "+" : "−"}${Math.abs(score).toFixed(1)} sd`).join(", ");
  },

  /** Means and standard deviations of each column in the largest clusters. */
  comparison(clusters) {
    const head = element("tr", {}, element("th", { scope: "col" }, "column"), element("th", { scope: "col", class: "n" }, "all"),
      ...clusters.map(({ label }) => element("th", { scope: "col", class: "n" }, element("span", { class: "swatch", style: `background:${colorOf(label)}` }), String(label))));
    const text = ({ mean, spread }) => [digits(mean), element("small", {}, ` ± ${digits(spread, 2)}`)];
    const rows = state.meta.columns.map((name, column) => element("tr", {}, element("th", { scope: "row" }, displayed(name, 40)),
      element("td", { class: "n" }, ...text({ mean: heatmap.mean[column], spread: heatmap.spread[column] })),
      ...clusters.map(({ means }) => element("td", { class: "n" }, ...text(means[column])))));
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  },
};

/** The values of an observation, if it is in the sample. */
function valuesOf(leaf) {
  const { meta } = state, row = lowerBound(meta.sample, leaf);
  if (!meta.values || meta.sample[row] !== leaf) return [];
  const shown = meta.columns.slice(0, 8).map((name, column) => `${displayed(name, 30)}: ${digits(meta.values[row * meta.width + column])}`);
  return meta.columns.length > 8 ? [...shown, "…"] : shown;
}
