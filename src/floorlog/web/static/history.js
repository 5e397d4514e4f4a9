// One series over a span: readings where they are few, extremes by bucket or spans of states where many.

import { ask } from "./api.js";

export const RAW_US_MAX = 1200e6;
const ROWS_MAX = 5000;
const BUCKETS_MAX = 800;

// What a chart draws: { kind, rows, width } as the API gives them.
export async function history(one, begin, end, pixels) {
  const query = { device: one.device, metric: one.metric, from: Math.floor(begin), to: Math.ceil(end) };
  if (end - begin <= RAW_US_MAX) {
    const found = await ask("readings", { ...query, rows: ROWS_MAX });
    return { kind: "readings", rows: found.readings, width: 0 };
  }
  if (one.kind === "state") {
    const found = await ask("states", query);
    return { kind: "states", rows: found.spans, width: 0 };
  }
  const found = await ask("trend", { ...query, buckets: Math.min(BUCKETS_MAX, Math.max(60, Math.floor(pixels / 2))) });
  return { kind: "trend", rows: found.buckets, width: found.width };
}
