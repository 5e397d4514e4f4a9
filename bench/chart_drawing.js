// Draws the same charts by the page's own module and by uPlot; see chart_drawing.py.

import { Chart } from "/chart.js";
const charts = [];
window.make = (count, rows, uplot) => {
  document.body.replaceChildren();
  charts.length = 0;
  const begin = 1767225600e6, step = 1e6;
  const raw = Array.from({ length: rows }, (_, n) => [begin + n * step, 70 + 5 * Math.sin(n / 200) + ((n * 7919) % 97) / 40, 0, 0]);
  for (let k = 0; k < count; k += 1) {
    const node = document.createElement("div");
    document.body.append(node);
    if (uplot) {
      const isBand = rows === 800;
      const line = { stroke: "#3d464e", width: 1.6, points: { show: false } };
      const edge = { stroke: "transparent", points: { show: false } };
      const data = [raw.map((r) => r[0] / 1e6), raw.map((r) => r[1])];
      if (isBand) data.push(raw.map((r) => r[1] + 1), raw.map((r) => r[1] - 1));
      const chart = new uPlot({
        width: 900, height: 150, scales: { x: { auto: false, range: () => [charts.from, charts.to] } },
        series: [{}, line, ...(isBand ? [edge, edge] : [])],
        ...(isBand && { bands: [{ series: [2, 3], fill: "#c3cacf" }] }),
      }, data, node);
      charts.push({ draw() { chart.setData(data, true); } });
    } else {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("class", "plot");
      svg.style.cssText = "display:block;width:900px;height:150px";
      node.append(svg);
      const chart = new Chart(svg, document.createElement("span"));
      chart.data = rows === 800
        ? { kind: "trend", width: step, rows: raw.map((r) => [r[0], r[1] - 1, r[0], r[1] + 1, r[0], r[1], 9, 9]) }
        : { kind: "readings", rows: raw, width: 0 };
      charts.push({ draw() { chart.show({ device: "d", metric: "m" }, charts.from * 1e6, charts.to * 1e6, []); } });
    }
  }
  charts.from = begin / 1e6; charts.to = charts.from + rows;
};
window.draw = (n) => { charts.from += n ? 0.01 : 0; charts.to += n ? 0.01 : 0; for (const one of charts) one.draw(); };
window.frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
window.ready = true;
