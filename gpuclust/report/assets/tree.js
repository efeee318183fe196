// The tree of a linkage matrix, and its flat clusters. Observations are nodes 0 to n - 1, merge i is node n + i.

/** Decompress base64 text of a zlib stream. */
async function inflate(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text),
    bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The header of a packed block, with its arrays, whose bytes are stored by significance. */
async function unpack(text) {
  const kinds = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u2: Uint16Array };
  const buffer = await inflate(text),
    length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let from = 4 + length;
  for (const [name, kind, count] of header.arrays) {
    const made = new kinds[kind](count),
      width = made.BYTES_PER_ELEMENT;
    const bytes = new Uint8Array(made.buffer),
      given = new Uint8Array(buffer, from, count * width);
    for (let part = 0, i = 0; part < width; part++)
      for (let to = part; to < bytes.length; to += width) bytes[to] = given[i++];
    header[name] = made;
    from += count * width;
  }
  return header;
}

class Tree {
  /** From the children and the height of each merge. */
  constructor(left, right, height) {
    const merges = height.length,
      n = merges + 1;
    Object.assign(this, { n, merges, left, right, height, root: 2 * n - 2 });
    this.size = new Int32Array(2 * n - 1).fill(1);
    this.parent = new Int32Array(2 * n - 1).fill(-1);
    this.start = new Int32Array(2 * n - 1); // place of the first leaf in leaf order
    this.order = new Int32Array(n); // the observation at each place
    this.level = new Float64Array(merges); // the largest height within, which a cut compares with its threshold
    let rising = true;
    for (let i = 0; i < merges; i++) {
      const a = left[i],
        b = right[i];
      this.size[n + i] = this.size[a] + this.size[b];
      this.parent[a] = this.parent[b] = n + i;
      this.level[i] = Math.max(height[i], this.levelOf(a), this.levelOf(b));
      rising = rising && (i === 0 || this.level[i] >= this.level[i - 1]);
    }
    for (let i = merges - 1; i >= 0; i--) {
      this.start[left[i]] = this.start[n + i];
      this.start[right[i]] = this.start[n + i] + this.size[left[i]];
    }
    for (let leaf = 0; leaf < n; leaf++) this.order[this.start[leaf]] = leaf;
    this.levels = rising ? this.level : Float64Array.from(this.level).sort();
  }

  levelOf(node) {
    return node < this.n ? 0 : this.level[node - this.n];
  }

  heightOf(node) {
    return node < this.n ? 0 : this.height[node - this.n];
  }

  contains(node, other) {
    return this.start[node] <= this.start[other] && this.start[other] < this.start[node] + this.size[node];
  }

  /** Flat clusters of criterion "distance", as nodes in the order of SciPy's labels: a leaf after its sibling. */
  clustersAt(threshold) {
    const nodes = [],
      stack = [this.root];
    while (stack.length) {
      const node = stack.pop();
      if (node < this.n || this.level[node - this.n] <= threshold) {
        nodes.push(node);
        continue;
      }
      let first = this.left[node - this.n],
        second = this.right[node - this.n];
      if (first < this.n && second >= this.n) [first, second] = [second, first];
      stack.push(second, first);
    }
    return nodes;
  }

  /** Flat clusters of criterion "maxclust": at most k; n of them are numbered as the observations are. */
  clustersInto(k) {
    if (k >= this.n) return Array.from({ length: this.n }, (_, leaf) => leaf);
    return this.clustersAt(this.levels[this.merges - k]);
  }

  /** The height between the merges that a cut into this number of clusters makes, and those that it does not. */
  heightBetween(clusters) {
    const above = this.levels[Math.min(this.merges - 1, this.merges - clusters + 1)];
    return clusters > this.merges ? above / 2 : (above + this.levels[this.merges - clusters]) / 2;
  }

  /** Number of clusters of a cut at this height, by bisection. */
  countAt(threshold) {
    let low = 0,
      high = this.merges;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.levels[middle] <= threshold) low = middle + 1;
      else high = middle;
    }
    return this.merges - low + 1;
  }

  /** The latest merges within a branch, and the branches below them in leaf order: at most this number. */
  top(root, most) {
    const shown = [root],
      merges = [];
    while (shown.length < most) {
      let place = 0;
      for (let i = 1; i < shown.length; i++) if (shown[i] > shown[place]) place = i;
      const node = shown[place];
      if (node < this.n) break;
      shown.splice(place, 1, this.left[node - this.n], this.right[node - this.n]);
      merges.push(node);
    }
    return { slots: shown, merges: merges.sort((a, b) => a - b) };
  }
}

/** A cut: clusters as nodes in the order of their labels; those below the smallest size get label 0. */
class Cut {
  constructor(tree, nodes, height, smallest, labels) {
    this.nodes = nodes;
    this.height = height; // null where no line shows the cut
    this.at = new Int32Array(tree.n); // index of the cluster at each place in leaf order
    let last = 0;
    this.labels = labels || Int32Array.from(nodes, (node) => (tree.size[node] < smallest ? 0 : ++last));
    this.count = labels ? labels.reduce((most, label) => Math.max(most, label), 0) : last;
    nodes.forEach((node, i) => this.at.fill(i, tree.start[node], tree.start[node] + tree.size[node]));
  }

  labelAt(place) {
    return this.labels[this.at[place]];
  }
}
