// The catalogue as text: read, checked by the server, and kept as a new version.

import { act, ask, session } from "./api.js";
import { follow } from "./feed.js";
import { Work, local, moment, rows } from "./job.js";
import { Model } from "./model.js";
import { write } from "./tile.js";
import { count, number, time } from "./words.js";

const FILE_BYTES_MAX = 4 << 20;
const element = (id) => document.getElementById(id);
const model = new Model();
let version = null;

async function load() {
  try {
    const found = await ask("catalogue");
    version = found.version;
    element("body").value = JSON.stringify(found.body, null, 2);
    write(element("version"), `version ${version}, ${time(found.recorded, model.now())}`);
    const { role } = await session;
    const may = role === "engineer" || role === "admin";
    element("body").disabled = !may;
    for (const id of ["check", "save", "file", "try"]) element(id).disabled = !may;
    span();
    untried();
    if (!may) tell(`Only engineers change it: you are ${role}.`);
  } catch (error) {
    tell(error.message, true);
  }
}

function tell(text, isFault = false) {
  write(element("told"), text);
  element("told").className = isFault ? "fault" : "";
}

// Where JSON breaks off, said in lines: a number of characters helps nobody.
function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    const at = Number(/position (\d+)/.exec(error.message)?.[1]);
    if (Number.isNaN(at)) throw error;
    throw new Error(`line ${text.slice(0, at).split("\n").length}: ${error.message}`, { cause: error });
  }
}

async function send(isTrial) {
  tell("");
  try {
    const found = await act("catalogue", { version, body: parse(element("body").value), dry_run: isTrial }, "PUT");
    if (isTrial) { tell("It can be kept as it is. Nothing was changed."); return; }
    tell(`Version ${found.version} is the newest now.`);
    version = found.version;
    write(element("version"), `version ${version}`);
  } catch (error) {
    tell(error.message, true);
  }
}

// ── the back-test ────────────────────────────────────────────────────────────────────────────

const trying = new Work(element("trying"), "Back-test", [element("try")]);
const field = (name) => element("backtest").elements[name];
let tried = null; // the text that was tried

// Whether what stands in the field is what the past was judged by.
function untried() {
  const same = tried !== null && tried === element("body").value;
  element("report").hidden = !same;
  write(element("tried"), same ? "tried on the past" : "not tried on the past yet");
}

function span() {
  const seconds = Number(element("span").value);
  if (!seconds) return;
  field("from").value = local(model.now() - seconds * 1e6);
  field("to").value = local(model.now());
}

element("span").addEventListener("change", span);
for (const name of ["from", "to"]) field(name).addEventListener("input", () => { element("span").value = ""; });
element("body").addEventListener("input", untried);
element("backtest").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = element("body").value;
  span();
  let body;
  try { body = parse(text); } catch (error) { trying.say(error.message, true); return; }
  const found = await trying.run("backtests", { body, begin: moment(field("from")), end: moment(field("to")) });
  if (!found) return;
  tried = text;
  report(found);
  untried();
});

const figure = (value) => (Number.isInteger(value) ? count(value) : number(value));

function report(found) {
  write(element("verdict"), `${count(found.readings)} readings of ${count(found.series)} series: ${count(found.asked.findings)} findings instead of ${count(found.present.findings)}; ${count(found.gained_count)} more, ${count(found.lost_count)} gone.`);
  const both = [found.present, found.asked];
  const row = (name, get) => [name, ...both.map((one) => figure(get(one) ?? 0))];
  const detectors = [...new Set(both.flatMap((one) => Object.keys(one.by_detector)))].sort();
  rows(element("sides"), [
    row("all", (one) => one.findings), row("per 1,000 sensor-hours", (one) => one.per_1000_sensor_hours), row("most in 10 minutes", (one) => one.peak_10_min),
    ...["high", "medium", "low"].map((name) => row(`severity ${name}`, (one) => one.by_severity[name])),
    ...detectors.map((name) => row(name, (one) => one.by_detector[name])),
  ]);
  for (const [name, title, total] of [["gained", "Found by the text above alone", found.gained_count], ["lost", "Found by the newest version alone", found.lost_count]]) {
    const list = found[name];
    rows(element(name), list.map((one) => [time(one.start, model.now()), `${one.device} ${one.metric}`, one.detector, one.reason]));
    write(element(`${name}-caption`), `${title}${total > list.length ? `: the first ${list.length} of ${count(total)}` : ""}`);
  }
}

element("check").addEventListener("click", () => send(true));
element("edit").addEventListener("submit", (event) => { event.preventDefault(); send(false); });
element("file").addEventListener("change", async () => {
  const [file] = element("file").files;
  if (!file) return;
  if (file.size > FILE_BYTES_MAX) { tell(`${file.name} is larger than 4 MiB.`, true); return; }
  element("body").value = await file.text();
  untried();
  tell(`${file.name} is in the field: check it, then make it the newest version.`);
});
follow(model, { whole() {}, touched() {}, pulse() {} });
load();
