// Which span of time is looked at: live or fixed, with a way back; kept in the address.

import { make, write } from "./tile.js";
import { time } from "./words.js";

const SPANS = [
  ["10 min", 600], ["1 h", 3600], ["8 h", 28800], ["1 d", 86400], ["1 w", 604800], ["1 M", 2592000], ["1 y", 31536000],
];
const BACK_MAX = 50;
const SPAN_US_MIN = 1e6;

// `changed(begin, end)` is called when another span is to be shown; `now()` gives µs UTC.
export class Range {
  constructor(node, now, changed) {
    this.now = now;
    this.changed = changed;
    this.past = [];
    this.seconds = 600; // live: so far back from now
    this.fixed = null; // or [begin, end]
    node.className = "range";
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", "Span of time");
    this.buttons = SPANS.map(([name, seconds]) => this.button(node, name, () => this.live(seconds), seconds));
    this.button(node, "◀", () => this.pan(-0.5)).setAttribute("aria-label", "Earlier");
    this.button(node, "▶", () => this.pan(0.5)).setAttribute("aria-label", "Later");
    this.button(node, "−", () => this.widen(2)).setAttribute("aria-label", "Wider");
    this.button(node, "+", () => this.widen(0.5)).setAttribute("aria-label", "Closer");
    this.back = this.button(node, "Back", () => { const last = this.past.pop(); if (last) this.set(last, false); });
    this.said = make("span", "num said");
    node.append(this.said);
    const found = /(?:^|[#&])t=(\d+)-(\d+)/.exec(location.hash);
    if (found) this.fixed = [Number(found[1]), Number(found[2])];
    const live = /(?:^|[#&])s=(\d+)/.exec(location.hash);
    if (live) this.seconds = Math.max(1, Math.min(Number(live[1]), 31536000));
    this.mark();
  }

  button(node, name, act, seconds) {
    const button = make("button", "", name);
    button.type = "button";
    if (seconds) button.dataset.seconds = seconds;
    button.addEventListener("click", act);
    node.append(button);
    return button;
  }

  span() { return this.fixed ?? [this.now() - this.seconds * 1e6, this.now()]; }

  get isLive() { return !this.fixed; }

  live(seconds) { this.set({ seconds, fixed: null }); }

  zoom(begin, end) { this.set({ seconds: this.seconds, fixed: [Math.floor(begin), Math.ceil(Math.max(end, begin + SPAN_US_MIN))] }); }

  pan(share) {
    const [begin, end] = this.span();
    const by = (end - begin) * share;
    this.zoom(begin + by, end + by);
  }

  widen(times) {
    const [begin, end] = this.span();
    const middle = (begin + end) / 2;
    const half = Math.min(((end - begin) * times) / 2, 31536000e6);
    this.zoom(middle - half, middle + half);
  }

  set(next, remember = true) {
    if (remember) this.past = [...this.past, { seconds: this.seconds, fixed: this.fixed }].slice(-BACK_MAX);
    ({ seconds: this.seconds, fixed: this.fixed } = next);
    this.mark();
    this.changed();
  }

  mark() {
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(!this.fixed && Number(button.dataset.seconds) === this.seconds));
    this.back.disabled = !this.past.length;
    const [begin, end] = this.span();
    write(this.said, this.fixed ? `${time(begin, this.now())} – ${time(end, this.now())}` : "live");
    const kept = location.hash.slice(1).split("&").filter((part) => part && !/^[ts]=/.test(part));
    const own = this.fixed ? `t=${begin}-${end}` : this.seconds === 600 ? null : `s=${this.seconds}`;
    history.replaceState(null, "", `#${[...kept, own].filter(Boolean).join("&")}`);
  }
}
