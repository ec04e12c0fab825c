#pragma once

// What a report's page looks like and does. No file, font or address beside the page is used, which
// its Content-Security-Policy holds the browser to.
namespace minke {

inline constexpr const char* kReportStyle = R"css(
:root { color-scheme: light dark;
  --bg: #f5f7f9; --card: #ffffff; --ink: #16202c; --soft: #566373; --line: #dfe5eb;
  --good: #0b7a4b; --bad: #c0262d; --warn: #9a6200; --accent: #1f5fd0;
  --c0: #1f5fd0; --c1: #d2500c; --c2: #0b8457; --c3: #8a3cc4; --c4: #a67700; --c5: #0a7a9c;
  --c6: #bf2360; --c7: #5b6675; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #0e1319; --card: #161d26; --ink: #e7ecf2; --soft: #98a5b4; --line: #29333f;
  --good: #52d29b; --bad: #ff8a8a; --warn: #eebd62; --accent: #82aaff;
  --c0: #82aaff; --c1: #ff9c61; --c2: #52d29b; --c3: #cba3ff; --c4: #ecc75f; --c5: #62cdea;
  --c6: #ff93b5; --c7: #a6b2c0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 2rem 1.25rem 4rem; background: var(--bg);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: .95rem; margin: 0; }
.kicker { margin: 0 0 .25rem; color: var(--soft); letter-spacing: .04em; }
.standing { margin: .5rem 0 0; color: var(--soft); }
.badge { display: inline-block; padding: 0 .6em; border-radius: 1em; border: 1px solid;
  font-size: .85em; margin-right: .5em; }
.finished { color: var(--good); } .running { color: var(--accent); }
.interrupted { color: var(--warn); } .failed { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .75rem;
  margin-top: 1.5rem; }
.tile, figure, .card { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.tile { padding: .75rem 1rem; }
.tile span, .tile small { display: block; color: var(--soft); font-size: .82rem; }
.tile b { font-size: 1.45rem; font-weight: 600; line-height: 1.35; white-space: nowrap; }
.card { padding: .5rem 1rem; overflow-x: auto; }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); }
figure { margin: 0; padding: .75rem 1rem .5rem; min-width: 0; }
figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: .15rem .75rem; }
.unit, .key { color: var(--soft); font-size: .82rem; }
.legend { margin-left: auto; display: flex; flex-wrap: wrap; gap: .1rem .9rem; }
.key b { color: var(--ink); font-weight: 600; }
.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  margin-right: .35em; }
.plot { position: relative; }
.plot > svg { display: block; width: 100%; height: auto; overflow: visible; }
svg:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.grid line { stroke: var(--line); } .grid text { fill: var(--soft); font-size: 12px; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.raw { fill: none; stroke-width: 1; opacity: .28; }
.cursor { stroke: var(--soft); stroke-dasharray: 3 3; display: none; }
.cursor.on { display: inline; }
.mark { stroke: var(--bad); stroke-width: 1.5; opacity: .55; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.c6 { stroke: var(--c6); } .c7 { stroke: var(--c7); }
.b0 { background: var(--c0); } .b1 { background: var(--c1); } .b2 { background: var(--c2); }
.b3 { background: var(--c3); } .b4 { background: var(--c4); } .b5 { background: var(--c5); }
.b6 { background: var(--c6); } .b7 { background: var(--c7); }
.dot { fill: var(--card); stroke-width: 1.8; }
.readout { position: absolute; top: 8%; pointer-events: none; padding: .35rem .6rem; z-index: 1;
  background: var(--card); border: 1px solid var(--line); border-radius: 6px; font-size: .82rem;
  white-space: nowrap; box-shadow: 0 2px 10px rgb(0 0 0 / .18); }
.readout div { display: flex; gap: .5rem; justify-content: space-between; }
.choices { margin: 0 0 .75rem; color: var(--soft); font-size: .88rem; }
.choices label { cursor: pointer; padding: .15rem .6rem; border-radius: 1em; }
.choice { position: absolute; opacity: 0; }
.smooth0, .smooth1, .smooth2, .smooth3 { display: none; }
#smooth0:checked ~ main .smooth0, #smooth1:checked ~ main .smooth1,
#smooth2:checked ~ main .smooth2, #smooth3:checked ~ main .smooth3 { display: inline; }
#smooth0:checked ~ main .raw { display: none; }
#smooth0:checked ~ main [for=smooth0], #smooth1:checked ~ main [for=smooth1],
#smooth2:checked ~ main [for=smooth2], #smooth3:checked ~ main [for=smooth3] {
  background: var(--accent); color: var(--card); }
.choice:focus-visible ~ main .choices { outline: 2px solid var(--accent); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; }
td { overflow-wrap: anywhere; } td.number { white-space: nowrap; }
pre { margin: .5rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
details { margin: .25rem 0; } summary { cursor: pointer; padding: .25rem 0; }
.prompt { color: var(--soft); }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media print { .choices, .readout { display: none; } figure, .tile { break-inside: avoid; } }
)css";

// Values under the pointer (or with the arrow keys), and one cursor through all charts.
inline constexpr const char* kReportScript = R"js(
"use strict";
const figures = [...document.querySelectorAll("figure.chart")].map((figure) => ({
  svg: figure.querySelector("svg"), cursor: figure.querySelector(".cursor"),
  readout: figure.querySelector(".readout"),
  lines: JSON.parse(figure.querySelector("script").textContent),
  from: +figure.dataset.from, to: +figure.dataset.to,
  left: +figure.dataset.left, right: +figure.dataset.right }));
const nearest = (steps, step) => {
  let low = 0, high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] <= step) low = middle; else high = middle;
  }
  return step - steps[low] <= steps[high] - step ? low : high;
};
const place = (chart, step) =>
  chart.left + (step - chart.from) / (chart.to - chart.from) * (chart.right - chart.left);
function moveCursors(step) {
  for (const chart of figures) {
    const is_on = step !== null && step >= chart.from && step <= chart.to;
    chart.cursor.classList.toggle("on", is_on);
    const x = is_on ? place(chart, step) : 0;
    chart.cursor.setAttribute("x1", x);
    chart.cursor.setAttribute("x2", x);
  }
}
function row(text, value, color) {
  const out = document.createElement("div"), name = document.createElement("span");
  const number = document.createElement("b");
  if (color !== undefined) {
    const swatch = document.createElement("i");
    swatch.className = "swatch b" + color;
    name.append(swatch);
  }
  name.append(text);
  number.append(value);
  out.append(name, number);
  return out;
}
function show(chart, step) {
  moveCursors(step);
  const first = chart.lines[0];
  const rows = [row("step", first.steps[nearest(first.steps, step)].toLocaleString("en"))];
  for (const line of chart.lines) {
    const at = nearest(line.steps, step);
    const off = line.steps[at] === first.steps[nearest(first.steps, step)] ? "" :
      " (step " + line.steps[at].toLocaleString("en") + ")";
    rows.push(row(line.label + off, String(line.values[at]), line.color));
  }
  chart.readout.replaceChildren(...rows);
  chart.readout.hidden = false;
  const share = place(chart, step) / 640;
  chart.readout.style.left = share < 0.5 ? share * 100 + 2 + "%" : "auto";
  chart.readout.style.right = share < 0.5 ? "auto" : (1 - share) * 100 + 2 + "%";
}
function hide(chart) { moveCursors(null); chart.readout.hidden = true; }
for (const chart of figures) {
  let at = 0;
  chart.svg.addEventListener("pointermove", (event) => {
    const box = chart.svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * 640;
    const share = (x - chart.left) / (chart.right - chart.left);
    show(chart, chart.from + Math.min(1, Math.max(0, share)) * (chart.to - chart.from));
  });
  chart.svg.addEventListener("pointerleave", () => hide(chart));
  chart.svg.addEventListener("blur", () => hide(chart));
  chart.svg.addEventListener("keydown", (event) => {
    const steps = chart.lines[0].steps, jump = Math.max(1, Math.round(steps.length / 50));
    if (event.key === "ArrowRight") at = Math.min(steps.length - 1, at + jump);
    else if (event.key === "ArrowLeft") at = Math.max(0, at - jump);
    else return;
    event.preventDefault();
    show(chart, steps[at]);
  });
}
)js";

}  // namespace minke
