// Several series under one another, over any span, with a common cursor; the choice is in the address.

import { ask } from "./api.js";
import { follow } from "./feed.js";
import { RAW_US_MAX } from "./history.js";
import { Model } from "./model.js";
import { Panel } from "./panel.js";
import { Range } from "./range.js";
import { make, write } from "./tile.js";
import { byName, count } from "./words.js";

const PANELS_MAX = 12;
const OFFERS_MAX = 60;
const AGAIN_MS = 15000;
const element = (id) => document.getElementById(id);
const model = new Model();
const panels = new Map(); // key → Panel
const kinds = new Map(); // key → kind; which series there are
const range = new Range(element("range"), () => model.now(), () => load());
let loadedAt = 0;

const keyOf = (one) => JSON.stringify([one.device, one.metric]);
const point = (ts) => { for (const panel of panels.values()) panel.chart.choose(ts); };

function asked() {
  const found = /(?:^|[#&])series=([^&]*)/.exec(location.hash);
  if (!found) return [];
  return decodeURIComponent(found[1]).split("\n").map((line) => line.split("\t")).filter((pair) => pair.length === 2).slice(0, PANELS_MAX);
}

function remember() {
  const kept = location.hash.slice(1).split("&").filter((part) => part && !part.startsWith("series="));
  const chosen = [...panels.values()].map(({ one }) => `${one.device}\t${one.metric}`).join("\n");
  history.replaceState(null, "", `#${[...kept, chosen && `series=${encodeURIComponent(chosen)}`].filter(Boolean).join("&")}`);
}

function describe(device, metric) {
  const known = model.devices.get(device)?.series.find((one) => one.metric === metric);
  return { device, metric, ...known, kind: kinds.get(JSON.stringify([device, metric])) ?? "number" };
}

function add(device, metric) {
  const one = describe(device, metric);
  const key = keyOf(one);
  if (panels.has(key) || panels.size >= PANELS_MAX) return;
  const title = make("span");
  const link = make("a", "", device);
  link.href = `/device?name=${encodeURIComponent(device)}`;
  const away = make("button", "away", "×");
  away.type = "button";
  away.setAttribute("aria-label", `Remove ${device} ${metric}`);
  away.addEventListener("click", () => { panels.delete(key); panel.node.remove(); remember(); offer(); });
  title.append(link, ` ${metric} `, away);
  const panel = new Panel(one, model, { point, title, zoom: (begin, end) => range.zoom(begin, end) });
  panels.set(key, panel);
  element("trends").append(panel.node);
  remember();
  offer();
  panel.load(...range.span());
}

function load() {
  loadedAt = performance.now();
  for (const panel of panels.values()) panel.load(...range.span());
}

function offer() {
  const words = element("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [...kinds.keys()].filter((key) => !panels.has(key) && words.every((word) => key.toLowerCase().includes(word)))
    .map((key) => JSON.parse(key)).sort((a, b) => byName(a[0], b[0]) || byName(a[1], b[1]));
  element("offers").replaceChildren(...found.slice(0, OFFERS_MAX).map(([device, metric]) => {
    const entry = make("li");
    const button = make("button", "", device);
    button.type = "button";
    button.append(make("span", "metric", ` ${metric}`));
    button.addEventListener("click", () => add(device, metric));
    entry.append(button);
    return entry;
  }));
  const more = found.length - OFFERS_MAX;
  write(element("more"), more > 0 ? `and ${count(more)} more: narrow the filter` : found.length ? "" : "No series matches.");
  element("empty").hidden = panels.size > 0;
  write(element("tally"), panels.size ? `${panels.size} of at most ${PANELS_MAX}` : "");
}

async function begin() {
  try {
    let cursor;
    do {
      const page = await ask("series", { limit: 10000, cursor });
      for (const one of page.series) kinds.set(keyOf(one), one.kind);
      cursor = page.next;
    } while (cursor);
  } catch (error) {
    write(element("more"), `Series cannot be listed: ${error.message}`);
  }
  for (const [device, metric] of asked()) add(device, metric);
  offer();
}

function draw() {
  const [from, to] = range.span();
  for (const panel of panels.values()) panel.draw(from, to);
}

element("filter").addEventListener("input", offer);
element("filter").addEventListener("keydown", (event) => { if (event.key === "Enter") element("offers").querySelector("button")?.click(); });
let begun = false;
follow(model, {
  whole() {
    for (const panel of panels.values()) panel.one = describe(panel.one.device, panel.one.metric);
    if (!begun) begin();
    begun = true;
  },
  touched(names, kind) {
    for (const panel of panels.values()) {
      if (!names.has(panel.one.device)) continue;
      if (kind === "series") panel.one = describe(panel.one.device, panel.one.metric);
      const value = model.values.get(panel.one.i);
      if (kind === "values" && value && range.isLive) panel.live(value);
    }
  },
  pulse() {},
});
setInterval(() => {
  const [from, to] = range.span();
  if (range.isLive && to - from > RAW_US_MAX && performance.now() - loadedAt > AGAIN_MS) load();
  else if (range.isLive) draw();
}, 1000);
