// For auditors: verification now, what was known when, and a part of the record as a file.

import { ask, session } from "./api.js";
import { Chart } from "./chart.js";
import { follow } from "./feed.js";
import { Work, local, moment, rows } from "./job.js";
import { Model } from "./model.js";
import { make, write } from "./tile.js";
import { byName, bytes, count, number, symbol, time } from "./words.js";

const ROWS_MAX = 5000;
const SHOWN_MAX = 500;
const DEVICES_MAX = 50;
const OFFERED_MAX = 300;
const element = (id) => document.getElementById(id);
const model = new Model();
const field = (form, name) => element(form).elements[name];

// ── verify now ───────────────────────────────────────────────────────────────────────────────

const verifying = new Work(element("verifying"), "Verifying", [element("verify-now")]);

function verdict(found, job) {
  const place = element("verdict");
  place.hidden = element("verified").hidden = false;
  place.toggleAttribute("data-wrong", !found.ok);
  const when = `${time(job.ended, model.now())}, by ${job.actor}`;
  write(place, found.ok
    ? `${found.partial ? "What there is of the part is intact" : "Intact"}: ${count(found.readings)} readings in ${count(found.entries)} batches. ${when}`
    : `Not intact: ${found.wrong_count === 1 ? "1 thing is" : `${count(found.wrong_count)} things are`} wrong. ${when}`);
  write(element("verified"), found.says);
  rows(element("wrong"), found.wrong.map((one) => [
    one.kind, one.where, one.shard == null ? "" : `${one.shard}${one.batch == null ? "" : `, ${one.batch}`}`, one.series == null ? "" : String(one.series), one.says,
  ]));
}

element("verify").addEventListener("submit", async (event) => {
  event.preventDefault();
  for (const id of ["verdict", "verified", "wrong"]) element(id).hidden = true; // of an older one
  const device = field("verify", "device").value.trim();
  const since = moment(field("verify", "since"));
  const found = await verifying.run("verifications", { ...(device && { device }), ...(since && { since }) });
  if (found) verdict(found, verifying.job);
});

// ── as known then ────────────────────────────────────────────────────────────────────────────

const chart = new Chart(element("asof-plot"), element("asof-readout"), { point: (ts) => chart.choose(ts) });
const shown = (row) => (row ? `${number(row[1])}${row[2] >>> 30 ? " (not Good)" : ""}${row[3] & 4 ? `, corrected${row[4] == null ? "" : ` to ${number(row[4])}`}` : ""}` : "–");

// Rows of then and now side by side: a time may have several, which contradict each other.
function beside(then, now) {
  const keyed = new Map();
  for (const [at, list] of [[0, then], [1, now]]) {
    const seen = new Map();
    for (const row of list) {
      const base = JSON.stringify([row[0], row[1], row[2]]);
      const nth = seen.get(base) ?? 0;
      seen.set(base, nth + 1);
      const key = `${base} ${nth}`;
      if (!keyed.has(key)) keyed.set(key, [null, null]);
      keyed.get(key)[at] = row;
    }
  }
  return [...keyed.values()].sort((a, b) => (a[0] ?? a[1])[0] - (b[0] ?? b[1])[0]);
}

function since([then, now]) {
  if (!then) return now[3] & 1 ? "came since, and contradicts" : "came since";
  if (!now) return "no longer kept";
  return (then[3] & 4) === (now[3] & 4) && then[4] === now[4] ? "" : "corrected since";
}

element("asof").addEventListener("submit", async (event) => {
  event.preventDefault();
  const told = element("asof-told");
  write(told, "Looking …");
  told.className = "";
  try {
    const at = moment(field("asof", "moment"));
    const typed = field("asof", "size").value;
    if (!at === !typed) throw new Error("Give a moment or a number of leaves: one of them.");
    const size = typed ? Number(typed) : (await ask("ledger/size", { at })).size;
    const [device, metric] = ["device", "metric"].map((name) => field("asof", name).value);
    const [from, to] = ["from", "to"].map((name) => moment(field("asof", name)));
    const query = { device, metric, from, to, rows: ROWS_MAX };
    const [then, now] = await Promise.all([ask("readings", { ...query, as_of: size }), ask("readings", query)]);
    const pairs = beside(then.readings, now.readings);
    const differing = pairs.filter((pair) => since(pair));
    const cut = then.truncated || now.truncated ? ` More than ${count(ROWS_MAX)} lie in the span: these are the newest.` : "";
    write(told, `As of ${count(size)} leaves: ${count(then.readings.length)} readings were known; now ${count(now.readings.length)}. ${differing.length ? `${count(differing.length)} differ.` : "Nothing differs."}${cut}`);
    element("asof-shown").hidden = false;
    const one = model.devices.get(device)?.series.find((series) => series.metric === metric) ?? { device, metric };
    chart.data = { kind: "readings", rows: then.readings, width: 0 };
    chart.show(one, from, to, []);
    const listed = [...differing, ...pairs.filter((pair) => !since(pair))].slice(0, SHOWN_MAX);
    rows(element("asof-rows"), listed.map((pair) => [time((pair[0] ?? pair[1])[0], model.now()), shown(pair[0]), shown(pair[1]), since(pair)]));
    [...element("asof-rows").tBodies[0].rows].forEach((row, n) => row.toggleAttribute("data-differs", n < differing.length));
    write(element("asof-caption"), `${symbol(one.unit) ? `In ${symbol(one.unit)}; ` : ""}what differs first${pairs.length > listed.length ? `; ${count(listed.length)} of ${count(pairs.length)} shown` : ""}`);
  } catch (error) {
    write(told, error.message);
    told.className = "fault";
  }
});

// ── export ───────────────────────────────────────────────────────────────────────────────────

const exporting = new Work(element("exporting"), "Making the file", [element("export-now")]);
const wanted = new Set();

function offer() {
  const words = element("devices-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const names = [...model.devices.keys()].sort(byName);
  const found = [...new Set([...wanted, ...names.filter((name) => words.every((word) => name.toLowerCase().includes(word)))])].slice(0, OFFERED_MAX);
  element("devices").replaceChildren(...found.map((name) => {
    const label = make("label");
    const box = Object.assign(make("input"), { type: "checkbox", checked: wanted.has(name) });
    box.addEventListener("change", () => { if (box.checked) wanted.add(name); else wanted.delete(name); tally(); });
    label.append(box, name);
    return label;
  }));
  tally();
}

function tally() {
  const over = wanted.size > DEVICES_MAX;
  write(element("devices-told"), wanted.size ? `${wanted.size} chosen${over ? `: at most ${DEVICES_MAX} at a time` : ", each in a folder of its own"}` : "all devices");
  element("export-now").disabled = over;
}

element("devices-filter").addEventListener("input", offer);
element("span").addEventListener("change", () => {
  const seconds = element("span").value;
  if (seconds === "") return;
  const now = model.now();
  field("export", "from").value = Number(seconds) ? local(now - Number(seconds) * 1e6) : "";
  field("export", "to").value = Number(seconds) ? local(now) : "";
});
for (const name of ["from", "to"]) field("export", name).addEventListener("input", () => { element("span").value = ""; });

function ready(found, job) {
  element("exported").hidden = false;
  element("download").href = `/api/v1/exports/${job.job}`;
  write(element("export-told"), `${bytes(found.size_bytes)}: ${count(found.readings)} readings and ${count(found.events)} events of ${count(found.batches)} batches in ${count(found.files)} files${found.is_signed ? "" : "; its manifest is not signed"}.${found.unanchored ? ` ${count(found.unanchored)} newer batches are not anchored yet and were left out.` : ""} It is kept here for an hour.`);
  const places = found.folders.length ? found.folders.map((name) => `floorlog-export/${name}`) : ["floorlog-export"];
  write(element("export-verify"), places.map((place) => `python ${place}/verifier.py ${place} --key "${found.key}"`).join("\n"));
}

element("export").addEventListener("submit", async (event) => {
  event.preventDefault();
  element("exported").hidden = true;
  const [begin, end] = ["from", "to"].map((name) => moment(field("export", name)));
  const found = await exporting.run("exports", { ...(begin && { begin }), ...(end && { end }), devices: [...wanted] });
  if (found) ready(found, exporting.job);
});

// ── ──────────────────────────────────────────────────────────────────────────────────────────

function offerNames() {
  element("names").replaceChildren(...[...model.devices.keys()].map((value) => Object.assign(make("option"), { value })));
  offer();
}

field("asof", "device").addEventListener("input", () => {
  const series = model.devices.get(field("asof", "device").value)?.series ?? [];
  element("metrics").replaceChildren(...series.map((one) => Object.assign(make("option"), { value: one.metric })));
});

let begun = false;
follow(model, {
  whole() {
    offerNames();
    if (begun) return;
    begun = true;
    field("asof", "from").value = local(model.now() - 600e6);
    field("asof", "to").value = local(model.now());
  },
  touched(names, kind) { if (kind === "series") offerNames(); },
  pulse() {},
});
session.then(({ role }) => {
  const mayVerify = role === "auditor" || role === "admin";
  const mayExport = mayVerify || role === "engineer";
  if (mayVerify) verifying.resume("verify", verdict).catch(() => {});
  else { verifying.buttons.length = 0; element("verify-now").disabled = true; verifying.say(`Only auditors verify here: you are ${role}.`); }
  if (mayExport) exporting.resume("export", ready).catch(() => {});
  else { exporting.buttons.length = 0; element("export-now").disabled = true; exporting.say(`Only auditors and engineers export: you are ${role}.`); }
});
