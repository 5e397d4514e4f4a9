// The pipeline's health: nine figures and the shards.

import { make, mark, write } from "./tile.js";
import { age, bytes, count, number, withDecimals } from "./words.js";

const POINTS = 90;
const LAG_MS_MAX = 10000;
const SVG = "http://www.w3.org/2000/svg";

const share = (part, whole) => (part && whole ? `${part / whole < 0.0001 ? "< 0.01" : withDecimals((100 * part) / whole, 2)} % of received` : "none");

// Each: label, figure, small word beside it, line below, level of abnormality.
const FIGURES = [
  ["Received", (h) => [count(h.received), "", `${count(h.records)} records`]],
  ["Stored", (h) => [count(h.stored), "", h.size_bytes == null ? "" : `${bytes(h.size_bytes)} on disk`]],
  ["Rejected", (h) => [count(h.rejected), "", share(h.rejected, h.received)]],
  ["Duplicate", (h) => [count(h.duplicate), "", share(h.duplicate, h.received)]],
  ["Conflict", (h) => [count(h.conflict), "", h.conflict ? "all kept, first stands" : "none"]],
  ["Gaps", (h) => [count(h.gaps), "", h.gaps ? "input was lost" : "nothing lost", h.gaps ? 2 : 0]],
  ["Throughput", (h) => [h.rate_per_s == null ? "–" : number(Math.round(h.rate_per_s)).replace(/[.,]0+$/, ""), "/s", ""]],
  ["Lag", (h) => {
    const lag = Math.max(0, ...h.shards.map((s) => s.lag_ms));
    const late = lag > LAG_MS_MAX;
    return [lag < 1000 ? `${lag}` : age(lag / 1000).split(" ")[0], lag < 1000 ? "ms" : age(lag / 1000).split(" ")[1], late ? "falling behind" : "worst shard", late ? 2 : 0];
  }],
  ["Disk", disk],
];

function disk(h) {
  const free = h.free_bytes == null ? "" : `${bytes(h.free_bytes)} free`;
  if (h.free_bytes == null) return ["–", "", "not on this machine"];
  if (h.days_left == null) return ["–", "", free];
  const days = h.days_left;
  if (days > 3650) return ["> 10", "years", free];
  return [days < 10 ? withDecimals(days, 1) : count(days), "days left", free, days < 2 ? 3 : days < 14 ? 2 : 0];
}

export class Health {
  constructor() {
    this.cells = new Map();
    this.rates = [];
    const list = document.getElementById("health");
    for (const [name] of FIGURES) {
      const cell = make("div");
      const title = make("dt");
      const shape = make("span", "shape");
      mark(shape, "level", 0);
      title.append(shape, name);
      const figure = make("dd");
      const text = document.createTextNode("–");
      const small = make("small");
      figure.append(text, small);
      const note = make("dd", "note");
      cell.append(title, figure, note);
      list.append(cell);
      this.cells.set(name, { cell, shape, text, small, note });
    }
    this.spark = document.createElementNS(SVG, "polyline");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 16`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(this.spark);
    this.cells.get("Throughput").cell.append(svg);
  }

  show(health) {
    if (!health) return;
    for (const [name, read] of FIGURES) {
      const [figure, small, note, level] = read(health);
      const cell = this.cells.get(name);
      if (cell.text.data !== figure) cell.text.data = figure;
      write(cell.small, small);
      write(cell.note, note);
      mark(cell.shape, "level", level ?? 0);
    }
    this.draw(health.rate_per_s ?? 0);
    this.table(health.shards);
  }

  draw(rate) {
    this.rates.push(rate);
    if (this.rates.length > POINTS) this.rates.shift();
    if (this.rates.length < 10) return;
    const top = Math.max(...this.rates, 1);
    const first = POINTS - this.rates.length;
    this.spark.setAttribute("points", this.rates.map((r, at) => `${first + at},${(15 - (r / top) * 13).toFixed(1)}`).join(" "));
  }

  table(shards) {
    const body = document.querySelector("#shards tbody");
    const shown = shards.filter((s) => s.state !== "ended").slice(0, 50);
    while (body.rows.length > shown.length) body.deleteRow(-1);
    while (body.rows.length < shown.length) {
      const row = body.insertRow();
      for (let n = 0; n < 4; n += 1) row.insertCell();
      const state = make("span");
      state.append(make("span", "shape"), make("span"));
      row.insertCell().append(state);
    }
    shown.forEach((shard, at) => {
      const { cells } = body.rows[at];
      write(cells[0], shard.shard.replace(/^shardId-0*(?=\d)/, ""));
      cells[0].title = shard.shard;
      write(cells[1], shard.lag_ms < 1000 ? `${shard.lag_ms} ms` : age(shard.lag_ms / 1000));
      write(cells[2], count(shard.stored));
      write(cells[3], count(shard.rejected));
      const state = cells[4].firstChild;
      mark(state.firstChild, "level", shard.state === "unread" ? 3 : 0);
      write(state.lastChild, shard.state === "unread" ? "nobody reads" : "read");
      cells[4].title = shard.owner ?? "";
    });
  }
}
