// Work that the server does beside: begun, followed, ended; a bar and a line say how far it is.

import { act, ask } from "./api.js";
import { make, write } from "./tile.js";
import { age, zone } from "./words.js";

const LOOK_MS = 400;

export class Work {
  // `node` is filled; `buttons` cannot be pressed meanwhile; `name` says what is done.
  constructor(node, name, buttons = []) {
    this.node = node;
    this.name = name;
    this.buttons = buttons;
    node.classList.add("work");
    this.bar = make("progress");
    this.bar.max = 1;
    this.bar.setAttribute("aria-label", name);
    this.told = make("p");
    this.told.setAttribute("role", "status");
    this.stop = make("button", "", "End it");
    this.stop.type = "button";
    this.stop.addEventListener("click", () => act(`jobs/${this.job.job}`, undefined, "DELETE").catch((error) => this.say(error.message, true)));
    node.append(this.bar, this.stop, this.told);
    this.busy(false);
  }

  say(text, isFault = false) {
    write(this.told, text);
    this.told.className = isFault ? "fault" : "";
  }

  busy(is) {
    this.bar.hidden = this.stop.hidden = !is;
    for (const button of this.buttons) button.disabled = is;
  }

  // Its result, or null where there is none: then the line says why.
  async run(path, body) {
    this.busy(true);
    this.bar.removeAttribute("value");
    this.say(`${this.name} …`);
    try {
      return await this.follow(await act(path, body));
    } catch (error) {
      this.say(error.message, true);
      return null;
    } finally {
      this.busy(false);
    }
  }

  // A job that was begun before, by somebody: followed to its end.
  async follow(job) {
    this.job = job;
    this.busy(true);
    try {
      while (job.state === "running") {
        if (job.share > 0) this.bar.value = job.share;
        this.say(`${this.name}: ${job.share > 0 ? `${Math.floor(100 * job.share)} %, ` : ""}since ${age(Date.now() / 1000 - job.begun / 1e6)}`);
        await new Promise((done) => setTimeout(done, LOOK_MS));
        job = this.job = await ask(`jobs/${job.job}`);
      }
    } finally {
      this.busy(false);
    }
    this.say(job.state === "done" ? "" : job.says, job.state !== "done");
    return job.result;
  }

  // The newest of its kind, where there is one: what it gave, or gives.
  async resume(kind, show) {
    const { jobs } = await ask("jobs", { kind });
    const [job] = jobs.filter((one) => one.state === "running" || one.state === "done");
    if (!job) return;
    const result = await this.follow(job);
    if (result) show(result, this.job);
  }
}

// A field of local time, as µs UTC; undefined where it is empty.
export function moment(input) {
  if (!input.value) return undefined;
  return new Date(input.value).getTime() * 1000;
}

// Fields of time hold the viewer's own: say so beside them.
for (const node of document.querySelectorAll("[data-zone]")) node.textContent = `times in ${zone()}`;

const two = (n) => String(n).padStart(2, "0");

// µs UTC as such a field takes it.
export function local(us) {
  const d = new Date(us / 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export function figures(node, parts) {
  node.replaceChildren(...parts.map(([name, figure, note]) => {
    const cell = make("div");
    cell.append(make("dt", "", name), make("dd", "", figure), make("dd", "note", note ?? ""));
    return cell;
  }));
}

// Rows of a table's body: each an array of nodes and texts.
export function rows(table, content) {
  table.tBodies[0].replaceChildren(...content.map((cells) => {
    const row = make("tr");
    row.append(...cells.map((cell) => {
      const node = make("td");
      node.append(cell ?? "");
      return node;
    }));
    return row;
  }));
  table.hidden = !content.length;
}
