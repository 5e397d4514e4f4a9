// One series as a line with its limits, as a band of extremes, or as a ribbon of states.

import { number, stamp, symbol, ticks, withDecimals } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 52;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 20;
const POINTS_MAX = 20000;
const BREAK = 6; // a line is broken where this many usual intervals passed without a reading
const MARKS_MAX = 300;
const DRAG_MIN = 6;

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

function median(sorted) { return sorted[Math.floor(sorted.length / 2)]; }

export class Chart {
  // `point(ts)` is told where the cursor is, null for nowhere; `zoom(begin, end)` what was dragged.
  constructor(svg, readout, { point = () => {}, zoom = null } = {}) {
    this.svg = svg;
    this.readout = readout;
    this.data = { kind: "readings", rows: [], width: 0 };
    this.findings = [];
    this.chosen = null;
    this.point = point;
    const at = (event) => this.time(event.clientX - svg.getBoundingClientRect().left);
    svg.addEventListener("pointermove", (event) => { if (this.one) point(at(event)); this.drag(event); });
    svg.addEventListener("pointerleave", () => point(null));
    svg.addEventListener("blur", () => point(null));
    svg.addEventListener("keydown", (event) => this.key(event));
    if (!zoom) return;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button || !this.one) return;
      this.from = { x: event.clientX, ts: at(event) };
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointerup", (event) => {
      const { from } = this;
      this.from = null;
      this.dragged?.remove();
      this.dragged = null;
      if (from && Math.abs(event.clientX - from.x) >= DRAG_MIN) {
        const to = at(event);
        zoom(Math.min(from.ts, to), Math.max(from.ts, to));
      }
    });
  }

  // Readings may come twice and late: kept sorted by time, as they came within one.
  add(readings) {
    const { rows } = this.data;
    for (const one of readings) {
      let at = rows.length;
      while (at > 0 && rows[at - 1][0] > one[0]) at -= 1;
      if (at > 0 && rows[at - 1][0] === one[0] && rows[at - 1][1] === one[1]) continue;
      rows.splice(at, 0, one);
    }
    if (rows.length > POINTS_MAX) rows.splice(0, rows.length - POINTS_MAX);
  }

  show(one, begin, end, findings = this.findings) {
    this.one = one;
    this.begin = begin;
    this.end = end;
    this.findings = findings;
    this.width = this.svg.clientWidth || 480;
    this.height = this.svg.clientHeight || 190;
    this.y = null;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    const parts = [...this.events(), ...this.times()];
    const { kind, rows } = this.data;
    const spans = kind === "states" || rows.some(([, value]) => typeof value === "string");
    if (!rows.length) parts.push(draw("text", { x: this.width / 2, y: this.height / 2, "text-anchor": "middle" }, "no readings in this span"));
    else if (spans) parts.push(...this.ribbon(one));
    else if (kind === "trend") parts.push(...this.band(one));
    else parts.push(...this.line(one));
    this.svg.replaceChildren(...parts);
    this.drawChosen();
  }

  x(ts) { return LEFT + ((ts - this.begin) / (this.end - this.begin)) * (this.width - LEFT - RIGHT); }

  time(x) { return this.begin + ((x - LEFT) / (this.width - LEFT - RIGHT)) * (this.end - this.begin); }

  *times() {
    const most = Math.max(2, Math.floor((this.width - LEFT) / 110));
    for (const { ts, words } of ticks(this.begin, this.end, most)) {
      const x = this.x(ts);
      yield draw("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM });
      yield draw("text", { x: Math.min(x, this.width - 26), y: this.height - 5, "text-anchor": "middle" }, words);
    }
  }

  *events() {
    for (const finding of this.findings) {
      const from = Math.max(LEFT, this.x(finding.start));
      const to = Math.min(this.width - RIGHT, this.x(finding.end ?? this.end));
      if (to < LEFT || from > this.width - RIGHT) continue;
      const node = draw("rect", { class: "event", x: from, width: Math.max(2, to - from), y: TOP, height: this.height - TOP - BOTTOM });
      node.dataset.level = finding.severity;
      node.append(draw("title", {}, finding.reason));
      yield node;
    }
  }

  // The scale, the zone between the limits, the grid and the limits themselves.
  *scale(one, least, most) {
    let [lo, hi] = [least, most];
    const spread = hi - lo || Math.abs(hi) * 0.02 || 1;
    // Limits that are near belong into the picture; far ones would flatten the line.
    for (const limit of [one.lo, one.hi, one.lolo, one.hihi]) {
      if (limit != null && limit > least - 3 * spread && limit < most + 3 * spread) { lo = Math.min(lo, limit); hi = Math.max(hi, limit); }
    }
    const pad = (hi - lo || spread) * 0.08;
    lo -= pad; hi += pad;
    const y = (value) => TOP + (1 - (value - lo) / (hi - lo)) * (this.height - TOP - BOTTOM);
    this.y = y;
    const clamp = (value) => Math.min(this.height - BOTTOM, Math.max(TOP, y(value)));
    if (one.lo != null || one.hi != null) {
      const top = clamp(one.hi ?? hi);
      yield draw("rect", { class: "zone", x: LEFT, width: this.width - LEFT - RIGHT, y: top, height: Math.max(0, clamp(one.lo ?? lo) - top) });
    }
    const { found, decimals } = steps(lo, hi, Math.max(2, Math.floor(this.height / 45)));
    for (const value of found) {
      yield draw("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y(value), y2: y(value) });
      yield draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, withDecimals(value, decimals));
    }
    for (const [name, limit] of [["low-low", one.lolo], ["low", one.lo], ["high", one.hi], ["high-high", one.hihi]]) {
      if (limit == null || limit < lo || limit > hi) continue;
      yield draw("line", { class: "limit", x1: LEFT, x2: this.width - RIGHT, y1: y(limit), y2: y(limit) });
      yield draw("text", { x: this.width - RIGHT - 2, y: y(limit) - 4, "text-anchor": "end" }, name);
    }
  }

  line(one) {
    const inside = this.data.rows.filter(([ts]) => ts >= this.begin && ts <= this.end);
    const standing = inside.filter(([, , , flags]) => !(flags & 1)); // a conflict does not move the line
    if (!standing.length) return [draw("text", { x: this.width / 2, y: this.height / 2, "text-anchor": "middle" }, "no readings in this span")];
    let [lo, hi] = [Infinity, -Infinity];
    for (const [, value] of inside) { lo = Math.min(lo, value); hi = Math.max(hi, value); }
    const parts = [...this.scale(one, lo, hi), ...this.doubts(standing)];
    parts.push(draw("path", { class: "line", d: this.path(standing.map(([ts, value]) => [ts, value])) }));
    const marked = inside.filter(([, , , flags]) => flags).slice(-MARKS_MAX);
    for (const [ts, value, , flags] of marked) {
      const node = draw("circle", { class: flags & 1 ? "conflict" : "late", cx: this.x(ts), cy: this.y(value), r: 3 });
      node.append(draw("title", {}, flags & 1 ? "contradicts an earlier reading of this time: the first stands" : "came late"));
      parts.push(node);
    }
    const [ts, value] = standing.at(-1);
    parts.push(draw("circle", { class: "dot", cx: this.x(ts), cy: this.y(value), r: 2.5 }));
    return parts;
  }

  band(one) {
    const { rows, width } = this.data;
    let [lo, hi] = [Infinity, -Infinity];
    for (const [, low, , high] of rows) { lo = Math.min(lo, low); hi = Math.max(hi, high); }
    const parts = [...this.scale(one, lo, hi)];
    const longest = this.longest(rows.map(([begin]) => begin));
    let run = [];
    const flush = () => {
      if (!run.length) return;
      const middle = (row) => this.x(row[0] + width / 2).toFixed(1);
      const top = run.map((row) => `${middle(row)} ${this.y(row[3]).toFixed(1)}`);
      const bottom = run.map((row) => `${middle(row)} ${this.y(row[1]).toFixed(1)}`).reverse();
      parts.push(draw("path", { class: "extremes", d: `M${[...top, ...bottom].join("L")}Z` }));
      run = [];
    };
    for (const row of rows) {
      if (run.length && row[0] - run.at(-1)[0] > longest) flush();
      run.push(row);
    }
    flush();
    parts.push(...this.doubts(rows.map((row) => [row[0], 0, row[7] < row[6] ? 0x40000000 : 0]), width));
    parts.push(draw("path", { class: "line", d: this.path(rows.map((row) => [row[0] + width / 2, row[5]])) }));
    return parts;
  }

  // Where quality is not Good, a hatched foot below the line.
  *doubts(rows, width = 0) {
    let from = null;
    let to = null;
    const foot = () => draw("rect", { class: "doubt", x: this.x(from), width: Math.max(2, this.x(to) - this.x(from)), y: this.height - BOTTOM - 7, height: 7 });
    for (const [ts, , quality] of rows) {
      if (quality >>> 30) { from ??= ts; to = ts + width; } else if (from != null) { yield foot(); from = null; }
    }
    if (from != null) yield foot();
  }

  longest(times) {
    const gaps = times.slice(1).map((ts, at) => ts - times[at]).filter((gap) => gap > 0).sort((a, b) => a - b);
    return BREAK * (median(gaps) ?? Infinity);
  }

  path(points) {
    const longest = this.longest(points.map(([ts]) => ts));
    let before = -Infinity;
    return points.map(([ts, value]) => {
      const word = ts - before > longest ? "M" : "L";
      before = ts;
      return `${word}${this.x(ts).toFixed(1)} ${this.y(value).toFixed(1)}`;
    }).join("").replace(/^L/, "M");
  }

  spans() {
    const { kind, rows } = this.data;
    if (kind === "states") return rows;
    const found = [];
    for (const [ts, value] of rows) {
      const state = String(value);
      if (found.length && found.at(-1)[2] === state) found.at(-1)[1] = ts; else found.push([ts, ts, state]);
    }
    return found;
  }

  ribbon(one) {
    const parts = [];
    const tall = Math.min(44, this.height - TOP - BOTTOM - 8);
    const top = (this.height - BOTTOM + TOP - tall) / 2;
    const spans = this.spans();
    spans.forEach(([begin, end, state], at) => {
      const from = Math.max(LEFT, this.x(begin));
      const to = Math.min(this.width - RIGHT, at + 1 < spans.length ? this.x(spans[at + 1][0]) : this.x(end) + 2);
      if (to <= from) return;
      const span = draw("rect", { class: "span", x: from, width: to - from, y: top, height: tall });
      if (one.abnormal?.includes(state)) span.dataset.off = "";
      parts.push(span);
      if (to - from > 9 * state.length) parts.push(draw("text", { x: from + 6, y: top + tall / 2 + 4 }, state));
    });
    return parts;
  }

  // Places that the cursor can stand at: [ts, value to show, value to point at].
  places() {
    const { kind, rows, width } = this.data;
    if (kind === "trend") return rows.map((row) => [row[0] + width / 2, row[5], row]);
    if (kind === "states") return rows.map(([begin, , state]) => [begin, state]);
    return rows.filter(([ts, , , flags]) => ts >= this.begin && ts <= this.end && !(flags & 1));
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -Infinity, End: Infinity }[event.key];
    const places = step == null ? [] : this.places();
    if (!places.length) return;
    event.preventDefault();
    const at = this.chosen ? places.findIndex(([ts]) => ts >= this.chosen[0]) : places.length - 1;
    this.point(places[Math.min(places.length - 1, Math.max(0, at + step))][0]);
  }

  // Put the cursor at the place nearest to a time; nowhere for null.
  choose(ts) {
    this.chosen = null;
    for (const place of ts == null ? [] : this.places()) {
      if (this.data.kind === "states" ? place[0] <= ts : !this.chosen || Math.abs(place[0] - ts) < Math.abs(this.chosen[0] - ts)) this.chosen = place;
    }
    this.drawChosen();
  }

  drawChosen() {
    this.svg.querySelector(".cursor")?.remove();
    const place = this.chosen;
    if (!place || !this.one) { this.readout.textContent = ""; return; }
    const x = Math.max(LEFT, this.x(place[0]));
    if (x <= this.width - RIGHT) this.svg.append(draw("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM }));
    const unit = symbol(this.one.unit);
    const range = place[2] instanceof Array ? ` (${number(place[2][1])} to ${number(place[2][3])})` : "";
    this.readout.textContent = `${stamp(place[0], this.end - this.begin)}  ${number(place[1])}${range} ${unit}`;
  }

  drag(event) {
    if (!this.from) return;
    this.dragged?.remove();
    const left = this.svg.getBoundingClientRect().left;
    const [a, b] = [this.from.x - left, event.clientX - left];
    this.dragged = draw("rect", { class: "dragged", x: Math.max(LEFT, Math.min(a, b)), width: Math.abs(b - a), y: TOP, height: this.height - TOP - BOTTOM });
    this.svg.append(this.dragged);
  }
}
