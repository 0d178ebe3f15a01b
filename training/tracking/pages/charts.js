"use strict";
const SIDE = 1000, read = id => JSON.parse(document.getElementById(id)?.textContent ?? "null");
let data, charts, outputs, other = null;  // the curves of this run, and those of another one that is compared

function text(value) { return String(Number(value.toPrecision(4))).replace("-", "\u2212"); }

function count(value) {
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= unit) return Number((value / unit).toPrecision(4)) + name;
  }
  return text(value);
}

function range(chart, name) { return chart.dataset[name].split(",").map(Number); }

// Index of the number nearest to `wanted` in a sorted list.
function nearest(numbers, wanted) {
  let low = 0, high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low > 0 && wanted - numbers[low - 1] < numbers[low] - wanted ? low - 1 : low;
}

// Round numbers from `low` to `high`, roughly six of them.
function ticks(low, high) {
  let step = 10 ** Math.floor(Math.log10((high - low) / 6));
  step *= [1, 2, 5].find(factor => step * factor * 6 >= high - low) ?? 10;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at <= high / step + 1e-9; at++) found.push(at * step);
  return found;
}

// Show a line through all charts, and their values there; null removes both.
function show(seen) {
  const note = document.querySelector(".at");
  note.textContent = seen === null ? note.dataset.latest : `The numbers are those after ${Math.round(seen).toLocaleString("en")}.`;
  for (const chart of charts) {
    const [left, right] = chart.across, cursor = chart.querySelector(".cursor");
    cursor.hidden = seen === null;
    cursor.style.left = 100 * (seen - left) / (right - left) + "%";
  }
  for (const {key, output, latest, level, compared} of outputs) {
    const curve = data[key], theirs = other?.curves[key];
    const value = seen === null ? null : curve.values[nearest(curve.pictures, seen)], distance = value - level;
    output.textContent = value === null ? latest
      : text(value) + (level === undefined ? "" : ` (${distance < 0 ? "" : "+"}${text(distance)} from -log 4)`);
    compared.textContent = theirs ? text(seen === null ? theirs.values.at(-1) : theirs.values[nearest(theirs.pictures, seen)]) : "";
  }
}

// Lay a chart out again so that the curves of the other run fit too; without one, as it was.
function layOut(chart) {
  const own = {across: range(chart, "images"), up: range(chart, "values")}, svg = chart.querySelector("svg");
  svg.querySelectorAll(".other").forEach(path => path.remove());
  let [left, right] = own.across, [low, high] = own.up;
  const theirs = other ? [...chart.querySelectorAll("[data-key]")].filter(item => other.curves[item.dataset.key]) : [];
  for (const item of theirs) {
    const {pictures, values} = other.curves[item.dataset.key], sorted = [...values].sort((a, b) => a - b);
    right = Math.max(right, pictures.at(-1));
    low = Math.min(low, sorted[Math.floor(.01 * (sorted.length - 1))]);
    high = Math.max(high, sorted[Math.ceil(.99 * (sorted.length - 1))]);
  }
  const x = value => (value - left) / (right - left), y = value => (high - value) / (high - low);
  chart.across = [left, right];
  const wide = x(own.across[1]) - x(own.across[0]), tall = y(own.up[0]) - y(own.up[1]);
  for (const path of svg.querySelectorAll("path")) {
    path.setAttribute("transform", `translate(${SIDE * x(own.across[0])} ${SIDE * y(own.up[1])}) scale(${wide} ${tall})`);
  }
  for (const item of theirs) {
    const path = svg.querySelector(".grid").cloneNode(), {pictures, values} = other.curves[item.dataset.key];
    const places = pictures.map((seen, at) => `${SIDE * x(seen)} ${SIDE * Math.min(Math.max(y(values[at]), -1), 2)}`);
    path.setAttribute("d", "M" + places.join("L") + (places.length === 1 ? "h0" : ""));
    path.setAttribute("class", `${item.className} other`);
    path.removeAttribute("transform");
    svg.append(path);
  }
  for (const mark of chart.querySelectorAll(".mark")) {
    mark.style.left = 100 * x(Number(mark.dataset.images)) + "%";
    mark.style.top = 100 * Math.min(Math.max(y(Number(mark.dataset.value)), 0), 1) + "%";
  }
  const grid = svg.querySelector(".grid"), rows = chart.querySelector(".vertical"), columns = chart.querySelector(".horizontal");
  chart.ownAxes ??= [grid.getAttribute("d"), rows.innerHTML, columns.innerHTML];
  [rows.innerHTML, columns.innerHTML] = chart.ownAxes.slice(1);
  grid.setAttribute("d", chart.ownAxes[0]);
  if (!theirs.length) return;
  grid.removeAttribute("transform");
  const label = (place, at, name) => {
    const span = document.createElement("span");
    span.style[place] = 100 * at + "%";
    span.textContent = name;
    return span;
  };
  const up = ticks(low, high), along = ticks(left, right);
  rows.replaceChildren(...up.map(value => label("top", y(value), text(value))));
  columns.replaceChildren(...along.map(value => label("left", x(value), count(value))));
  grid.setAttribute("d", up.map(value => `M0 ${SIDE * y(value)}H${SIDE}`).join("") + along.map(value => `M${SIDE * x(value)} 0V${SIDE}`).join(""));
}

function compare(name, curves) {
  other = curves && {name, curves};
  const said = document.querySelector(".compared");
  said.hidden = !other;
  said.querySelector("b").textContent = other ? name : "";
  charts.forEach(layOut);
  show(null);
}

// The curves of another run: in its report.html, or means of what its stats.jsonl has.
function curvesIn(content) {
  const found = new DOMParser().parseFromString(content, "text/html").getElementById("data");
  if (found) return JSON.parse(found.textContent);
  const curves = {};
  for (const line of content.split("\n").filter(line => line.trim())) {
    const row = JSON.parse(line);
    for (const [key, value] of Object.entries(row)) {
      if (typeof value !== "number" || key === "pictures" || key === "seconds") continue;
      const curve = curves[key] ??= {pictures: [], values: []};
      curve.pictures.push(row.pictures);
      curve.values.push(value);
    }
  }
  return curves;
}

function compareWith(name, content) {
  try {
    compare(name, curvesIn(content));
  } catch {
    document.querySelector(".choose output").textContent = `${name} has no curves: give another run's report.html or stats.jsonl`;
  }
}

