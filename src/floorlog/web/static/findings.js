// The list of anomalies: open ones first, worst first, each with its reason and since when.

import { make, write } from "./tile.js";
import { age, brief, severity, time } from "./words.js";

const OPEN_MAX = 100;
const ENDED_MAX = 12;
const place = (id) => document.getElementById(id);

function entry(one, now) {
  const node = make("li");
  const shape = make("span", "shape");
  shape.dataset.level = one.severity;
  const what = make("p", "what");
  const link = make("a", "", one.device);
  link.href = `/device?name=${encodeURIComponent(one.device)}`;
  what.append(link, " ", make("span", "", one.metric));
  const since = make("time", "since");
  since.dateTime = new Date(one.start / 1000).toISOString();
  node.append(shape, what, since, make("p", "reason", brief(one)));
  const ended = one.end == null ? "" : `, lasted ${age((one.end - one.start) / 1e6)}`;
  node.append(make("p", "sev", `${severity(one.severity)} · ${one.detector} · since ${time(one.start, now)}${ended}`));
  return node;
}

export class Findings {
  constructor(device = null) {
    this.device = device;
    this.nodes = new Map();
  }

  show(model) {
    const now = model.now();
    const all = [...model.findings].filter(([, one]) => this.device == null || one.device === this.device);
    const open = all.filter(([, one]) => one.end == null)
      .sort(([, a], [, b]) => b.severity - a.severity || b.start - a.start);
    const ended = all.filter(([, one]) => one.end != null).sort(([, a], [, b]) => b.end - a.end);
    write(place("open-count"), open.length ? `${open.length} open` : "");
    this.fill(place("open"), open, OPEN_MAX, now);
    this.fill(place("ended"), ended.slice(0, ENDED_MAX), ENDED_MAX, now);
    place("ended-title").hidden = !ended.length;
    if (!open.length) {
      const none = make("li", "none", "None open.");
      place("open").replaceChildren(none);
    }
    const nothing = place("none");
    if (nothing) nothing.hidden = true;
    const keys = new Set(all.map(([key]) => key));
    for (const key of this.nodes.keys()) if (!keys.has(key)) this.nodes.delete(key);
    this.tick(model);
  }

  fill(list, found, most, now) {
    const nodes = found.slice(0, most).map(([key, one]) => {
      let held = this.nodes.get(key);
      if (!held || held.one !== one) this.nodes.set(key, (held = { one, node: entry(one, now) }));
      return held.node;
    });
    if (found.length > most) nodes.push(make("li", "more", `and ${found.length - most} more`));
    const same = nodes.length === list.children.length && nodes.every((node, at) => list.children[at] === node);
    if (same) return;
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    list.replaceChildren(...nodes);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }

  tick(model) {
    const now = model.now();
    for (const { one, node } of this.nodes.values()) {
      write(node.children[2], one.end == null ? age((now - one.start) / 1e6) : `${age((now - one.end) / 1e6)} ago`);
    }
  }
}
