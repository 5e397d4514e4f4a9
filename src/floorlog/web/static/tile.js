// One device as a tile: built once, then only what changed is written.

import { scale } from "./model.js";
import { age, number, symbol, time } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const POINTS = 30;

function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text != null) node.textContent = text;
  return node;
}

// Writing the same again would lay the page out anew.
function write(node, text) { if (node.textContent !== text) node.textContent = text; }
function mark(node, name, value) {
  if (value == null || value === false) { if (name in node.dataset) delete node.dataset[name]; }
  else if (node.dataset[name] !== String(value)) node.dataset[name] = value;
}

class Row {
  constructor(one) {
    this.node = make("div", "row");
    this.name = make("dt", "", one.metric);
    this.name.title = one.metric;
    this.bar = make("dd", "bar");
    this.bar.setAttribute("aria-hidden", "true");
    this.inside = make("span", "in");
    this.at = make("span", "at");
    this.bar.append(this.inside, this.at);
    this.spark = make("dd", "spark");
    this.spark.setAttribute("aria-hidden", "true");
    this.line = null; // made when there is something to draw
    this.drawn = null;
    this.value = make("dd", "value");
    this.said = document.createTextNode("");
    this.unit = make("small");
    this.value.append(this.said, this.unit);
    this.age = make("dd", "age");
    this.why = make("dd", "why");
    this.node.append(this.name, this.value, this.age, this.bar, this.spark, this.why);
    this.describe(one);
  }

  describe(one) {
    this.one = one;
    this.scale = scale(one);
    mark(this.bar, "none", this.scale ? null : "");
    if (this.scale) {
      this.inside.style.left = `${this.scale.lo * 100}%`;
      this.inside.style.right = `${(1 - this.scale.hi) * 100}%`;
    }
    write(this.unit, symbol(one.unit));
  }

  // Its last minutes as a line, from the lowest to the highest of them.
  draw(spark) {
    if (!spark || spark.values.length < 2 || this.drawn === spark.ts) return;
    this.drawn = spark.ts;
    if (!this.line) {
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("viewBox", "0 0 58 14");
      this.line = document.createElementNS(SVG, "polyline");
      svg.append(this.line);
      this.spark.append(svg);
    }
    const [lo, hi] = [Math.min(...spark.values), Math.max(...spark.values)];
    const first = POINTS - spark.values.length;
    this.line.setAttribute("points", spark.values.map((value, n) => `${2 * (first + n)},${hi > lo ? (13 - (12 * (value - lo)) / (hi - lo)).toFixed(1) : 7}`).join(" "));
  }

  show(judged, now, spark) {
    const text = number(judged.value);
    if (this.said.data !== text) this.said.data = text;
    if (this.scale && typeof judged.value === "number") {
      const shift = `translateX(${(this.scale.share(judged.value) * 100).toFixed(1)}%)`;
      if (this.at.style.transform !== shift) this.at.style.transform = shift;
    }
    mark(this.node, "level", judged.level || null);
    mark(this.node, "stale", judged.stale ? "" : null);
    write(this.why, judged.why);
    this.draw(spark);
    write(this.age, judged.ts == null ? "never" : age(judged.age));
    const title = judged.ts == null ? "no reading yet" : `${text} ${symbol(this.one.unit)} at ${time(judged.ts, now)}`;
    if (this.node.title !== title) this.node.title = title;
  }
}

export class Tile {
  constructor(device) {
    this.device = device;
    this.node = make("li", "tile");
    const title = make("h4");
    this.shape = make("span", "shape");
    this.shape.setAttribute("role", "img");
    const link = make("a", "", device.name);
    link.href = `/device?name=${encodeURIComponent(device.name)}`;
    this.badge = make("span", "badge", "stale");
    this.badge.hidden = true;
    title.append(this.shape, link, this.badge);
    this.list = make("dl");
    this.node.append(title, this.list);
    this.rows = new Map();
    this.level = 0;
    this.stale = false;
  }

  show(model) {
    const now = model.now();
    let level = 0;
    let stale = this.device.series.length > 0;
    let anyStale = false;
    for (const one of this.device.series) {
      let row = this.rows.get(one.i);
      if (!row) {
        this.rows.set(one.i, (row = new Row(one)));
        this.place(row);
      } else if (row.one !== one) row.describe(one);
      const judged = model.judge(one);
      row.show(judged, now, model.sparks.get(one.i));
      level = Math.max(level, judged.level);
      stale &&= judged.stale;
      anyStale ||= judged.stale;
    }
    this.level = level;
    this.stale = stale;
    this.badge.hidden = !anyStale;
    mark(this.node, "level", level || null);
    mark(this.shape, "level", level);
    const label = ["", "low severity", "medium severity", "high severity"][level];
    if (this.shape.getAttribute("aria-label") !== label) this.shape.setAttribute("aria-label", label);
  }

  place(row) {
    for (const other of this.list.children) {
      if (other.firstChild.textContent > row.one.metric) { other.before(row.node); return; }
    }
    this.list.append(row.node);
  }
}

export { make, mark, write };
