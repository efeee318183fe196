// The dendrogram of a branch, its latest merges only: drawing, pointer and keyboard.

const ROOM = { top: 14, right: 14, strip: 12, names: 96 };

const dendrogram = {
  /** Lay out the branch in view for the width of the page. */
  layOut() {
    const { tree } = state, svg = byId("tree"), width = Math.max(280, svg.parentElement.clientWidth);
    const left = width < 560 || !state.meta.values ? 52 : 118;
    const inner = width - left - ROOM.right, { slots, merges } = tree.top(state.zoom, Math.floor(inner / 11));
    const height = width < 560 ? 260 : 340, step = inner / slots.length;
    const x = new Map(slots.map((node, i) => [node, left + (i + 0.5) * step]));
    let most = tree.heightOf(state.zoom);
    for (const node of merges) {
      x.set(node, (x.get(tree.left[node - tree.n]) + x.get(tree.right[node - tree.n])) / 2);
      most = Math.max(most, tree.heightOf(node));
    }
    const top = most * 1.06 || 1, bottom = height;
    const y = (value) => bottom - (bottom - ROOM.top) * Math.min(1, value / top);
    this.shown = { width, left, inner, slots, merges, step, x, y, top, bottom };
  },

  draw() {
    this.layOut();
    const { width, left, inner, bottom, y, top } = this.shown, svg = byId("tree");
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
    const { tree, cut } = state, { slots, merges, step, x, y, left, bottom } = this.shown, ways = new Map(), wide = new Map();
    const add = (to, node, way) => {
      const color = this.colorOf(node);
      to.set(color, (to.get(color) || "") + way);
    };
    for (const node of merges) {
      const [a, b] = [tree.left[node - tree.n], tree.right[node - tree.n]], bar = y(tree.heightOf(node));
      add(ways, node, `M${x.get(a)} ${y(tree.heightOf(a))}V${bar}H${x.get(b)}V${y(tree.heightOf(b))}`);
    }
    const strip = byId("strip");
    strip.replaceChildren();
    slots.forEach((node, i) => {
      const at = x.get(node), half = Math.min(step * 0.4, 9);
      if (node >= tree.n) add(wide, node, `M${at} ${y(tree.heightOf(node))}L${at - half} ${bottom}h${2 * half}Z`);
      const pieces = this.colorOf(node) === "above" ? Math.min(8, tree.size[node]) : 1;
      for (let j = 0; j < pieces; j++) {
        const place = tree.start[node] + Math.floor(((j + 0.5) / pieces) * tree.size[node]);
        const from = left + (i + j / pieces) * step;
        strip.append(drawn("rect", {
          x: from, y: bottom + 3, width: step / pieces + 0.3, height: ROOM.strip,
          style: `fill:${colorOf(cut.labelAt(place))}`,
        }));
      }
    });
    const style = (color, kind) => (color === "above" ? { class: kind + " above" } : { class: kind, style: `--own:${color}` });
    byId("links").replaceChildren(
      ...Array.from(wide, ([color, d]) => drawn("path", { ...style(color, "wide"), d })),
      ...Array.from(ways, ([color, d]) => drawn("path", { ...style(color, "link"), d })),
    );
    this.moveLine();
  },

  /** Colour of the cluster that holds all of a branch, or "above". */
  colorOf(node) {
    const { tree, cut } = state, first = cut.at[tree.start[node]];
    if (first !== cut.at[tree.start[node] + tree.size[node] - 1]) return "above";
    return colorOf(cut.labels[first]);
  },

  /** The line of the cut: a slider, moved by pointer and keyboard. */
  handle() {
    const group = drawn("g", { id: "cut", role: "slider", tabindex: 0, "aria-label": "Height of the cut",
      "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": state.tree.levels[state.tree.merges - 1] });
    group.append(drawn("path", { class: "grab" }), drawn("path", { class: "cut" }), drawn("circle", { r: 6 }),
      drawn("text", { class: "cut-label" }));
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
      const { cut, tree } = state, steps = { ArrowUp: -1, ArrowRight: -1, ArrowDown: 1, ArrowLeft: 1, PageUp: -10, PageDown: 10 };
      const wanted = event.key === "End" ? 1 : event.key === "Home" ? tree.n : this.stepped(cut.nodes.length, steps[event.key]);
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
    const group = byId("cut"), { cut } = state, { left, inner, y, top } = this.shown, right = left + inner;
    const inside = cut.height !== null && cut.height <= top;
    const at = cut.height === null ? ROOM.top : y(cut.height), [grab, line, dot, text] = group.children;
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
    const { tree } = state, { slots, step, x, width } = this.shown, svg = byId("leaves");
    const fits = step >= 11;
    svg.setAttribute("viewBox", `0 0 ${width} ${fits ? ROOM.names : 4}`);
    svg.setAttribute("height", fits ? ROOM.names : 4);
    svg.replaceChildren(...(fits ? slots : []).map((node) => drawn("text", {
      class: "leaf" + (node === state.found ? " found" : ""), transform: `translate(${x.get(node) + 4} 6)rotate(-90)`,
    }, node < tree.n ? nameOf(node, 16) : `(${count(tree.size[node])})`)));
  },

  valueAt(event) {
    const { top, bottom } = this.shown, box = byId("tree").getBoundingClientRect();
    return Math.max(0, (top * (bottom - (event.clientY - box.top))) / (bottom - ROOM.top));
  },

  /** The branch whose stem or leaves are at the pointer, null beside the tree. */
  branchAt(event) {
    const { tree } = state, { slots, step, left } = this.shown;
    const slot = slots[Math.floor((event.clientX - byId("tree").getBoundingClientRect().left - left) / step)];
    if (slot === undefined) return null;
    const value = this.valueAt(event);
    let node = slot;
    while (node !== state.zoom && tree.heightOf(tree.parent[node]) <= value) node = tree.parent[node];
    return node;
  },

  /** Mark the branch that pointer or keyboard is on. */
  mark() {
    const { tree, chosen } = state, { slots, step, left, bottom, y } = this.shown, group = byId("branch");
    group.replaceChildren();
    for (const [node, kind] of [[state.found, "mark found"], [chosen, "mark"]]) {
      if (node === null || node === undefined) continue;
      const inside = slots.map((slot, i) => [slot, i]).filter(([slot]) => tree.contains(node, slot) || tree.contains(slot, node));
      if (!inside.length) continue;
      const from = left + inside[0][1] * step, to = left + (inside[inside.length - 1][1] + 1) * step;
      const high = Math.min(y(tree.heightOf(node)), bottom - 6);
      group.append(drawn("rect", { class: kind, x: from, y: high - 4, width: to - from, height: bottom - high + 8, rx: 3 }));
    }
  },

  /** Move the chosen branch by an arrow key. */
  arrow(key) {
    const { tree } = state, { slots } = this.shown;
    const node = state.chosen ?? state.zoom;
    if (key === "ArrowUp") return node === state.zoom ? node : tree.parent[node];
    if (key === "ArrowDown") return node < tree.n || slots.includes(node) ? node : tree.left[node - tree.n];
    const right = key === "ArrowRight", first = slots.findIndex((slot) => tree.contains(node, slot));
    const inside = slots.filter((slot) => tree.contains(node, slot)).length;
    const next = right ? first + inside : first - 1;
    return slots[Math.min(slots.length - 1, Math.max(0, state.chosen === null ? 0 : next))];
  },

  describe(node) {
    const { tree, cut } = state;
    if (node < tree.n) return [nameOf(node, 80), clusterName(cut.labelAt(tree.start[node])), ...valuesOf(node)];
    const labels = new Set(cut.at.subarray(tree.start[node], tree.start[node] + Math.min(tree.size[node], 1e5)));
    const which = labels.size === 1 ? clusterName(cut.labelAt(tree.start[node])) : plural(labels.size, "cluster");
    return [plural(tree.size[node], "observation"), `merged at ${digits(tree.heightOf(node))}`, which];
  },

  listen() {
    const svg = byId("tree"), figure = byId("explorer");
    svg.addEventListener("pointermove", (event) => {
      choose(this.branchAt(event));
      if (state.chosen !== null) showTip(event.clientX, event.clientY, this.describe(state.chosen));
    });
    svg.addEventListener("pointerleave", () => { choose(null); hideTip(); });
    svg.addEventListener("click", (event) => { figure.focus(); open(this.branchAt(event)); });
    figure.addEventListener("keydown", (event) => this.key(event));
    figure.addEventListener("wheel", (event) => { // plain wheels scroll the page until the figure has the focus
      if (!event.ctrlKey && document.activeElement !== figure) return;
      event.preventDefault();
      if (event.deltaY > 0) zoomOut();
      else this.zoomTowards(event);
    }, { passive: false });
  },

  /** Zoom to the child branch at the pointer. */
  zoomTowards(event) {
    const { tree } = state;
    let node = this.branchAt(event);
    if (node === null) return;
    while (node !== state.zoom && tree.parent[node] !== state.zoom) node = tree.parent[node];
    if (node === state.zoom) node = this.childTowards(event);
    if (node >= tree.n) zoomTo(node);
  },

  childTowards(event) {
    const { tree } = state, [a, b] = [tree.left[state.zoom - tree.n], tree.right[state.zoom - tree.n]];
    const x = event.clientX - byId("tree").getBoundingClientRect().left;
    return Math.abs(this.shown.x.get(a) - x) <= Math.abs(this.shown.x.get(b) - x) ? a : b;
  },

  key(event) {
    if (event.target !== byId("explorer")) return;
    const { key } = event;
    if (key.startsWith("Arrow")) {
      choose(this.arrow(key));
      announce(this.describe(state.chosen).slice(0, 3).join(", "));
    } else if (key === "Enter" || key === " ") open(state.chosen);
    else if (key === "Backspace" || key === "Escape") zoomOut();
    else if (key === "+" || key === "-") cutInto(this.stepped(state.cut.nodes.length, key === "+" ? 1 : -1));
    else return;
    event.preventDefault();
  },
};
