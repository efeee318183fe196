// Text, numbers and colours as in the other results.

const UNSAFE = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu;
const LEFT_OUT = "#bfbfbf";

/** A name for people: control characters and marks of direction are escaped. */
function displayed(name, most = Infinity) {
  const text = name.replace(UNSAFE, (char) => {
    const code = char.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return "\\x" + (code - 0xdc00).toString(16); // a byte that is no UTF-8
    return code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0");
  });
  const chars = Array.from(text);
  return chars.length <= most ? text : chars.slice(0, most - 1).join("") + "…";
}

/** A cell of a CSV file: one that a spreadsheet would take for a formula gets an apostrophe. */
function cell(text) {
  text = text.replace(/[\0\ud800-\udfff]/gu, (char) => displayed(char));
  const number = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text);
  if (/^'*[=+\-@\t\r]/.test(text) && !number) text = "'" + text;
  return /[",\r\n]/.test(text) || text === "" ? '"' + text.replace(/"/g, '""') + '"' : text;
}

function count(value) {
  return value.toLocaleString("en");
}

/** Four significant digits. */
function digits(value, most = 4) {
  if (!Number.isFinite(value)) return "–";
  const text = value.toPrecision(most);
  return /e/.test(text) ? Number(text).toExponential().replace("e+", "e") : String(Number(text));
}

function plural(value, noun) {
  return count(value) + " " + noun + (value === 1 ? "" : "s");
}

/** Colour of the cluster with this label: of the palette, then around the colour circle by the golden angle. */
function colorOf(label) {
  const i = label - 1,
    known = state.meta.palette;
  if (label === 0) return LEFT_OUT;
  if (i < known.length) return `var(--c${i})`;
  const j = i - known.length,
    golden = (Math.sqrt(5) - 1) / 2;
  return hls((0.58 + j * golden) % 1, [0.45, 0.62, 0.32][j % 3], [0.75, 0.7, 0.65][j % 3]);
}

function hls(hue, light, saturation) {
  const high = light <= 0.5 ? light * (1 + saturation) : light + saturation - light * saturation;
  const low = 2 * light - high;
  const part = (at) => {
    const h = ((at % 1) + 1) % 1;
    if (h < 1 / 6) return low + (high - low) * h * 6;
    return h < 0.5 ? high : h < 2 / 3 ? low + (high - low) * (2 / 3 - h) * 6 : low;
  };
  const hex = (value) =>
    Math.round(255 * value)
      .toString(16)
      .padStart(2, "0");
  return "#" + hex(part(hue + 1 / 3)) + hex(part(hue)) + hex(part(hue - 1 / 3));
}

/** Round numbers between two limits. */
function ticks(low, high, wanted = 5) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [];
  const unit = 10 ** Math.floor(Math.log10(span / wanted));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit * wanted >= span * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step); i <= Math.floor(high / step); i++) found.push(i * step);
  return found;
}

/** An element with attributes and content, text or elements; names never become markup. */
function element(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

function drawn(tag, attributes = {}, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

/** Name of an observation, or its number in the input. */
function nameOf(leaf, most) {
  const { names, meta } = state;
  return names ? displayed(names[leaf], most) : String(meta.rows ? meta.rows[leaf] : leaf);
}

function clusterName(label) {
  return label === 0 ? "no cluster" : "cluster " + count(label);
}
