// The last ten minutes of one series as a line, or as a strip of states.

import { hour, number, symbol, withDecimals } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 46;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 20;
export const SPAN_US = 600e6;
const POINTS_MAX = 20000;
const BREAK = 6; // a line is broken where this many usual intervals passed without a reading

function draw(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text != null) node.textContent = text;
  return node;
}

function steps(lo, hi, most) {
  const raw = (hi - lo) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw) ?? raw;
  const found = [];
  for (let x = Math.ceil(lo / step) * step; x <= hi + step * 1e-9; x += step) found.push(Math.abs(x) < step / 1e6 ? 0 : x);
  return { found, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

export class Trend {
  constructor(svg, readout) {
    this.svg = svg;
    this.readout = readout;
    this.points = []; // [ts, value], ascending
    this.chosen = null;
    svg.addEventListener("pointermove", (event) => this.point(event.clientX - svg.getBoundingClientRect().left));
    svg.addEventListener("pointerleave", () => this.choose(null));
    svg.addEventListener("blur", () => this.choose(null));
    svg.addEventListener("keydown", (event) => this.key(event));
  }

  // Readings may come twice and late: kept sorted, one for each time stamp.
  add(readings) {
    for (const [ts, value] of readings) {
      let at = this.points.length;
      while (at > 0 && this.points[at - 1][0] > ts) at -= 1;
      if (at > 0 && this.points[at - 1][0] === ts) continue;
      this.points.splice(at, 0, [ts, value]);
    }
    if (this.points.length > POINTS_MAX) this.points.splice(0, this.points.length - POINTS_MAX);
  }

  show(one, now) {
    const width = this.svg.clientWidth || 480;
    const height = this.svg.clientHeight || 190;
    const newest = this.points.at(-1)?.[0] ?? now;
    const end = Math.min(now, newest + SPAN_US / 4); // history: end where it ends
    this.begin = end - SPAN_US;
    this.end = end;
    this.width = width;
    this.height = height;
    while (this.points.length && this.points[0][0] < this.begin - SPAN_US / 10) this.points.shift();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const parts = [...this.hours()];
    const states = this.points.some(([, value]) => typeof value === "string");
    parts.push(...(states ? this.strip(one) : this.line(one)));
    this.svg.replaceChildren(...parts);
    this.one = one;
    this.drawChosen();
  }

  x(ts) { return LEFT + ((ts - this.begin) / (this.end - this.begin)) * (this.width - LEFT - RIGHT); }

  *hours() {
    const most = this.width < 420 ? 2 : 5;
    const step = most === 2 ? 300e6 : 120e6;
    for (let ts = Math.ceil(this.begin / step) * step; ts <= this.end; ts += step) {
      const x = this.x(ts);
      yield draw("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM });
      yield draw("text", { x: Math.min(x, this.width - 24), y: this.height - 5, "text-anchor": "middle" }, hour(ts));
    }
  }

  line(one) {
    const inside = this.points.filter(([ts]) => ts >= this.begin);
    const values = inside.map(([, value]) => value);
    let lo = Math.min(...values);
    let hi = Math.max(...values);
    if (!values.length) return [draw("text", { x: this.width / 2, y: this.height / 2, "text-anchor": "middle" }, "no readings in these ten minutes")];
    const spread = hi - lo || Math.abs(hi) * 0.02 || 1;
    // Limits that are near belong into the picture; far ones would flatten the line.
    for (const limit of [one.lo, one.hi, one.lolo, one.hihi]) {
      if (limit != null && limit > lo - 3 * spread && limit < hi + 3 * spread) { lo = Math.min(lo, limit); hi = Math.max(hi, limit); }
    }
    const pad = (hi - lo || spread) * 0.08;
    lo -= pad; hi += pad;
    const y = (value) => TOP + (1 - (value - lo) / (hi - lo)) * (this.height - TOP - BOTTOM);
    this.y = y;
    const parts = [];
    const clamp = (value) => Math.min(this.height - BOTTOM, Math.max(TOP, y(value)));
    if (one.lo != null || one.hi != null) {
      const top = clamp(one.hi ?? hi);
      parts.push(draw("rect", { class: "zone", x: LEFT, width: this.width - LEFT - RIGHT, y: top, height: Math.max(0, clamp(one.lo ?? lo) - top) }));
    }
    const { found, decimals } = steps(lo, hi, 4);
    for (const value of found) {
      parts.push(draw("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y(value), y2: y(value) }));
      parts.push(draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, withDecimals(value, decimals)));
    }
    for (const [name, limit] of [["low-low", one.lolo], ["low", one.lo], ["high", one.hi], ["high-high", one.hihi]]) {
      if (limit == null || limit < lo || limit > hi) continue;
      parts.push(draw("line", { class: "limit", x1: LEFT, x2: this.width - RIGHT, y1: y(limit), y2: y(limit) }));
      parts.push(draw("text", { x: this.width - RIGHT - 2, y: y(limit) - 4, "text-anchor": "end" }, name));
    }
    parts.push(draw("path", { class: "line", d: this.path(inside, y) }));
    const [ts, value] = inside.at(-1);
    parts.push(draw("circle", { class: "dot", cx: this.x(ts), cy: y(value), r: 2.5 }));
    return parts;
  }

  path(points, y) {
    const gaps = points.slice(1).map(([ts], at) => ts - points[at][0]).sort((a, b) => a - b);
    const longest = BREAK * (gaps[Math.floor(gaps.length / 2)] ?? Infinity);
    let before = -Infinity;
    return points.map(([ts, value]) => {
      const word = ts - before > longest ? "M" : "L";
      before = ts;
      return `${word}${this.x(ts).toFixed(1)} ${y(value).toFixed(1)}`;
    }).join("").replace(/^L/, "M");
  }

  strip(one) {
    const parts = [];
    this.y = null;
    const tall = 44;
    const top = (this.height - BOTTOM + TOP - tall) / 2;
    for (let at = 0; at < this.points.length;) {
      const [ts, value] = this.points[at];
      let next = at + 1;
      while (next < this.points.length && this.points[next][1] === value) next += 1;
      const from = Math.max(LEFT, this.x(ts));
      const to = next < this.points.length ? this.x(this.points[next][0]) : this.x(this.points.at(-1)[0]) + 2;
      if (to > from) {
        const span = draw("rect", { class: "span", x: from, width: to - from, y: top, height: tall });
        if (one.abnormal?.includes(String(value))) span.dataset.off = "";
        parts.push(span);
        if (to - from > 9 * String(value).length) parts.push(draw("text", { x: from + 6, y: top + tall / 2 + 4 }, String(value)));
      }
      at = next;
    }
    return parts;
  }

  point(x) {
    if (!this.points.length) return;
    const ts = this.begin + ((x - LEFT) / (this.width - LEFT - RIGHT)) * (this.end - this.begin);
    let best = 0;
    this.points.forEach(([at], n) => { if (Math.abs(at - ts) < Math.abs(this.points[best][0] - ts)) best = n; });
    this.choose(this.points[best]);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -Infinity, End: Infinity }[event.key];
    if (step == null || !this.points.length) return;
    event.preventDefault();
    const at = this.chosen ? this.points.indexOf(this.chosen) : this.points.length - 1;
    this.choose(this.points[Math.min(this.points.length - 1, Math.max(0, at + step))]);
  }

  choose(point) {
    this.chosen = point;
    this.drawChosen();
  }

  drawChosen() {
    this.svg.querySelector(".cursor")?.remove();
    const point = this.chosen;
    if (!point || point[0] < this.begin) { this.readout.textContent = ""; return; }
    const x = this.x(point[0]);
    this.svg.append(draw("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM }));
    this.readout.textContent = `${hour(point[0])}  ${number(point[1])} ${symbol(this.one.unit)}`;
  }
}
