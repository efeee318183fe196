// The dendrogram of a branch, its latest merges only, and the line of the cut.

const ROOM = { top: 14, right: 14, strip: 12, names: 96 };

const dendrogram = {
  /** Lay out the branch in view for the width of the page. */
  layOut() {
    const { tree } = state,
      svg = byId("tree"),
      width = Math.max(280, svg.parentElement.clientWidth);
    const left = width < 560 || !state.meta.values ? 52 : 118;
    const inner = width - left - ROOM.right,
      { slots, merges } = tree.top(state.zoom, Math.floor(inner / 11));
    const height = width < 560 ? 260 : 340,
      step = inner / slots.length;
    const x = new Map(slots.map((node, i) => [node, left + (i + 0.5) * step]));
    let most = tree.heightOf(state.zoom);
    for (const node of merges) {
      x.set(node, (x.get(tree.left[node - tree.n]) + x.get(tree.right[node - tree.n])) / 2);
      most = Math.max(most, tree.heightOf(node));
    }
    const top = most * 1.06 || 1,
      bottom = height;
    const y = (value) => bottom - (bottom - ROOM.top) * Math.min(1, value / top);
    this.shown = { width, left, inner, slots, merges, step, x, y, top, bottom };
  },

  draw() {
    this.layOut();
    const { width, left, inner, bottom, y, top } = this.shown,
      svg = byId("tree");
    svg.setAttribute("viewBox", `0 0 ${width} ${bottom + ROOM.strip + 4}`);
    svg.setAttribute("height", bottom + ROOM.strip + 4);
    const grid = drawn("g");
    for (const value of ticks(0, top)) {
      grid.append(drawn("path", { class: "grid", d: `M${left} ${y(value)}h${inner}` }));
      grid.append(drawn("text", { class: "tick left", x: left - 8, y: y(value) + 4 }, digits(value)));
    }
    const parts = ["branch", "links", "strip"].map((id) => drawn("g", { id }));
    svg.replaceChildren(grid, ...parts, this.handle());
    this.names();
    this.color();
    this.mark();
  },

  /** Colour links and the strip below by cluster, and move the line of the cut. */
  color() {
    const { tree, cut } = state,
      { slots, merges, step, x, y, left, bottom } = this.shown,
      ways = new Map(),
      wide = new Map();
    const add = (to, node, way) => {
      const color = this.colorOf(node);
      to.set(color, (to.get(color) || "") + way);
    };
    for (const node of merges) {
      const [a, b] = [tree.left[node - tree.n], tree.right[node - tree.n]],
        bar = y(tree.heightOf(node));
      add(ways, node, `M${x.get(a)} ${y(tree.heightOf(a))}V${bar}H${x.get(b)}V${y(tree.heightOf(b))}`);
    }
    const strip = byId("strip");
    strip.replaceChildren();
    slots.forEach((node, i) => {
      const at = x.get(node),
        half = Math.min(step * 0.4, 9);
      if (node >= tree.n) add(wide, node, `M${at} ${y(tree.heightOf(node))}L${at - half} ${bottom}h${2 * half}Z`);
      const pieces = this.colorOf(node) === "above" ? Math.min(8, tree.size[node]) : 1;
      for (let j = 0; j < pieces; j++) {
        const place = tree.start[node] + Math.floor(((j + 0.5) / pieces) * tree.size[node]);
        const from = left + (i + j / pieces) * step;
        strip.append(
          drawn("rect", {
            x: from,
            y: bottom + 3,
            width: step / pieces + 0.3,
            height: ROOM.strip,
            style: `fill:${colorOf(cut.labelAt(place))}`,
          }),
        );
      }
    });
    const style = (color, kind) =>
      color === "above" ? { class: kind + " above" } : { class: kind, style: `--own:${color}` };
    byId("links").replaceChildren(
      ...Array.from(wide, ([color, d]) => drawn("path", { ...style(color, "wide"), d })),
      ...Array.from(ways, ([color, d]) => drawn("path", { ...style(color, "link"), d })),
    );
    this.moveLine();
  },

  /** Colour of the cluster that holds all of a branch, or "above". */
  colorOf(node) {
    const { tree, cut } = state,
      first = cut.at[tree.start[node]];
    if (first !== cut.at[tree.start[node] + tree.size[node] - 1]) return "above";
    return colorOf(cut.labels[first]);
  },

  /** The line of the cut: a slider, moved by pointer and keyboard. */
  handle() {
    const group = drawn("g", {
      id: "cut",
      role: "slider",
      tabindex: 0,
      "aria-label": "Height of the cut",
      "aria-orientation": "vertical",
      "aria-valuemin": 0,
      "aria-valuemax": state.tree.levels[state.tree.merges - 1],
    });
    group.append(
      drawn("path", { class: "grab" }),
      drawn("path", { class: "cut" }),
      drawn("circle", { r: 6 }),
      drawn("text", { class: "cut-label" }),
    );
    group.addEventListener("pointerdown", (event) => {
      group.setPointerCapture(event.pointerId);
      group.focus({ preventScroll: true });
      event.preventDefault();
    });
    group.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // no scrolling
    group.addEventListener("pointermove", (event) => {
      if (group.hasPointerCapture(event.pointerId)) cutAt(this.valueAt(event), "pointer");
      event.stopPropagation();
    });
    group.addEventListener("click", (event) => event.stopPropagation());
    group.addEventListener("keydown", (event) => {
      const { cut, tree } = state,
        steps = { ArrowUp: -1, ArrowRight: -1, ArrowDown: 1, ArrowLeft: 1, PageUp: -10, PageDown: 10 };
      const wanted =
        event.key === "End" ? 1 : event.key === "Home" ? tree.n : this.stepped(cut.nodes.length, steps[event.key]);
      if (!wanted) return;
      event.preventDefault();
      event.stopPropagation();
      cutInto(wanted);
    });
    return group;
  },

  /** The next number of clusters that a cut can have: merges of equal height are cut together. */
  stepped(from, by) {
    if (!by) return 0;
    const { tree } = state;
    let wanted = Math.min(tree.n, Math.max(1, from + by));
    while (by > 0 && wanted < tree.n && tree.countAt(tree.levels[tree.merges - wanted]) <= from) wanted++;
    return wanted;
  },

  moveLine() {
    const group = byId("cut"),
      { cut } = state,
      { left, inner, y, top } = this.shown,
      right = left + inner;
    const inside = cut.height !== null && cut.height <= top;
    const at = cut.height === null ? ROOM.top : y(cut.height),
      [grab, line, dot, text] = group.children;
    grab.setAttribute("d", `M${left} ${at}h${inner}`);
    line.setAttribute("d", `M${left} ${at}h${inner}`);
    line.toggleAttribute("hidden", !inside);
    dot.setAttribute("cx", right - 6);
    dot.setAttribute("cy", at);
    text.setAttribute("x", right - 18);
    text.setAttribute("y", at < ROOM.top + 16 ? at + 16 : at - 6);
    const where = cut.height === null ? "no height separates them" : `cut at ${digits(cut.height)}`;
    text.textContent = `${plural(cut.count, "cluster")}, ${where}${cut.height !== null && !inside ? " (above)" : ""}`;
    group.setAttribute("aria-valuenow", cut.height === null ? 0 : cut.height);
    group.setAttribute("aria-valuetext", text.textContent);
  },

  /** Names of leaves below the tree and the heat map, where there is room. */
  names() {
    const { tree } = state,
      { slots, step, x, width } = this.shown,
      svg = byId("leaves");
    const texts =
      step < 11 ? [] : slots.map((node) => (node < tree.n ? nameOf(node, 16) : `(${count(tree.size[node])})`));
    const high = Math.min(ROOM.names, 10 + 7 * Math.max(0, ...texts.map((text) => text.length)));
    svg.setAttribute("viewBox", `0 0 ${width} ${high}`);
    svg.setAttribute("height", high);
    svg.replaceChildren(
      ...texts.map((text, i) => {
        const kind = "leaf" + (slots[i] === state.found ? " found" : "");
        return drawn("text", { class: kind, transform: `translate(${x.get(slots[i]) + 4} 6)rotate(-90)` }, text);
      }),
    );
  },
};
