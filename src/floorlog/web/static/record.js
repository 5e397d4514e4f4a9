// What was signed, refused, lost and done.

import { ask } from "./api.js";
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

const rejects = new List("rejects", () => ({ code: element("code").value || undefined }), "rejects", (one, now) => [
  time(one.recorded, now), make("code", "", one.code), one.reason,
  `${one.shard.replace(/^shardId-0*(?=\d)/, "")}, ${one.sequence}${one.element < 0 ? "" : ` [${one.element}]`}`, received(one.data),
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
