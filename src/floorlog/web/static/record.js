// What was signed, refused, lost and done.

import { act, ask, session } from "./api.js";
import { follow } from "./feed.js";
import { Model } from "./model.js";
import { make, write } from "./tile.js";
import { age, count, time } from "./words.js";

const ROWS = 50;
const LOOK_MS = 10000;
const BYTES_SHOWN = 200;
const element = (id) => document.getElementById(id);
const model = new Model();

// ── integrity ────────────────────────────────────────────────────────────────────────────────

async function ledger() {
  try {
    const found = await ask("ledger");
    const open = found.leaves - found.noted;
    const parts = [
      ["Log", count(found.leaves), "leaves: batches, series, events"],
      ["Signed", count(found.noted), open > 0 ? `${count(open)} newer than the note` : "all of it"],
      ["Newest note", found.noted_at == null ? "none" : age((model.now() - found.noted_at) / 1e6), found.noted_at == null ? "nothing is signed yet" : time(found.noted_at, model.now())],
    ];
    element("ledger").replaceChildren(...parts.map(([name, figure, note]) => {
      const cell = make("div");
      cell.append(make("dt", "", name), make("dd", "", figure), make("dd", "note", note));
      return cell;
    }));
    write(element("note"), found.note ?? "");
  } catch (error) {
    element("ledger").replaceChildren(make("p", "fault", error.message));
  }
}

// ── one reading's proof ──────────────────────────────────────────────────────────────────────

// Microseconds of an RFC 3339 time: Date holds milliseconds alone.
function micros(text) {
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new Error(`${text} is no time: write 2026-01-31T12:00:00.000Z`);
  const digits = (/\.(\d+)/.exec(text)?.[1] ?? "").padEnd(6, "0").slice(3, 6);
  return at * 1000 + Number(digits);
}

element("proof").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const place = element("proven");
  try {
    const found = await ask("proof", { device: form.get("device"), metric: form.get("metric"), ts: micros(form.get("ts")) });
    const link = make("a", "", "the proof as a file");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(found.proof)], { type: "application/json" }));
    link.download = "proof.json";
    place.replaceChildren(`${found.says} Checked with the key ${found.key}: `, link);
  } catch (error) {
    write(place, error.message);
  }
});

// ── lists, a page at a time ──────────────────────────────────────────────────────────────────

class List {
  constructor(name, query, entries, row) {
    Object.assign(this, { name, query, entries, row });
    this.table = element(name);
    this.more = element(`${name}-more`);
    this.more.addEventListener("click", () => this.load(this.next));
  }

  async load(cursor) {
    const empty = element(`${this.name}-empty`);
    try {
      const page = await ask(this.name, { ...this.query(), limit: ROWS, cursor });
      const nodes = page[this.entries].map((one) => {
        const node = make("tr");
        node.append(...this.row(one, model.now()).map((cell) => {
          const td = make("td");
          td.append(cell);
          return td;
        }));
        return node;
      });
      const body = this.table.tBodies[0];
      if (cursor) body.append(...nodes); else body.replaceChildren(...nodes);
      this.next = page.next;
      this.more.hidden = !page.next;
      this.table.hidden = !body.rows.length;
      empty.hidden = body.rows.length > 0;
      write(empty, "None.");
    } catch (error) {
      empty.hidden = false;
      write(empty, error.message);
    }
  }
}

function received(base64) {
  const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  const text = new TextDecoder().decode(bytes.slice(0, BYTES_SHOWN));
  return make("code", "", text + (bytes.length > BYTES_SHOWN ? ` … ${count(bytes.length)} bytes` : ""));
}

// ── one reject: looked at, mended, sent again ────────────────────────────────────────────────

function opener(one) {
  const button = make("button", "more", one.replayed ? "Sent again …" : "Look …");
  button.type = "button";
  button.setAttribute("aria-label", `Look at reject ${one.name}`);
  button.addEventListener("click", () => open(one.name).catch((error) => write(element("rejects-empty"), error.message)));
  return button;
}

const decode = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
const encode = (bytes) => btoa(Array.from(bytes, (one) => String.fromCharCode(one)).join(""));

// The bytes as text where they are; null where sending the text would not send them.
function textOf(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    // A field for text changes ends of lines, and takes no zeros.
    return /[\r\0]/.test(text) ? null : text;
  } catch { return null; }
}

let looked = null;

async function open(name) {
  const found = await ask(`rejects/${name}`);
  const { role } = await session;
  looked = { ...found, plain: textOf(decode(found.data)) };
  write(element("reject-title"), `Reject ${found.name}`);
  write(element("reject-why"), `${found.code}: ${found.reason}. Stored ${time(found.recorded, model.now())}; record ${found.sequence} of ${found.shard}${found.element < 0 ? "" : `, element ${found.element}`}.`);
  write(element("reject-mend"), `To mend it: ${found.mend}.`);
  write(element("reject-text"), found.text);
  const events = found.events.map((one) => make("li", "", `${time(one.recorded, model.now())} ${one.action} by ${one.actor}${one.detail.reason ? `: ${one.detail.reason}` : ""}${one.detail.says ? `: ${one.detail.says}` : ""}${one.detail.shard ? `: record ${one.detail.sequence} of ${one.detail.shard}` : ""}`));
  element("reject-events").replaceChildren(...(events.length ? events : [make("li", "", "Nothing yet.")]));
  const may = role === "engineer" || role === "admin";
  element("reject-act").hidden = element("resend-do").hidden = !may;
  element("mended").value = looked.plain ?? "";
  element("mended-for").hidden = looked.plain === null;
  element("mended-not").hidden = looked.plain !== null;
  element("resend-reason").value = "";
  element("again").checked = false;
  element("again-for").hidden = !found.events.length;
  write(element("resend-fault"), "");
  const dialog = element("reject");
  if (!dialog.open) dialog.showModal();
}

// Not a button of the form: Enter in a field means the other one.
element("reject").querySelector("[data-close]").addEventListener("click", () => element("reject").close());

element("resend").addEventListener("submit", async (event) => {
  event.preventDefault();
  element("resend-do").disabled = true;
  write(element("resend-fault"), "");
  try {
    const text = element("mended").value;
    const body = { reason: element("resend-reason").value, again: element("again").checked };
    if (looked.plain !== null && text !== looked.plain) body.data = encode(new TextEncoder().encode(text));
    const sent = await act(`rejects/${looked.name}/replay`, body);
    await open(looked.name);
    write(element("said"), `sent again as record ${sent.sequence} of ${sent.shard}`);
    rejects.load();
    audit.load();
  } catch (error) {
    write(element("resend-fault"), error.message);
  } finally {
    element("resend-do").disabled = false;
  }
});

const rejects = new List("rejects", () => ({ code: element("code").value || undefined }), "rejects", (one, now) => [
  time(one.recorded, now), make("code", "", one.code), one.reason,
  `${one.shard.replace(/^shardId-0*(?=\d)/, "")}, ${one.sequence}${one.element < 0 ? "" : ` [${one.element}]`}`, received(one.data), opener(one),
]);
const gaps = new List("gaps", () => ({}), "gaps", (one, now) => [
  time(one.recorded, now), one.shard.replace(/^shardId-0*(?=\d)/, ""), time(one.begin, now), time(one.end, now), one.cause,
]);
const audit = new List("audit", () => ({}), "events", (one, now) => [
  time(one.recorded, now), one.actor, one.action, make("code", "", JSON.stringify(one.detail)),
]);
element("code").addEventListener("change", () => rejects.load());

async function codes() {
  const found = await ask("status").catch(() => ({ rejects_last_day: {} }));
  for (const [code, number] of Object.entries(found.rejects_last_day)) {
    const option = make("option", "", `${code} (${count(number)} in 24 h)`);
    option.value = code;
    element("code").append(option);
  }
}

follow(model, { whole() {}, touched() {}, pulse() {} });
ledger();
codes();
for (const list of [rejects, gaps, audit]) list.load();
setInterval(ledger, LOOK_MS);
