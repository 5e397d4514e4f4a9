// What this page knows: series, their last values, findings; and what is abnormal about them.

import { brief, number, symbol } from "./words.js";

const UNKNOWN_INTERVAL_S = 20;
const INTERVALS = 3;
const STALE_S_MIN = 10;
const SPARK_US = 10e6;
const SPARK_POINTS = 30;

export class Model {
  constructor() { this.reset(); }

  reset() {
    this.series = [];
    this.values = new Map(); // index → [index, ts, seen_s, quality, value]
    this.devices = new Map(); // name → { name, asset, series: [description] }
    this.findings = new Map(); // key → finding
    this.open = new Map(); // device → metric → open findings
    this.alarms = new Map(); // key → alarm; normal ones are not kept
    this.sparks = new Map(); // index → { ts, values }: a value each ten seconds or more
    this.offset = 0; // server's clock minus ours, µs
  }

  now() { return Date.now() * 1000 + this.offset; }

  // Returns the names of the devices concerned.
  describe(descriptions) {
    const touched = new Set();
    for (const one of descriptions) {
      this.series[one.i] = one;
      let device = this.devices.get(one.device);
      if (!device) this.devices.set(one.device, (device = { name: one.device, series: [] }));
      device.asset = one.asset;
      const at = device.series.findIndex((old) => old.i === one.i);
      if (at < 0) device.series.push(one); else device.series[at] = one;
      touched.add(one.device);
    }
    return touched;
  }

  take(values) {
    const touched = new Set();
    for (const value of values) {
      this.values.set(value[0], value);
      if (typeof value[4] === "number") this.spark(value[0], value[1], value[4]);
      const one = this.series[value[0]];
      if (one) touched.add(one.device);
    }
    return touched;
  }

  spark(i, ts, value) {
    let spark = this.sparks.get(i);
    if (!spark) this.sparks.set(i, (spark = { ts: -SPARK_US, values: [] }));
    if (ts - spark.ts < SPARK_US) return;
    spark.ts = ts;
    spark.values.push(value);
    if (spark.values.length > SPARK_POINTS) spark.values.shift();
  }

  // What the server saw before this page was opened.
  remember({ rows }) {
    for (const { series, ts, values } of rows) this.sparks.set(series, { ts, values });
  }

  find(findings) {
    const touched = new Set();
    for (const one of findings) {
      const key = JSON.stringify([one.device, one.metric, one.detector, one.start]);
      this.findings.set(key, one);
      const metrics = this.open.get(one.device) ?? new Map();
      const list = (metrics.get(one.metric) ?? []).filter((old) => old.detector !== one.detector || old.start !== one.start);
      if (one.end == null) list.push(one);
      metrics.set(one.metric, list);
      this.open.set(one.device, metrics);
      touched.add(one.device);
    }
    const ended = [...this.findings].filter(([, one]) => one.end != null);
    if (ended.length > 200) {
      ended.sort((a, b) => a[1].end - b[1].end);
      for (const [key] of ended.slice(0, ended.length - 100)) this.findings.delete(key);
    }
    return touched;
  }

  static alarmKey(one) { return JSON.stringify([one.device, one.metric, one.detector]); }

  raise(alarms) {
    const touched = new Set();
    for (const one of alarms) {
      const key = Model.alarmKey(one);
      if (one.state === "normal") this.alarms.delete(key); else this.alarms.set(key, one);
      touched.add(one.device);
    }
    return touched;
  }

  // One series as it stands: level 0 as expected … 3 high, why in words, stale or not.
  judge(one) {
    const value = this.values.get(one.i);
    if (!value) return { level: 0, why: "", stale: true, age: Infinity, value: null, quality: 0, ts: null };
    const now = this.now();
    const [, ts, seen, quality, said] = value;
    const limit = Math.max(STALE_S_MIN, INTERVALS * (one.interval_s ?? UNKNOWN_INTERVAL_S));
    const outside = beyond(one, said);
    let { level, why } = outside;
    for (const finding of this.open.get(one.device)?.get(one.metric) ?? []) {
      if (finding.severity >= level) { level = finding.severity; why = brief(finding); }
    }
    const doubt = quality >>> 30;
    if (doubt && !why) { why = doubt === 1 ? "quality is uncertain" : "quality is bad"; level = Math.max(level, 1); }
    return { level, why, stale: now / 1e6 - seen > limit, age: (now - ts) / 1e6, value: said, quality, ts };
  }
}

function beyond(one, value) {
  if (typeof value === "string") {
    return one.abnormal?.includes(value) ? { level: 2, why: `${value} is an abnormal state` } : { level: 0, why: "" };
  }
  const unit = symbol(one.unit);
  const say = (word, limit) => `${word} ${number(limit)}${unit && ` ${unit}`}`;
  if (one.hihi != null && value > one.hihi) return { level: 3, why: say("above the high-high limit", one.hihi) };
  if (one.lolo != null && value < one.lolo) return { level: 3, why: say("below the low-low limit", one.lolo) };
  if (one.hi != null && value > one.hi) return { level: 2, why: say("above the high limit", one.hi) };
  if (one.lo != null && value < one.lo) return { level: 2, why: say("below the low limit", one.lo) };
  if (one.range_hi != null && value > one.range_hi) return { level: 1, why: say("above its range", one.range_hi) };
  if (one.range_lo != null && value < one.range_lo) return { level: 1, why: say("below its range", one.range_lo) };
  return { level: 0, why: "" };
}

// Where the band lies on its scale, as shares: the limits with a margin, or the range alone.
export function scale(one) {
  const lo = one.lo ?? one.lolo ?? one.range_lo;
  const hi = one.hi ?? one.hihi ?? one.range_hi;
  if (lo == null || hi == null || !(hi > lo)) return null;
  const margin = (hi - lo) * 0.3;
  const begin = Math.max(Math.min(lo - margin, one.lolo ?? lo), one.range_lo ?? -Infinity);
  const end = Math.min(Math.max(hi + margin, one.hihi ?? hi), one.range_hi ?? Infinity);
  const span = end - begin;
  const share = (x) => Math.min(1, Math.max(0, (x - begin) / span));
  return { lo: share(Math.max(lo, begin)), hi: share(Math.min(hi, end)), share };
}
