// The live feed, and the truth about it: what is stale is said, loudly.

import { greet } from "./api.js";
import { time } from "./words.js";

const SILENCE_MS_MAX = 5000;

const element = (id) => document.getElementById(id);

export function follow(model, { whole, touched, pulse }) {
  let heardAt = performance.now();
  let source;
  let last = null;

  const on = (kind, act) => source.addEventListener(kind, (event) => {
    heardAt = performance.now();
    act(JSON.parse(event.data));
  });
  const beat = (content) => {
    model.offset = content.now - Date.now() * 1000;
    last = content;
    pulse(content);
    say();
  };

  function connect() {
    source?.close();
    source = new EventSource("/api/v1/live");
    on("board", (content) => {
      model.reset();
      model.describe(content.series);
      model.take(content.values);
      model.find(content.findings);
      model.raise(content.alarms ?? []);
      model.offset = content.now - Date.now() * 1000;
      whole();
      beat(content);
    });
    on("series", (content) => touched(model.describe(content), "series"));
    on("values", (content) => touched(model.take(content), "values"));
    on("findings", (content) => touched(model.find(content), "findings", content));
    on("alarms", (content) => touched(model.raise(content), "alarms", content));
    on("pulse", beat);
  }

  function say() {
    const silent = performance.now() - heardAt;
    const lost = silent > SILENCE_MS_MAX;
    const lines = [];
    let level = 3;
    if (lost) {
      lines.push(`No live data for ${Math.round(silent / 1000)} s: what you see is from ${time(model.now() - silent * 1000, model.now())}. Is the page's server running?`);
    } else if (last) {
      if (last.record) lines.push(`The record does not answer: counts and history are stale. ${last.record}`);
      lines.push(...stale(last.health));
      if (!lines.length && last.cache) {
        level = 2;
        lines.push(`The cache is away: values come from the record, once a second. ${last.cache}`);
      }
      if (!lines.length && last.left_out) {
        level = 2;
        lines.push(`${last.left_out} series or anomalies are not shown: there are more than this page holds.`);
      }
    }
    const banner = element("banner");
    const text = lines.join("\n");
    if (banner.dataset.text !== text) {
      banner.dataset.text = text;
      banner.dataset.level = level;
      banner.hidden = !lines.length;
      banner.replaceChildren(...lines.map((line) => Object.assign(document.createElement("span"), { textContent: line })));
    }
    element("link").dataset.state = lost ? "lost" : last ? "live" : "wait";
    element("link-text").textContent = lost ? "stale" : last ? "live" : "connecting";
    element("clock").textContent = time(model.now(), model.now());
  }

  connect();
  greet(element("who")).catch(() => {});
  setInterval(() => {
    say();
    // A closed source stays closed by itself (an error page instead of a stream): begin anew.
    if (source.readyState === EventSource.CLOSED) connect();
  }, 1000);
}

function stale(health) {
  if (!health) return [];
  const lines = health.stale.map((words) => `Worker stale: ${words}.`);
  if (!lines.length && health.shards.length && !health.workers) lines.push("No worker is running: nothing is read.");
  return lines.length > 3 ? [...lines.slice(0, 2), `… and ${lines.length - 2} more shards that nobody reads.`] : lines;
}

