// Tables of the clusters: sizes, silhouettes, representative rows, means and what distinguishes each.

const LISTED = 40,
  COMPARED = 8,
  DISTINGUISHING = 3;

const profiles = {
  draw() {
    const { cut, tree, meta } = state;
    const clusters = cut.nodes
      .map((node, i) => ({ node, label: cut.labels[i], size: tree.size[node] }))
      .filter((each) => each.label > 0);
    clusters.sort((a, b) => b.size - a.size || a.label - b.label);
    const listed = clusters.slice(0, LISTED),
      wide = silhouettes.of();
    for (const each of listed) this.describe(each, wide);
    byId("clusters").replaceChildren(this.table(listed));
    const out = tree.n - clusters.reduce((sum, each) => sum + each.size, 0),
      said = [];
    if (clusters.length > LISTED) said.push(`The ${LISTED} largest of ${plural(clusters.length, "cluster")}.`);
    if (out) said.push(`${plural(out, "observation")} in no cluster (label 0).`);
    const few = meta.chosen.length < tree.n ? `, of a sample of ${count(meta.chosen.length)} observations` : "";
    if (wide.known) said.push(`Mean silhouette ${digits(wide.mean, 3)}${few}.`);
    if (meta.values && meta.sample.length < tree.n)
      said.push(`Means and representatives are those of a sample of ${count(meta.sample.length)} rows.`);
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
    if (!meta.values) {
      each.representative = silhouettes.medoid(each.label);
      return;
    }
    const [from, to] = heatmap.rowsOf(each.node),
      rows = Array.from(bySample.slice(from, to));
    for (let column = 0; column < meta.width; column++)
      each.means.push(moments(rows.map((row) => meta.values[row * meta.width + column])));
    each.representative = meta.measured
      ? silhouettes.medoid(each.label)
      : rows.length
        ? meta.sample[this.nearestTo(each.means, rows)]
        : null;
    const score = (column) =>
      heatmap.spread[column] > 0 ? (each.means[column].mean - heatmap.mean[column]) / heatmap.spread[column] : 0;
    const order = each.means.map((_, column) => column).filter((column) => Math.abs(score(column)) >= 0.25);
    order.sort((a, b) => Math.abs(score(b)) - Math.abs(score(a)));
    each.distinct = order.slice(0, DISTINGUISHING).map((column) => [column, score(column)]);
  },

  /** The row of the sample that is nearest to the means. */
  nearestTo(means, rows) {
    const { meta } = state;
    let best = rows[0],
      closest = Infinity;
    for (const row of rows) {
      let sum = 0;
      means.forEach(({ mean }, column) => {
        const away = meta.values[row * meta.width + column] - mean;
        if (away === away) sum += away * away;
      });
      if (sum < closest) {
        closest = sum;
        best = row;
      }
    }
    return best;
  },

  table(listed) {
    const { meta, tree } = state,
      largest = listed.length ? listed[0].size : 1;
    const heads = [
      "cluster",
      "size",
      "share",
      "",
      "silhouette",
      "representative",
      ...(meta.values ? ["distinguished by"] : []),
    ];
    const numeric = new Set(["size", "share", "silhouette"]);
    const head = element(
      "tr",
      {},
      ...heads.map((text) => element("th", { scope: "col", ...(numeric.has(text) ? { class: "n" } : {}) }, text)),
    );
    const rows = listed.map((each) => {
      const open = element(
        "button",
        { type: "button", class: "plain", "aria-label": `Show cluster ${each.label} in the dendrogram` },
        String(each.label),
      );
      open.addEventListener("click", () => (each.node >= tree.n ? zoomTo(each.node) : showLeaf(each.node)));
      const swatch = element("span", { class: "swatch", style: `background:${colorOf(each.label)}` });
      const bar = element("span", {
        class: "bar",
        style: `width:${((100 * each.size) / largest).toFixed(1)}%;background:${colorOf(each.label)}`,
      });
      return element(
        "tr",
        {},
        element("td", {}, swatch, open),
        element("td", { class: "n" }, count(each.size)),
        element("td", { class: "n" }, `${((100 * each.size) / tree.n).toFixed(1)} %`),
        element("td", { class: "bars" }, bar),
        element("td", { class: "n" }, each.silhouette === undefined ? "–" : each.silhouette.toFixed(2)),
        element("td", {}, this.representative(each)),
        ...(meta.values ? [element("td", { class: "soft distinct" }, this.distinction(each))] : []),
      );
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
    return each.distinct
      .map(
        ([column, score]) =>
          `${displayed(state.meta.columns[column], 24)} ${score > 0 ? "+" : "−"}${Math.abs(score).toFixed(1)} sd`,
      )
      .join(", ");
  },

  /** Means and standard deviations of each column in the largest clusters. */
  comparison(clusters) {
    const head = element(
      "tr",
      {},
      element("th", { scope: "col" }, "column"),
      element("th", { scope: "col", class: "n" }, "all"),
      ...clusters.map(({ label }) =>
        element(
          "th",
          { scope: "col", class: "n" },
          element("span", { class: "swatch", style: `background:${colorOf(label)}` }),
          String(label),
        ),
      ),
    );
    const text = ({ mean, spread }) => [digits(mean), element("small", {}, ` ± ${digits(spread, 2)}`)];
    const rows = state.meta.columns.map((name, column) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, displayed(name, 40)),
        element("td", { class: "n" }, ...text({ mean: heatmap.mean[column], spread: heatmap.spread[column] })),
        ...clusters.map(({ means }) => element("td", { class: "n" }, ...text(means[column]))),
      ),
    );
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  },
};

/** The values of an observation, if it is in the sample. */
function valuesOf(leaf) {
  const { meta } = state,
    row = lowerBound(meta.sample, leaf);
  if (!meta.values || meta.sample[row] !== leaf) return [];
  const shown = meta.columns
    .slice(0, 8)
    .map((name, column) => `${displayed(name, 30)}: ${digits(meta.values[row * meta.width + column])}`);
  return meta.columns.length > 8 ? [...shown, "…"] : shown;
}
