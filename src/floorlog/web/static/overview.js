// The overview: what needs attention first, then the rest by name; updated in place.

import { ask } from "./api.js";
import { follow } from "./feed.js";
import { Findings } from "./findings.js";
import { Health } from "./health.js";
import { Model } from "./model.js";
import { Tile, make, write } from "./tile.js";
import { byName, count, severity } from "./words.js";

const TILES_MAX = 600;
const REGROUP_MS = 2000;
const GROUPS = [["attention", "Needs attention"], ["stale", "No recent reading"], ["expected", "As expected"]];
const VIEWS = [["all", "All"], ["attention", "Abnormal"], ["stale", "Stale"]];

const model = new Model();
const tiles = new Map();
const dirty = new Set();
const findings = new Findings();
const health = new Health();
const filter = document.getElementById("filter");
const groups = new Map();
const buttons = new Map();
let view = "all";
let frame = 0;
let regroupAt = 0;
let listChanged = false;

for (const [name, title] of GROUPS) {
  const node = make("section", "group");
  const heading = make("h3", "", title);
  const tally = make("span", "count num");
  heading.append(tally);
  const list = make("ul", "tiles");
  const more = make("p", "empty");
  node.append(heading, list, more);
  document.getElementById("groups").append(node);
  groups.set(name, { node, list, tally, more });
}
for (const [name, title] of VIEWS) {
  const button = make("button", "", title);
  button.type = "button";
  const tally = make("span", "count num");
  button.append(tally);
  button.addEventListener("click", () => { view = name; regroup(); });
  document.getElementById("views").append(button);
  buttons.set(name, { button, tally });
}
filter.addEventListener("input", () => regroup());
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement?.tagName !== "INPUT") { event.preventDefault(); filter.focus(); }
  if (event.key === "Escape" && document.activeElement === filter) { filter.value = ""; regroup(); }
});

const groupOf = (tile) => (tile.level ? "attention" : tile.stale ? "stale" : "expected");

function soon() {
  if (!frame) frame = requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  for (const name of dirty) {
    const device = model.devices.get(name);
    if (!device) continue;
    let tile = tiles.get(name);
    if (!tile) { tiles.set(name, (tile = new Tile(device))); listChanged = true; }
    tile.show(model);
    if (tile.group !== groupOf(tile) || tile.placed !== tile.level) listChanged = true;
  }
  dirty.clear();
  if (listChanged && performance.now() >= regroupAt) regroup();
}

function matches(tile, words) {
  if (!words.length) return true;
  const device = tile.device;
  const text = [device.name, device.asset ?? "", ...device.series.map((one) => one.metric)].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

// Tiles change their place at most every two seconds: a list that jumps cannot be read.
function regroup() {
  listChanged = false;
  regroupAt = performance.now() + REGROUP_MS;
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = new Map(GROUPS.map(([name]) => [name, []]));
  const totals = new Map(GROUPS.map(([name]) => [name, 0]));
  for (const tile of tiles.values()) {
    tile.group = groupOf(tile);
    tile.placed = tile.level;
    totals.set(tile.group, totals.get(tile.group) + 1);
    if ((view === "all" || view === tile.group) && matches(tile, words)) found.get(tile.group).push(tile);
  }
  const focused = document.activeElement;
  let room = TILES_MAX;
  for (const [name, { node, list, tally, more }] of groups) {
    const members = found.get(name);
    members.sort((a, b) => b.level - a.level || byName(a.device.name, b.device.name));
    const shown = members.slice(0, room);
    room -= shown.length;
    node.hidden = !members.length;
    write(tally, count(members.length));
    more.hidden = shown.length === members.length;
    write(more, `and ${count(members.length - shown.length)} more: narrow the filter to see them`);
    arrange(list, shown.map((tile) => tile.node));
  }
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  for (const [name, { button, tally }] of buttons) {
    button.setAttribute("aria-pressed", String(view === name));
    write(tally, count(name === "all" ? tiles.size : totals.get(name)));
  }
  const empty = document.getElementById("empty");
  empty.hidden = [...found.values()].some((members) => members.length);
  write(empty, !tiles.size ? "Waiting for the first reading …" : words.length ? "No device matches the filter." : "None.");
  write(document.getElementById("scope"), tiles.size ? `${count(tiles.size)} devices · ${count(model.values.size)} series` : "");
}

function arrange(list, nodes) {
  let at = list.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling; else list.insertBefore(node, at);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

function announce(news) {
  const worst = news.filter((one) => one.end == null && one.severity === 3).slice(0, 3);
  if (worst.length) write(document.getElementById("said"), worst.map((one) => `${severity(one.severity)}: ${one.device} ${one.metric}, ${one.reason}`).join(". "));
}

follow(model, {
  whole() {
    tiles.clear();
    for (const name of model.devices.keys()) dirty.add(name);
    listChanged = true;
    regroupAt = 0;
    findings.show(model);
    soon();
    // After the first picture: it is not needed for what is abnormal now.
    ask("recent").then((found) => { model.remember(found); for (const name of model.devices.keys()) dirty.add(name); soon(); }, () => {});
  },
  touched(names, kind, content) {
    for (const name of names) dirty.add(name);
    if (kind === "findings") { findings.show(model); announce(content); }
    soon();
  },
  pulse(content) { health.show(content.health); },
});
setInterval(() => {
  for (const name of model.devices.keys()) dirty.add(name);
  findings.tick(model);
  soon();
}, 1000);
regroup();
