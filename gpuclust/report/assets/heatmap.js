// The heat map below the dendrogram: means of the sampled rows of each branch, as z-scores of each column.

const COLD = [33, 102, 172],
  HOT = [179, 88, 6];

const heatmap = {
  /** Mean and standard deviation of each column over the sample. */
  prepare() {
    const { meta } = state,
      { width } = meta,
      rows = meta.sample.length;
    this.mean = new Float64Array(width);
    this.spread = new Float64Array(width);
    for (let column = 0; column < width; column++) {
      const found = moments(Array.from({ length: rows }, (_, row) => meta.values[row * width + column]));
      this.mean[column] = found.mean;
      this.spread[column] = found.spread;
    }
  },

  /** Indices into the sample, sorted by place in leaf order, of the rows of a branch. */
  rowsOf(node) {
    const { tree, places } = state,
      from = lowerBound(places, tree.start[node]);
    return [from, lowerBound(places, tree.start[node] + tree.size[node])];
  },

  /** z-score of the mean of a column within a branch; NaN without sampled rows. */
  score(node, column) {
    const { meta, bySample } = state,
      [from, to] = this.rowsOf(node);
    let sum = 0,
      number = 0;
    for (let i = from; i < to; i++) {
      const value = meta.values[bySample[i] * meta.width + column];
      if (value === value) {
        sum += value;
        number++;
      }
    }
    return this.spread[column] > 0
      ? (sum / number - this.mean[column]) / this.spread[column]
      : sum / number - this.mean[column];
  },

  draw() {
    const { meta } = state,
      canvas = byId("heat");
    if (!meta.values) {
      canvas.hidden = true;
      return;
    }
    const { slots, width } = dendrogram.shown,
      row = meta.width > 30 ? 7 : 15;
    this.row = row;
    this.scores = slots.map((node) => Array.from({ length: meta.width }, (_, column) => this.score(node, column)));
    const scale = Math.max(2, window.devicePixelRatio || 1),
      high = meta.width * row + 6;
    canvas.width = width * scale;
    canvas.height = high * scale;
    canvas.style.height = high + "px";
    canvas.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
    this.paint();
  },

  paint() {
    const { meta } = state,
      { slots, step, left, width } = dendrogram.shown,
      pen = byId("heat").getContext("2d");
    if (!meta.values) return;
    const style = getComputedStyle(document.documentElement),
      ink = style.getPropertyValue("--soft");
    const middle = darkened() ? [42, 47, 54] : [244, 244, 242];
    pen.clearRect(0, 0, width, meta.width * this.row + 6);
    this.scores.forEach((scores, i) =>
      scores.forEach((score, column) => {
        if (score !== score) return;
        pen.fillStyle = shade(score / 2.5, middle);
        pen.fillRect(left + i * step, 3 + column * this.row, step + 0.4, this.row - (this.row > 10 ? 1 : 0));
      }),
    );
    pen.fillStyle = style.getPropertyValue("--card");
    for (let i = 1; i < slots.length; i++)
      if (state.cut.at[state.tree.start[slots[i]] - 1] !== state.cut.at[state.tree.start[slots[i]]])
        pen.fillRect(left + i * step - 1, 0, 2, meta.width * this.row + 6);
    if (this.row < 10) return;
    pen.fillStyle = ink;
    pen.font = "11px " + getComputedStyle(document.body).fontFamily;
    pen.textAlign = "right";
    meta.columns.forEach((name, column) =>
      pen.fillText(fitted(pen, name, left - 9), left - 7, column * this.row + 14),
    );
  },

  listen() {
    const canvas = byId("heat");
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect(),
        { slots, step, left } = dendrogram.shown;
      const i = Math.floor((event.clientX - box.left - left) / step),
        column = Math.floor((event.clientY - box.top - 3) / this.row);
      if (slots[i] === undefined || state.meta.columns[column] === undefined) {
        hideTip();
        return;
      }
      const score = this.scores[i][column],
        value = this.mean[column] + score * (this.spread[column] || 1);
      const { tree } = state,
        who = slots[i] < tree.n ? nameOf(slots[i], 60) : plural(tree.size[slots[i]], "observation");
      const said = score === score ? `${digits(value)} (z-score ${digits(score, 3)})` : "no row in the sample";
      showTip(event.clientX, event.clientY, [who, `${displayed(state.meta.columns[column], 60)}: ${said}`]);
    });
    canvas.addEventListener("pointerleave", hideTip);
  },
};

/** The beginning of a name that is no wider than this. */
function fitted(pen, name, room) {
  let most = 24,
    text = displayed(name, most);
  while (most > 2 && pen.measureText(text).width > room) text = displayed(name, --most);
  return text;
}

/** A colour from cold through the middle to hot, for -1 to 1. */
function shade(value, middle) {
  const part = Math.min(1, Math.abs(value)),
    end = value < 0 ? COLD : HOT;
  return `rgb(${middle.map((from, i) => Math.round(from + part * (end[i] - from))).join(",")})`;
}

function darkened() {
  return matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
}

/** First index of a sorted array whose value is at least this one. */
function lowerBound(sorted, value) {
  let low = 0,
    high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Mean and standard deviation of the values that are not missing. */
function moments(values) {
  const known = values.filter((value) => value === value);
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const spread = Math.sqrt(known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length);
  return { mean, spread, count: known.length };
}
