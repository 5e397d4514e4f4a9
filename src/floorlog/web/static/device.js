// One device: each of its series over a span of time with a common cursor, and its anomalies.

import { follow } from "./feed.js";
import { Findings } from "./findings.js";
import { Model } from "./model.js";
import { Panel } from "./panel.js";
import { Range } from "./range.js";
import { write } from "./tile.js";
import { byName } from "./words.js";
import { RAW_US_MAX } from "./history.js";

const AGAIN_MS = 15000;
const model = new Model();
const name = document.getElementById("device").dataset.name;
const findings = new Findings(name);
const panels = new Map();
const range = new Range(document.getElementById("range"), () => model.now(), () => load());
let loadedAt = 0;

const point = (ts) => { for (const panel of panels.values()) panel.chart.choose(ts); };

// A live span ends where the device's history ends, so that old data is not an empty picture.
function span() {
  if (!range.isLive) return range.span();
  const newest = Math.max(...[...panels.values()].map((panel) => model.values.get(panel.one.i)?.[1] ?? -Infinity));
  const end = Number.isFinite(newest) ? Math.min(model.now(), newest + range.seconds * 0.25e6) : model.now();
  return [end - range.seconds * 1e6, end];
}

function load() {
  loadedAt = performance.now();
  const [begin, end] = span();
  for (const panel of panels.values()) panel.load(begin, end);
}

function show() {
  const device = model.devices.get(name);
  document.getElementById("empty").hidden = Boolean(device);
  if (!device) {
    write(document.getElementById("empty"), "No reading of this device has come yet.");
    return;
  }
  write(document.getElementById("asset"), device.asset ? `part of ${device.asset}` : "");
  let added = false;
  for (const one of [...device.series].sort((a, b) => byName(a.metric, b.metric))) {
    const value = model.values.get(one.i);
    let panel = panels.get(one.i);
    if (!panel) {
      const described = { ...one, kind: typeof value?.[4] === "string" ? "state" : "number" };
      panel = new Panel(described, model, { point, zoom: (begin, end) => range.zoom(begin, end) });
      panels.set(one.i, panel);
      document.getElementById("trends").append(panel.node);
      added = true;
    } else panel.one = { ...one, kind: panel.one.kind };
    if (value && range.isLive) panel.live(value);
  }
  if (added) load();
  draw();
}

function draw() {
  const [begin, end] = span();
  for (const panel of panels.values()) panel.draw(begin, end);
}

follow(model, {
  whole() {
    panels.clear();
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
setInterval(() => {
  const [begin, end] = span();
  // What is too wide to be followed reading by reading is asked for again now and then.
  if (range.isLive && end - begin > RAW_US_MAX && performance.now() - loadedAt > AGAIN_MS) load();
  else if (range.isLive) draw();
  else for (const panel of panels.values()) panel.head();
  findings.tick(model);
}, 1000);
