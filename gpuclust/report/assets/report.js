// State of the report, its controls, and what follows when the cut or the branch in view changes.

const state = { chosen: null, found: null, names: null };

function byId(id) {
  return document.getElementById(id);
}

/** Cut at a height, as fcluster(Z, height, "distance"). */
function cutAt(height) {
  setCut(state.tree.clustersAt(height), height);
}

/** Cut into at most k clusters, as fcluster(Z, k, "maxclust"). */
function cutInto(k) {
  const nodes = state.tree.clustersInto(k);
  setCut(nodes, state.tree.heightBetween(nodes.length));
}

function setCut(nodes, height) {
  state.cut = new Cut(state.tree, nodes, height, state.meta.smallest);
  state.waiting = state.waiting || requestAnimationFrame(showCut); // one drawing a frame
}

function showCut() {
  const { cut } = state;
  state.waiting = null;
  dendrogram.color();
  heatmap.paint();
  scatter.draw();
  profiles.draw();
  byId("k").value = cut.nodes.length;
  byId("range").value = Math.min(cut.nodes.length, byId("range").max);
  announce(byId("cut").getAttribute("aria-valuetext"));
  document
    .querySelectorAll("[data-k]")
    .forEach((each) => each.setAttribute("aria-pressed", Number(each.dataset.k) === cut.nodes.length));
}

/** Show a branch; its ancestors that were opened stand in the breadcrumb. */
function zoomTo(node) {
  const { tree } = state;
  state.zoom = node;
  state.chosen = null;
  state.path = [
    ...state.path.filter((each) => each !== node && tree.contains(each, node) && tree.size[each] > tree.size[node]),
    node,
  ];
  showBranch();
}

function zoomOut() {
  if (state.path.length < 2) return;
  state.path.pop();
  state.zoom = state.path[state.path.length - 1];
  state.chosen = null;
  showBranch();
}

function showBranch() {
  dendrogram.draw();
  heatmap.draw();
  scatter.draw();
  const crumbs = state.path.map((node, i) => {
    const text = i === 0 ? `all ${count(state.tree.n)}` : count(state.tree.size[node]);
    const button = element(
      "button",
      { type: "button", class: "plain", ...(node === state.zoom ? { "aria-current": "true" } : {}) },
      text,
    );
    button.addEventListener("click", () => zoomTo(node));
    return element("li", {}, button);
  });
  byId("path").replaceChildren(...crumbs);
  byId("out").disabled = state.path.length < 2;
  announce(`Branch of ${plural(state.tree.size[state.zoom], "observation")}`);
}

/** Open a branch: zoom to it, or mark a single observation. */
function open(node) {
  if (node === null) return;
  if (node < state.tree.n) showLeaf(node);
  else if (node !== state.zoom) zoomTo(node);
}

/** Zoom to the smallest branch around an observation that fills the view, and mark the observation. */
function showLeaf(leaf) {
  const { tree } = state,
    most = Math.min(40, dendrogram.shown.slots.length);
  let node = leaf;
  while (tree.parent[node] >= 0 && (node < tree.n || tree.size[tree.parent[node]] <= most)) node = tree.parent[node];
  state.found = leaf;
  if (state.zoom !== node && !dendrogram.shown.slots.includes(leaf)) zoomTo(node);
  else showBranch();
}

function choose(node) {
  if (state.chosen === node) return;
  state.chosen = node;
  dendrogram.mark();
}

function announce(text) {
  byId("live").textContent = text;
}

function showTip(x, y, lines) {
  const tip = byId("tip");
  tip.replaceChildren(...lines.map((line, i) => element(i ? "div" : "b", {}, line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, document.documentElement.clientWidth - box.width - 4)) + "px";
  tip.style.top = (y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18) + "px";
}

function hideTip() {
  byId("tip").hidden = true;
}

/** labels.csv of the cut, byte for byte as `gpuclust run` writes it. */
function labelsFile() {
  const { tree, cut, meta, names } = state,
    labels = new Int32Array(tree.n);
  for (let place = 0; place < tree.n; place++) labels[tree.order[place]] = cut.labelAt(place);
  const lines = [names ? "row,name,label" : "row,label"];
  for (let leaf = 0; leaf < tree.n; leaf++) {
    const row = meta.rows ? meta.rows[leaf] : leaf;
    lines.push(names ? `${row},${cell(names[leaf])},${labels[leaf]}` : `${row},${labels[leaf]}`);
  }
  return new Blob([lines.join("\n"), "\n"], { type: "text/csv" });
}

function download() {
  const link = element("a", { href: URL.createObjectURL(labelsFile()), download: `labels_${state.cut.count}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1e4);
}

/** Observations whose name, or number, contains a text: at most 20. */
function search(text) {
  const { names, meta, tree } = state,
    wanted = text.trim().toLowerCase(),
    found = [];
  if (!wanted) return found;
  if (names) {
    for (let leaf = 0; leaf < tree.n && found.length < 20; leaf++)
      if (names[leaf].toLowerCase().includes(wanted)) found.push(leaf);
  } else if (/^\d+$/.test(wanted)) {
    const leaf = meta.rows ? lowerBound(meta.rows, Number(wanted)) : Number(wanted);
    if (leaf < tree.n && (!meta.rows || meta.rows[leaf] === Number(wanted))) found.push(leaf);
  }
  return found;
}

function listenToSearch() {
  const box = byId("wanted"),
    list = byId("hits");
  const show = (leaf) => {
    list.replaceChildren();
    showLeaf(leaf);
    byId("explorer").focus();
  };
  box.addEventListener("input", () => {
    const hits = search(box.value);
    list.replaceChildren(
      ...hits.map((leaf) => {
        const button = element("button", { type: "button", class: "plain" }, nameOf(leaf, 60));
        button.addEventListener("click", () => show(leaf));
        return element("li", {}, button);
      }),
    );
    announce(plural(hits.length, "row") + " found");
  });
  box.addEventListener("keydown", (event) => {
    const hits = event.key === "Enter" ? search(box.value) : [];
    if (event.key === "Escape") {
      box.value = "";
      list.replaceChildren();
    }
    if (hits.length) show(hits[0]);
  });
}

function listen() {
  dendrogram.listen();
  heatmap.listen();
  scatter.listen();
  listenToSearch();
  byId("k").addEventListener("change", (event) =>
    cutInto(Math.max(1, Math.min(state.tree.n, Math.trunc(event.target.value) || 1))),
  );
  byId("range").addEventListener("input", (event) => cutInto(Number(event.target.value)));
  document
    .querySelectorAll("[data-k]")
    .forEach((each) => each.addEventListener("click", () => cutInto(Number(each.dataset.k))));
  byId("in").addEventListener("click", () => {
    // to the larger branch
    const { tree, zoom } = state,
      [a, b] = [tree.left[zoom - tree.n], tree.right[zoom - tree.n]];
    const node = state.chosen ?? (tree.size[a] > tree.size[b] ? a : b);
    if (node >= tree.n) zoomTo(node);
  });
  byId("out").addEventListener("click", zoomOut);
  byId("download").addEventListener("click", download);
  for (const media of ["(prefers-color-scheme: dark)", "print"])
    matchMedia(media).addEventListener("change", () => heatmap.paint());
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) {
      width = innerWidth;
      showBranch();
    }
  });
}

/** Draw everything once. Until it succeeds the page shows the drawings that need no script. */
async function start() {
  const meta = await unpack(byId("packed").textContent),
    tree = new Tree(meta.left, meta.right, meta.height);
  Object.assign(state, { meta, tree, zoom: tree.root, path: [tree.root] });
  state.placeOf = Int32Array.from(meta.sample, (leaf) => tree.start[leaf]);
  state.bySample = Int32Array.from(meta.sample.keys()).sort((a, b) => state.placeOf[a] - state.placeOf[b]);
  state.places = state.bySample.map((row) => state.placeOf[row]);
  if (meta.values) heatmap.prepare();
  if (meta.small) state.names = await namesOf();
  for (const id of ["interactive", "plane", "tables"]) byId(id).hidden = false;
  document.querySelectorAll(".static").forEach((each) => {
    each.hidden = true;
  });
  state.cut = meta.nodes
    ? new Cut(tree, Array.from(meta.nodes), meta.cutHeight, meta.smallest, meta.labels)
    : new Cut(tree, tree.clustersInto(Math.min(tree.n, meta.suggested)), null, 1);
  if (!meta.nodes) state.cut.height = tree.heightBetween(state.cut.nodes.length);
  byId("range").max = Math.min(tree.n, 40);
  byId("k").max = tree.n;
  silhouettes.draw();
  showBranch();
  showCut();
  listen();
  document.documentElement.dataset.ready = performance.now().toFixed(0);
  if (!meta.small) {
    state.names = await namesOf();
    showBranch();
    profiles.draw();
    document.documentElement.dataset.named = "";
  }
}

async function namesOf() {
  const given = byId("names");
  return given ? JSON.parse(new TextDecoder().decode(await inflate(given.textContent))) : null;
}

start();
