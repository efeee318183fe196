// The sampled points in the plane, in the colours of their clusters; those outside the branch in view are pale.

const scatter = {
  limits(from) {
    const values = Array.from(this.places.keys()).map((i) => this.places[i][from]);
    let low = Infinity,
      high = -Infinity;
    for (const value of values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const room = 0.05 * (high - low) || Math.abs(low) * 0.05 || 1;
    return [low - room, high + room];
  },

  draw() {
    const { meta, tree, cut, places, bySample, zoom } = state,
      svg = byId("points");
    const width = Math.max(280, svg.parentElement.clientWidth),
      height = 340,
      box = { left: 56, right: width - 12, top: 12, bottom: height - 46 };
    this.places = Array.from(meta.sample, (leaf, i) => [
      meta.place[2 * i],
      meta.strip ? cut.labelAt(state.placeOf[i]) : meta.place[2 * i + 1],
    ]);
    const [x0, x1] = this.limits(0),
      [y0, y1] = this.limits(1);
    this.x = (value) => box.left + ((value - x0) / (x1 - x0)) * (box.right - box.left);
    this.y = (value) => box.bottom - ((value - y0) / (y1 - y0)) * (box.bottom - box.top);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    const ways = new Map();
    for (let i = 0; i < places.length; i++) {
      // in leaf order
      const place = places[i],
        at = this.places[bySample[i]],
        pale = place < tree.start[zoom] || place >= tree.start[zoom] + tree.size[zoom];
      const key = `${cut.labelAt(place)} ${pale ? "pale" : ""}`;
      ways.set(key, (ways.get(key) || "") + `M${this.x(at[0]).toFixed(1)} ${this.y(at[1]).toFixed(1)}h0`);
    }
    const size = Math.min(7, Math.max(3, 150 / Math.sqrt(places.length)));
    const dots = Array.from(ways, ([key, d]) => {
      const [label, pale] = key.split(" ");
      return drawn("path", {
        class: `dots ${pale}`,
        "data-label": label,
        style: `--own:${colorOf(Number(label))}`,
        "stroke-width": size,
        d,
      });
    });
    dots.sort((a, b) =>
      a.classList.contains("pale") === b.classList.contains("pale") ? 0 : a.classList.contains("pale") ? -1 : 1,
    );
    svg.replaceChildren(
      this.axes(box, [x0, x1], [y0, y1], width, height),
      ...dots,
      drawn("circle", { id: "ring", r: 8, visibility: "hidden" }),
    );
    this.ring(state.found);
  },

  axes(box, xs, ys, width, height) {
    const group = drawn("g"),
      [along, up] = state.meta.axes;
    for (const value of ticks(...ys)) {
      group.append(drawn("path", { class: "grid", d: `M${box.left} ${this.y(value)}H${box.right}` }));
      group.append(drawn("text", { class: "tick left", x: box.left - 8, y: this.y(value) + 4 }, digits(value, 6)));
    }
    for (const value of ticks(...xs))
      group.append(drawn("text", { class: "tick", x: this.x(value), y: box.bottom + 16 }, digits(value, 6)));
    group.append(drawn("text", { class: "axis", x: (box.left + box.right) / 2, y: height - 8 }, along));
    group.append(
      drawn("text", { class: "axis", transform: `translate(13 ${(box.top + box.bottom) / 2})rotate(-90)` }, up),
    );
    return group;
  },

  /** Put a ring around an observation, if it is in the sample. */
  ring(leaf) {
    const ring = byId("ring"),
      i = leaf === null ? -1 : lowerBound(state.meta.sample, leaf);
    const there = i >= 0 && state.meta.sample[i] === leaf;
    ring.setAttribute("visibility", there ? "visible" : "hidden");
    if (!there) return;
    ring.setAttribute("cx", this.x(this.places[i][0]));
    ring.setAttribute("cy", this.y(this.places[i][1]));
  },

  nearest(event) {
    const box = byId("points").getBoundingClientRect(),
      x = event.clientX - box.left,
      y = event.clientY - box.top;
    let best = null,
      closest = 12 ** 2;
    this.places.forEach(([a, b], i) => {
      const away = (this.x(a) - x) ** 2 + (this.y(b) - y) ** 2;
      if (away < closest) {
        closest = away;
        best = state.meta.sample[i];
      }
    });
    return best;
  },

  listen() {
    const svg = byId("points");
    svg.addEventListener("pointermove", (event) => {
      const leaf = this.nearest(event);
      this.ring(leaf === null ? state.found : leaf);
      choose(leaf);
      if (leaf === null) hideTip();
      else showTip(event.clientX, event.clientY, dendrogram.describe(leaf));
    });
    svg.addEventListener("pointerleave", () => {
      this.ring(state.found);
      choose(null);
      hideTip();
    });
    svg.addEventListener("click", (event) => {
      const leaf = this.nearest(event);
      if (leaf !== null) showLeaf(leaf);
    });
  },
};
