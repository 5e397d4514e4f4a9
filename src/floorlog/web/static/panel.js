// A series' name, its value now, its chart, and its newest values as a table.

import { Chart } from "./chart.js";
import { history } from "./history.js";
import { make, mark, write } from "./tile.js";
import { age, number, symbol, time } from "./words.js";

const ROWS = 20;

export class Panel {
  // `one` is the series' description; `point` and `zoom` as Chart has them; `title` a node for the head.
  constructor(one, model, { point, zoom, title }) {
    this.one = one;
    this.model = model;
    this.asked = 0;
    this.node = make("section", "trend");
    const header = make("header");
    const heading = make("h2");
    this.shape = make("span", "shape");
    heading.append(this.shape, title ?? one.metric);
    this.now = make("p", "now");
    this.said = document.createTextNode("–");
    this.unit = make("small");
    this.now.append(this.said, this.unit);
    header.append(heading, this.now);
    const meta = make("div", "meta");
    this.age = make("span");
    const readout = make("span");
    readout.setAttribute("aria-live", "polite");
    meta.append(this.age, readout);
    this.why = make("p", "why");
    this.fault = make("p", "why");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "plot");
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${one.device} ${one.metric} over time; arrow keys read single values`);
    this.chart = new Chart(svg, readout, { point, zoom });
    this.table = make("details");
    this.body = make("table");
    this.files = make("p", "files");
    this.table.append(make("summary", "", "Values as a table, and as files"), this.files, this.body);
    this.table.addEventListener("toggle", () => this.list());
    this.node.append(header, this.why, this.fault, meta, svg, this.table);
  }

  // Fetch what the span holds; only the newest question's answer is drawn.
  async load(begin, end) {
    const asked = (this.asked += 1);
    try {
      const data = await history(this.one, begin, end, this.chart.svg.clientWidth || 480);
      if (asked !== this.asked) return;
      this.chart.data = data;
      write(this.fault, "");
    } catch (error) {
      if (asked !== this.asked) return;
      write(this.fault, `history cannot be read: ${error.message}`);
    }
    this.draw(begin, end);
  }

  // A value of the live feed; told apart from one that was late by the caller.
  live(value) {
    if (this.chart.data.kind === "readings") this.chart.add([[value[1], value[4], value[3], 0]]);
  }

  draw(begin, end) {
    const found = [...this.model.findings.values()].filter((one) => one.device === this.one.device && one.metric === this.one.metric);
    this.chart.show(this.one, begin, end, found);
    this.head();
    if (this.table.open) this.list();
  }

  head() {
    const judged = this.model.judge(this.one);
    const text = number(judged.value);
    if (this.said.data !== text) this.said.data = text;
    write(this.unit, symbol(this.one.unit));
    mark(this.node, "level", judged.level || null);
    mark(this.node, "stale", judged.stale ? "" : null);
    mark(this.shape, "level", judged.level);
    write(this.why, judged.why || (this.one.is_learning ? "learning: unusual values are not found yet" : ""));
    if (judged.ts != null) write(this.age, `${judged.stale ? "stale, " : ""}${age(judged.age)} old, ${time(judged.ts, this.model.now())}`);
  }

  list() {
    const [from, to] = [Math.floor(this.chart.begin), Math.ceil(this.chart.end)];
    const query = new URLSearchParams({ device: this.one.device, metric: this.one.metric, from, to });
    if (this.asFiles !== String(query)) {
      this.asFiles = String(query);
      this.files.replaceChildren("All readings of this span: ", ...["csv", "parquet"].map((kind) => {
        const link = make("a", "", kind.toUpperCase());
        link.href = `/api/v1/readings.${kind}?${query}`;
        link.download = `${this.one.device} ${this.one.metric}.${kind}`;
        return link;
      }));
    }
    const rows = this.chart.places().slice(-ROWS).reverse().map(([ts, value]) => {
      const row = make("tr");
      row.append(make("td", "", time(ts, this.model.now())), make("td", "", number(value)));
      return row;
    });
    const head = make("tr");
    head.append(make("th", "", "Time"), make("th", "", "Value"));
    this.body.replaceChildren(head, ...rows);
  }
}
