// One device: each of its series with the last ten minutes, and its anomalies.

import { follow } from "./feed.js";
import { Findings } from "./findings.js";
import { Model } from "./model.js";
import { make, mark, write } from "./tile.js";
import { SPAN_US, Trend } from "./trend.js";
import { age, byName, number, symbol, time } from "./words.js";

const ROWS = 20;
const model = new Model();
const name = document.getElementById("device").dataset.name;
const findings = new Findings(name);
const cards = new Map();

class Card {
  constructor(one) {
    this.node = make("section", "trend");
    const header = make("header");
    const title = make("h2");
    this.shape = make("span", "shape");
    title.append(this.shape, one.metric);
    this.now = make("p", "now");
    this.said = document.createTextNode("–");
    this.unit = make("small");
    this.now.append(this.said, this.unit);
    header.append(title, this.now);
    const meta = make("div", "meta");
    this.age = make("span");
    const readout = make("span");
    readout.setAttribute("aria-live", "polite");
    meta.append(this.age, readout);
    this.why = make("p", "why");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "plot");
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${one.metric}, the last ten minutes; arrow keys read single values`);
    this.trend = new Trend(svg, readout);
    this.table = make("details");
    this.body = make("table");
    this.table.append(make("summary", "", "Newest values as a table"), this.body);
    this.table.addEventListener("toggle", () => this.list());
    this.node.append(header, this.why, meta, svg, this.table);
    this.load(one);
  }

  async load(one) {
    const last = model.values.get(one.i);
    const to = Math.round(Math.min(model.now(), (last?.[1] ?? model.now()) + SPAN_US / 4) + 1e6);
    const query = new URLSearchParams({ device: one.device, metric: one.metric, from: to - SPAN_US, to });
    try {
      const answer = await fetch(`/api/v1/readings?${query}`);
      const content = await answer.json();
      if (!answer.ok) throw new Error(content.detail);
      // A conflict does not move the line: the first stands.
      this.trend.add(content.readings.filter(([, , , flags]) => !(flags & 1)));
    } catch (error) {
      write(this.age, `history cannot be read: ${error.message}`);
    }
    this.show(one);
  }

  show(one) {
    const judged = model.judge(one);
    const text = number(judged.value);
    if (this.said.data !== text) this.said.data = text;
    write(this.unit, symbol(one.unit));
    mark(this.node, "level", judged.level || null);
    mark(this.node, "stale", judged.stale ? "" : null);
    mark(this.shape, "level", judged.level);
    write(this.why, judged.why || (one.is_learning ? "learning: unusual values are not found yet" : ""));
    if (judged.ts != null) write(this.age, `${judged.stale ? "stale, " : ""}${age(judged.age)} old, ${time(judged.ts, model.now())}`);
    this.trend.show(one, model.now());
    if (this.table.open) this.list();
  }

  list() {
    const rows = this.trend.points.slice(-ROWS).reverse().map(([ts, value]) => {
      const row = make("tr");
      row.append(make("td", "", time(ts, model.now())), make("td", "", number(value)));
      return row;
    });
    const head = make("tr");
    head.append(make("th", "", "Time"), make("th", "", "Value"));
    this.body.replaceChildren(head, ...rows);
  }
}

function show() {
  const device = model.devices.get(name);
  document.getElementById("empty").hidden = Boolean(device);
  if (!device) {
    write(document.getElementById("empty"), "No reading of this device has come yet.");
    return;
  }
  write(document.getElementById("asset"), device.asset ? `part of ${device.asset}` : "");
  for (const one of [...device.series].sort((a, b) => byName(a.metric, b.metric))) {
    if (!cards.has(one.i)) {
      cards.set(one.i, new Card(one));
      document.getElementById("trends").append(cards.get(one.i).node);
    }
    const value = model.values.get(one.i);
    const card = cards.get(one.i);
    if (value) card.trend.add([[value[1], value[4]]]);
    card.show(one);
  }
}

follow(model, {
  whole() {
    cards.clear();
    document.getElementById("trends").replaceChildren();
    show();
    findings.show(model);
  },
  touched(names, kind) {
    if (!names.has(name)) return;
    if (kind === "findings") findings.show(model);
    show();
  },
  pulse() {},
});
setInterval(() => { show(); findings.tick(model); }, 1000);
