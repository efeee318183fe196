// Pointer and keyboard on the dendrogram.

Object.assign(dendrogram, {
  valueAt(event) {
    const { top, bottom } = this.shown,
      box = byId("tree").getBoundingClientRect();
    return Math.max(0, (top * (bottom - (event.clientY - box.top))) / (bottom - ROOM.top));
  },

  /** The branch whose stem or leaves are at the pointer, null beside the tree. */
  branchAt(event) {
    const { tree } = state,
      { slots, step, left } = this.shown;
    const slot = slots[Math.floor((event.clientX - byId("tree").getBoundingClientRect().left - left) / step)];
    if (slot === undefined) return null;
    const value = this.valueAt(event);
    let node = slot;
    while (node !== state.zoom && tree.heightOf(tree.parent[node]) <= value) node = tree.parent[node];
    return node;
  },

  /** Mark the branch that pointer or keyboard is on. */
  mark() {
    const { tree, chosen } = state,
      { slots, step, left, bottom, y } = this.shown,
      group = byId("branch");
    group.replaceChildren();
    for (const [node, kind] of [
      [state.found, "mark found"],
      [chosen, "mark"],
    ]) {
      if (node === null || node === undefined) continue;
      const inside = slots
        .map((slot, i) => [slot, i])
        .filter(([slot]) => tree.contains(node, slot) || tree.contains(slot, node));
      if (!inside.length) continue;
      const from = left + inside[0][1] * step,
        to = left + (inside[inside.length - 1][1] + 1) * step;
      const high = Math.min(y(tree.heightOf(node)), bottom - 6);
      group.append(
        drawn("rect", { class: kind, x: from, y: high - 4, width: to - from, height: bottom - high + 8, rx: 3 }),
      );
    }
  },

  /** Move the chosen branch by an arrow key. */
  arrow(key) {
    const { tree } = state,
      { slots } = this.shown;
    const node = state.chosen ?? state.zoom;
    if (key === "ArrowUp") return node === state.zoom ? node : tree.parent[node];
    if (key === "ArrowDown") return node < tree.n || slots.includes(node) ? node : tree.left[node - tree.n];
    const right = key === "ArrowRight",
      first = slots.findIndex((slot) => tree.contains(node, slot));
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
    const svg = byId("tree"),
      figure = byId("explorer");
    svg.addEventListener("pointermove", (event) => {
      choose(this.branchAt(event));
      if (state.chosen !== null) showTip(event.clientX, event.clientY, this.describe(state.chosen));
    });
    svg.addEventListener("pointerleave", () => {
      choose(null);
      hideTip();
    });
    svg.addEventListener("click", (event) => {
      figure.focus();
      open(this.branchAt(event));
    });
    figure.addEventListener("keydown", (event) => this.key(event));
    figure.addEventListener(
      "wheel",
      (event) => {
        // plain wheels scroll the page until the figure has the focus
        if (!event.ctrlKey && document.activeElement !== figure) return;
        event.preventDefault();
        if (event.deltaY > 0) zoomOut();
        else this.zoomTowards(event);
      },
      { passive: false },
    );
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
    const { tree } = state,
      [a, b] = [tree.left[state.zoom - tree.n], tree.right[state.zoom - tree.n]];
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
});
