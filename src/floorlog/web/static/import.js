// A table becomes readings: sent in pieces, its guessed layout edited, tried, then taken in.

import { act, session } from "./api.js";
import { follow } from "./feed.js";
import { Work, figures, rows } from "./job.js";
import { Model } from "./model.js";
import { make, write } from "./tile.js";
import { bytes, count, time } from "./words.js";

const FILE_BYTES_MAX = 256 << 20;
const PIECE_BYTES = 2 << 20;
const element = (id) => document.getElementById(id);
const model = new Model();
const reading = new Work(element("reading"), "Sending the file", [element("file")]);
const looking = new Work(element("looking"), "Reading its layout", [element("again")]);
const rehearsing = new Work(element("rehearsing"), "Dry run", [element("rehearse")]);
const importing = new Work(element("importing"), "Import", [element("import")]);
let held = null; // the name at the server of the file that has a place there, whole or not
let upload = null; // the same, once it is whole
let columns = [];
let layout = null; // the one that the server read last
let tried = null; // the one that a dry run had, as text

// ── the file ─────────────────────────────────────────────────────────────────────────────────

async function piece(id, at, part) {
  const { token } = await session;
  const headers = { "Content-Type": "application/octet-stream", ...(token && { "X-Floorlog-Token": token }) };
  const answer = await fetch(`/api/v1/uploads/${id}?at=${at}`, { method: "PUT", headers, body: part });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.detail ?? answer.statusText);
  return content.received_bytes;
}

// Give its place at the server back; while a job reads it, the server keeps it.
async function drop() {
  const name = held;
  held = upload = null;
  if (name) await act(`uploads/${name}`, undefined, "DELETE").catch(() => {});
}

async function send(file) {
  if (file.size > FILE_BYTES_MAX) throw new Error(`${file.name} has ${bytes(file.size)}; at most 256 MiB at a time`);
  if (!file.size) throw new Error(`${file.name} is empty`);
  const begun = await act("uploads", { name: file.name, size_bytes: file.size });
  held = begun.upload;
  for (let at = 0; at < file.size;) {
    reading.bar.value = at / file.size;
    reading.say(`Sending ${file.name}: ${bytes(at)} of ${bytes(file.size)}`);
    at = await piece(begun.upload, at, file.slice(at, at + PIECE_BYTES));
  }
  upload = begun.upload;
}

element("file").addEventListener("change", async () => {
  const [file] = element("file").files;
  if (!file) return;
  for (const id of ["layout", "dry", "real"]) element(id).hidden = true;
  reading.busy(true);
  reading.stop.hidden = true;
  try {
    await drop();
    await send(file);
    reading.say(`${file.name} is here, ${bytes(file.size)}.`);
  } catch (error) {
    reading.say(error.message, true);
    await drop();
  } finally {
    reading.busy(false);
  }
  if (!upload) return;
  element("layout").hidden = false;
  await look(null);
});

// Left or reloaded, the page knows its file no more; one that is come back to begins anew.
addEventListener("pagehide", () => {
  drop();
  for (const id of ["layout", "dry", "real"]) element(id).hidden = true;
  element("file").value = "";
});

// ── its layout ───────────────────────────────────────────────────────────────────────────────

async function look(wanted) {
  const found = await looking.run("imports/look", { upload, ...(wanted && { layout: wanted }) });
  for (const id of ["dry", "real"]) element(id).hidden = !found;
  if (!found) return;
  columns = found.columns;
  layout = found.layout;
  draw();
  write(looking.told, found.says.map((line) => line.replace(/\(--timezone.*?\)/, "").trim()).join("\n"));
  const head = make("tr");
  head.append(...columns.map((name) => { const cell = make("th", "", name); cell.scope = "col"; return cell; }));
  element("cells").tHead.replaceChildren(head);
  rows(element("cells"), found.rows);
  element("layout").removeAttribute("data-off");
  stale();
}

function choices(select, first, chosen) {
  const offered = [...first, ...columns.map((name, place) => [String(place), name])];
  select.replaceChildren(...offered.map(([value, name]) => {
    const option = make("option", "", name);
    option.value = value;
    return option;
  }));
  select.value = chosen == null ? "" : String(chosen);
}

function draw() {
  choices(element("time"), [], layout.time);
  choices(element("device"), [["", "one for all rows"]], layout.device);
  choices(element("metric"), [["", "a value of each metric"]], layout.metric);
  for (const option of element("metric").options) if (option.value) option.textContent = `one value, of the metric in “${option.textContent}”`;
  choices(element("unit"), [["", "none"]], layout.unit);
  element("device-name").value = layout.device_name;
  element("timezone").value = layout.timezone ?? "";
  element("day-first").value = layout.day_first == null ? "" : String(layout.day_first);
  element("decimal").value = layout.decimal;
  element("delimiter").value = layout.delimiter;
  element("encoding").value = layout.encoding;
  const held = new Map(layout.values.map((one) => [one.place, one]));
  rows(element("values"), columns.map((name, place) => {
    const one = held.get(place);
    const take = Object.assign(make("input"), { type: "checkbox", checked: Boolean(one), name: "take" });
    const metric = Object.assign(make("input"), { type: "text", value: one?.metric ?? name, maxLength: 200 });
    const unit = Object.assign(make("input", "unit"), { type: "text", value: one?.unit ?? "", maxLength: 50 });
    const states = Object.assign(make("input"), { type: "checkbox", checked: Boolean(one?.states) });
    for (const [node, what] of [[take, "Take"], [metric, "Metric of"], [unit, "Unit of"], [states, "States in"]]) node.setAttribute("aria-label", `${what} ${name}`);
    return [take, name, metric, unit, states];
  }));
  mode();
}

// What does not apply is not shown: metric and unit of columns where each row names its own.
function mode() {
  const isLong = element("metric").value !== "";
  write(element("device-name-of"), element("device").value === "" ? "named" : "where its cell is empty");
  element("unit-of").hidden = !isLong;
  for (const row of element("values").tBodies[0].rows) {
    const [take, , metric, unit, states] = row.cells;
    const taken = take.firstChild.checked;
    for (const cell of [metric, unit, states]) cell.firstChild.disabled = isLong || !taken;
  }
}

const chosen = (id) => (element(id).value === "" ? undefined : Number(element(id).value));

function edited() {
  const values = [...element("values").tBodies[0].rows].flatMap((row, place) => {
    const [take, , metric, unit, states] = [...row.cells].map((cell) => cell.firstChild);
    if (!take.checked) return [];
    return [{ place, metric: metric.value.trim() || columns[place], ...(unit.value.trim() && { unit: unit.value.trim() }), states: states.checked }];
  });
  const dayFirst = element("day-first").value;
  return {
    time: chosen("time"), device_name: element("device-name").value.trim() || "unnamed", values,
    device: chosen("device"), metric: chosen("metric"), unit: chosen("unit"),
    delimiter: element("delimiter").value, decimal: element("decimal").value, encoding: element("encoding").value.trim() || "utf-8",
    timezone: element("timezone").value.trim() || undefined, day_first: dayFirst === "" ? undefined : dayFirst === "true",
  };
}

function stale() {
  const same = tried === JSON.stringify(edited());
  element("import").disabled = !same;
  element("report").hidden = !same;
}

element("how").addEventListener("input", () => { mode(); stale(); looking.say(""); });
element("how").addEventListener("submit", (event) => { event.preventDefault(); look(edited()); });

// ── the dry run, and the import ──────────────────────────────────────────────────────────────

element("rehearse").addEventListener("click", async () => {
  const wanted = edited();
  element("report").hidden = true;
  element("import").disabled = true;
  const result = await rehearsing.run("imports/rehearsal", { upload, layout: wanted });
  if (!result) return;
  tried = JSON.stringify(wanted);
  report(result);
  stale();
});

function report({ found, rows: seen, skipped, empty, says, catalogue }) {
  const bad = found.rejected + skipped;
  const parts = [`${count(found.stored)} of ${count(found.received)} readings would be stored`, found.rejected && `${count(found.rejected)} would be refused`, ...says];
  write(element("verdict"), `${parts.filter(Boolean).join("; ")}.`);
  element("verdict").toggleAttribute("data-wrong", bad > 0);
  figures(element("counts"), [
    ["Rows", count(seen), skipped ? `${count(skipped)} skipped` : "none skipped"],
    ["Readings", count(found.received), `${count(empty)} empty cells`],
    ["Stored", count(found.stored), "what the record has already would be duplicates"],
    ["Refused", count(found.rejected), "kept with their bytes"],
    ["Conflicts", count(found.conflict), "two values of one time"],
    ["Series", count(found.series), `${count(found.new_series)} new`],
    ["Findings", count(found.findings), `by catalogue ${catalogue}`],
  ]);
  const left = { ...found.rejects };
  rows(element("refused"), found.examples.map((one) => {
    const number = left[one.code];
    delete left[one.code];
    return [make("code", "", one.code), number == null ? "" : count(number), one.reason, one.mend, make("code", "", one.text)];
  }));
  const now = model.now();
  rows(element("series"), found.listed.map((one) => [
    one.device, one.metric, one.unit ?? (one.kind === "state" ? "states" : ""), count(one.readings), time(one.begin, now), time(one.end, now), one.is_new ? "new" : "has it",
  ]));
  write(element("series-caption"), found.series > found.listed.length ? `The first ${found.listed.length} of ${count(found.series)} series` : "Series");
  rows(element("found"), found.found.map((one) => [time(one.start, now), `${one.device} ${one.metric}`, one.reason]));
  write(element("found-caption"), found.findings > found.found.length ? `The first ${found.found.length} of ${count(found.findings)} findings` : "What would be found");
}

element("import").addEventListener("click", async () => {
  const result = await importing.run("imports", { upload, layout: JSON.parse(tried) });
  if (!result) return;
  const { taken } = result;
  importing.say(`Sent ${count(result.sent)} readings; the record has all of them. Meanwhile it took in, from all senders: ${count(taken.stored)} stored, ${count(taken.duplicate)} duplicate, ${count(taken.rejected)} rejected, ${count(taken.conflict)} in conflict.`);
  const links = [...new Set([...element("series").tBodies[0].rows].map((row) => row.cells[0].textContent))].slice(0, 12).map((name) => {
    const link = make("a", "", name);
    link.href = `/device?name=${encodeURIComponent(name)}`;
    return link;
  });
  importing.told.append(" See ", ...links.flatMap((link) => [link, " "]));
  element("import").disabled = true;
  tried = null;
});

// ── ──────────────────────────────────────────────────────────────────────────────────────────

element("zones").append(...Intl.supportedValuesOf("timeZone").map((name) => Object.assign(make("option"), { value: name })));
follow(model, { whole() {}, touched() {}, pulse() {} });
session.then(({ role }) => {
  if (role === "engineer" || role === "admin") return;
  element("file").disabled = true;
  reading.say(`Only engineers import: you are ${role}.`);
});
