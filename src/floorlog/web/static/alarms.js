// The alarm list: the most urgent first, live; acknowledged, shelved, reset … one or many at a time.

import { act, ask, session } from "./api.js";
import { follow } from "./feed.js";
import { Model } from "./model.js";
import { make, mark, write } from "./tile.js";
import { age, brief, byName, count, number, time, withDecimals } from "./words.js";

const ROWS_MAX = 500;
const LOAD_MS = 30000;
const PRIORITIES = ["low", "medium", "high", "critical"];
const WORDS = {
  unacknowledged: "unacknowledged", acknowledged: "acknowledged", returned: "returned, not acknowledged",
  latched_unacknowledged: "latched, not acknowledged", latched_acknowledged: "latched, acknowledged",
  shelved: "shelved", suppressed: "suppressed by design", out_of_service: "out of service",
};
const ASKS = new Set(["unacknowledged", "returned", "latched_unacknowledged"]);
const HIDDEN = new Set(["shelved", "suppressed", "out_of_service"]);
const VIEWS = [
  ["asking", "Unacknowledged", (one) => ASKS.has(one.state)],
  ["standing", "Standing", (one) => !HIDDEN.has(one.state)],
  ["hidden", "Shelved and off", (one) => HIDDEN.has(one.state) && !one.grouped],
  ["grouped", "Grouped", (one) => one.grouped],
];
// What an operation asks for before it is done; the others are done at once.
const QUESTIONS = {
  acknowledge: { title: "Acknowledge", why: "Comment (may stay empty)", button: "Acknowledge" },
  shelve: { title: "Shelve", why: "Reason", button: "Shelve", needed: true, timed: true },
  remove: { title: "Take out of service", why: "Reason", button: "Take out of service", needed: true },
};

const element = (id) => document.getElementById(id);
const model = new Model();
const chosen = new Set();
const rows = new Map();
const buttons = new Map();
let view = "standing";
let frame = 0;

for (const [name, title] of VIEWS) {
  const button = make("button", "", title);
  button.type = "button";
  const tally = make("span", "count num");
  button.append(tally);
  button.addEventListener("click", () => { view = name; draw(); });
  element("views").append(button);
  buttons.set(name, { button, tally });
}
// Keyboard goes on where the line led: to the view that is shown now.
element("also").querySelector("button").addEventListener("click", () => {
  view = "grouped";
  draw();
  buttons.get(view).button.focus();
});
for (const id of ["filter", "priority"]) element(id).addEventListener("input", draw);
element("all").addEventListener("change", () => {
  const shown = visible().slice(0, ROWS_MAX);
  for (const [key] of shown) if (element("all").checked) chosen.add(key); else chosen.delete(key);
  draw();
});
for (const button of element("acts").querySelectorAll("button")) {
  button.addEventListener("click", () => start(button.dataset.act));
}
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|SELECT)$/.test(document.activeElement?.tagName)) { event.preventDefault(); element("filter").focus(); }
  if (event.key === "Escape" && document.activeElement === element("filter")) { element("filter").value = ""; draw(); }
});

function visible() {
  const words = element("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const least = PRIORITIES.indexOf(element("priority").value);
  const wanted = VIEWS.find(([name]) => name === view)[2];
  return [...model.alarms].filter(([, one]) => {
    if (!wanted(one) || PRIORITIES.indexOf(one.priority) < least) return false;
    const text = `${one.device}\n${one.metric}\n${one.detector}\n${one.reason}`.toLowerCase();
    return words.every((word) => text.includes(word));
  }).sort(([, a], [, b]) => Number(ASKS.has(b.state)) - Number(ASKS.has(a.state))
    || PRIORITIES.indexOf(b.priority) - PRIORITIES.indexOf(a.priority)
    || b.raised - a.raised || byName(a.device, b.device));
}

class Row {
  constructor(key) {
    this.node = make("tr");
    this.box = make("input");
    this.box.type = "checkbox";
    this.box.addEventListener("change", () => {
      if (this.box.checked) chosen.add(key); else chosen.delete(key);
      draw();
    });
    this.shape = make("span", "shape");
    this.priority = make("span");
    this.link = make("a");
    this.metric = make("span", "metric");
    this.first = make("span", "badge", "first out");
    this.reason = make("td", "reason");
    this.state = make("td", "state");
    this.age = make("td", "num");
    this.said = make("td", "said");
    const cells = [make("td"), make("td", "priority"), make("td", "what")];
    cells[0].append(this.box);
    cells[1].append(this.shape, this.priority);
    cells[2].append(this.link, " ", this.metric, " ", this.first);
    this.node.append(...cells, this.reason, this.state, this.age, this.said);
  }

  show(key, one, now) {
    const level = PRIORITIES.indexOf(one.priority) + 1;
    mark(this.node, "asks", ASKS.has(one.state) ? "" : null);
    mark(this.node, "over", one.active ? null : "");
    mark(this.shape, "level", Math.min(level, 3));
    write(this.priority, one.priority);
    write(this.link, one.device);
    this.link.href = `/device?name=${encodeURIComponent(one.device)}`;
    write(this.metric, `${one.metric} · ${one.detector}`);
    this.first.hidden = !firsts.has(key);
    this.box.checked = chosen.has(key);
    this.box.setAttribute("aria-label", `Choose ${one.device} ${one.metric} ${one.detector}`);
    write(this.reason, brief(one));
    this.reason.title = one.reason;
    const until = one.until ? ` until ${time(one.until, now)}` : "";
    write(this.state, `${WORDS[one.state] ?? one.state}${until}`);
    write(this.age, age((now - one.raised) / 1e6));
    this.age.title = `since ${time(one.raised, now)}`;
    const byPerson = one.actor && one.actor !== "floorlog";
    write(this.said, byPerson ? `${one.event} by ${one.actor}${one.comment && `: ${one.comment}`}` : `${one.event}, ${time(one.changed, now)}`);
    if (one.grouped) write(this.said, one.grouped);
    this.said.title = time(one.changed, now);
  }
}

function soon() {
  if (!frame) frame = requestAnimationFrame(draw);
}

function draw() {
  cancelAnimationFrame(frame);
  frame = 0;
  const now = model.now();
  for (const key of [...chosen]) if (!model.alarms.has(key)) chosen.delete(key);
  const found = visible();
  const shown = found.slice(0, ROWS_MAX);
  const nodes = shown.map(([key, one]) => {
    let row = rows.get(key);
    if (!row) rows.set(key, (row = new Row(key)));
    row.show(key, one, now);
    return row.node;
  });
  for (const key of rows.keys()) if (!model.alarms.has(key)) rows.delete(key);
  arrange(element("alarms").tBodies[0], nodes);
  for (const [name, { button, tally }] of buttons) {
    const test = VIEWS.find(([other]) => other === name)[2];
    button.setAttribute("aria-pressed", String(view === name));
    write(tally, count([...model.alarms.values()].filter(test).length));
  }
  element("alarms").hidden = !shown.length;
  element("empty").hidden = shown.length > 0 && found.length === shown.length;
  write(element("empty"), found.length > shown.length ? `and ${found.length - shown.length} more: narrow the filter to see them`
    : model.alarms.size ? "No alarm here." : "No alarm stands.");
  const under = [...model.alarms.values()].filter((one) => one.grouped && one.active).length;
  element("also").hidden = view !== "standing" || !under;
  write(element("also").querySelector("span"), under === 1 ? "1 still active is grouped under another:" : `${count(under)} still active are grouped under others:`);
  const states = new Set([...chosen].map((key) => model.alarms.get(key).state));
  write(element("chosen"), chosen.size ? `${count(chosen.size)} chosen` : "None chosen");
  for (const button of element("acts").querySelectorAll("button")) button.disabled = !possible(button.dataset.act, states);
  const all = shown.length > 0 && shown.every(([key]) => chosen.has(key));
  element("all").checked = all;
  element("all").indeterminate = !all && shown.some(([key]) => chosen.has(key));
}

// Only the operations that one of the chosen takes; the server decides.
const TAKES = {
  acknowledge: (state) => ASKS.has(state),
  shelve: (state) => !HIDDEN.has(state),
  unshelve: (state) => state === "shelved",
  reset: (state) => state.startsWith("latched"),
  unsuppress: (state) => state === "suppressed",
  remove: (state) => state !== "out_of_service",
  restore: (state) => state === "out_of_service",
};
const possible = (name, states) => may && [...states].some(TAKES[name]);

// Not a button of the form: Enter in a field means the other one.
element("ask").querySelector("[data-close]").addEventListener("click", () => element("ask").close("cancel"));

let may = true;
session.then(({ role }) => { may = ["operator", "engineer", "admin"].includes(role); soon(); });

function arrange(list, nodes) {
  const focused = document.activeElement;
  let at = list.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling; else list.insertBefore(node, at);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function start(name) {
  const concerned = [...chosen].filter((key) => TAKES[name](model.alarms.get(key).state));
  const question = QUESTIONS[name];
  if (!question) { carryOut(name, concerned, {}); return; }
  const dialog = element("ask");
  write(element("ask-title"), question.title);
  const names = concerned.slice(0, 3).map((key) => { const one = model.alarms.get(key); return `${one.device} ${one.metric}`; });
  write(element("ask-what"), names.join(", ") + (concerned.length > 3 ? ` and ${concerned.length - 3} more` : ""));
  write(element("ask-why"), question.why);
  write(element("ask-do"), question.button);
  element("ask-for").hidden = !question.timed;
  element("ask-reason").required = Boolean(question.needed);
  element("ask-reason").value = "";
  dialog.onclose = () => {
    if (dialog.returnValue !== "do") return;
    const body = { reason: element("ask-reason").value };
    if (question.timed) body.seconds = Number(element("ask-seconds").value);
    carryOut(name, concerned, body);
  };
  dialog.returnValue = "cancel";
  dialog.showModal();
  element("ask-reason").focus();
}

async function carryOut(name, keys, body) {
  write(element("fault"), "");
  const alarms = keys.map((key) => { const { device, metric, detector } = model.alarms.get(key); return { device, metric, detector }; });
  try {
    await act(`alarms/${name}`, { ...body, alarms });
    for (const key of keys) chosen.delete(key);
    write(element("said"), `${name}: done for ${alarms.length}`);
  } catch (error) {
    write(element("fault"), error.message);
  }
  draw();
}

// ── what came first, floods, and the day's figures: folds over the record, asked now and then ──

let firsts = new Set();

async function look() {
  try {
    const [page, load] = await Promise.all([ask("alarms"), ask("alarm-load")]);
    firsts = new Set(page.alarms.filter((one) => one.first_out).map((one) => Model.alarmKey(one)));
    const flood = element("flood");
    const grouped = [...model.alarms.values()].filter((one) => one.grouped).length;
    flood.hidden = !page.flood && !grouped;
    if (!page.flood && grouped) write(flood, `${count(grouped)} alarms are grouped under those that came first: see Grouped.`);
    if (page.flood) write(flood, `Alarm flood since ${time(page.flood.begin, model.now())}: ${page.flood.alarms} alarms. What came first in each asset is marked.${grouped ? ` ${count(grouped)} are grouped under it: see Grouped.` : ""}`);
    figures(load);
    draw();
  } catch (error) {
    write(element("load"), `The figures cannot be read: ${error.message}`);
  }
}

function figures(load) {
  const parts = [
    ["Alarms", count(load.alarms), ""],
    ["Grouped", count(load.grouped), "under one that came first"],
    ["Per operator-hour", number(load.alarms_per_operator_hour), "6 to 12 can be managed"],
    ["Most in 10 min", count(load.peak_in_ten_minutes), "more than 10 is a flood"],
    ["In flood", `${withDecimals(100 * load.flood_share, 1)} %`, "below 1 %"],
    ["Chattering", count(load.chattering.length), "3 or more in a minute"],
    ["Stale", count(load.stale.length), "standing > 24 h"],
    ["By priority", PRIORITIES.map((name) => load.by_priority[name] ?? 0).reverse().join(" / "), "critical / high / medium / low"],
  ];
  element("load").replaceChildren(...parts.map(([name, figure, note]) => {
    const cell = make("div");
    cell.append(make("dt", "", name), make("dd", "", figure), make("dd", "note", note));
    return cell;
  }));
  const table = element("worst");
  table.hidden = !load.worst.length;
  table.tBodies[0].replaceChildren(...load.worst.map((one) => {
    const row = make("tr");
    row.append(make("td", "", `${one.device} ${one.metric} · ${one.detector}`), make("td", "num", count(one.number)));
    return row;
  }));
}

follow(model, {
  whole() { rows.clear(); element("alarms").tBodies[0].replaceChildren(); soon(); },
  touched(names, kind) { if (kind === "alarms") soon(); },
  pulse() {},
});
setInterval(soon, 1000);
look();
setInterval(look, LOAD_MS);
