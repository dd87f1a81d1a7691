"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const root = document.documentElement;
let chosen = 0;

// value of a measure: the mean over heads, or one head
function values(measure, layer, head) {
  const rows = data.layers[layer][measure];
  return rows.map((row) => (head === "mean" ? mean(row) : row[Number(head)]));
}
function mean(row) {
  const known = row.filter((x) => x !== null);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
}
// the share of values below each value: 0 for the least, 1 for the largest
function shares(list) {
  const sorted = list.filter((x) => x !== null).sort((a, b) => a - b);
  const last = Math.max(sorted.length - 1, 1);
  const at = (x) => { let low = 0, high = sorted.length; while (low < high) { const m = (low + high) >> 1; if (sorted[m] < x) low = m + 1; else high = m; } return low; };
  return list.map((x) => (x === null ? 0 : at(x) / last));
}
function said(x) { return x === null ? "none" : Number(x.toPrecision(4)).toString(); }

function show() {
  const measure = $("measure").value, layer = Number($("layer").value), head = $("head").value;
  const list = values(measure, layer, head), heat = shares(list);
  $("meaning").textContent = data.measures[measure];
  const known = list.filter((x) => x !== null);
  $("least").textContent = known.length ? said(known.reduce((a, b) => Math.min(a, b))) : "none";
  $("most").textContent = known.length ? said(known.reduce((a, b) => Math.max(a, b))) : "none";
  [...$("text").children].forEach((token, t) => {
    token.style.setProperty("--share", `${Math.round(80 * heat[t])}%`);
    token.title = `token ${t}: ${said(list[t])}`;
  });
  draw(measure, head);
  detail();
}
function draw(measure, head) {
  const canvas = $("map"), count = data.tokens.length, rows = data.layers.length;
  canvas.width = count; canvas.height = rows;
  canvas.style.height = `${Math.min(28 * rows, 480)}px`;
  const paint = canvas.getContext("2d");
  const colour = getComputedStyle($("sample")).color;
  data.layers.forEach((_, row) => shares(values(measure, row, head)).forEach((share, t) => {
    paint.globalAlpha = share; paint.fillStyle = colour; paint.fillRect(t, row, 1, 1);
  }));
}
function detail() {
  const head = $("head").value, layer = Number($("layer").value);
  $("chosen").textContent = `token ${chosen}, ${JSON.stringify(data.tokens[chosen])}, layer ${data.layers[layer].layer}`;
  $("values").replaceChildren(...Object.keys(data.measures).map((measure) => {
    const row = document.createElement("tr");
    for (const text of [measure, said(values(measure, layer, head)[chosen]), data.measures[measure]]) {
      const cell = document.createElement("td"); cell.textContent = text; row.append(cell);
    }
    return row;
  }));
  [...$("text").children].forEach((token, t) => token.classList.toggle("chosen", t === chosen));
}
function choose(t) { chosen = Math.max(0, Math.min(t, data.tokens.length - 1)); detail(); $("text").children[chosen].scrollIntoView({ block: "nearest" }); }

data.tokens.forEach((piece) => {
  const token = document.createElement("span");
  token.textContent = piece === "" ? "·" : piece === "\n" ? "↵\n" : piece;
  $("text").append(token);
});
$("text").addEventListener("click", (event) => { const t = [...$("text").children].indexOf(event.target); if (t >= 0) choose(t); });
$("map").addEventListener("click", (event) => {
  const box = $("map").getBoundingClientRect();
  $("layer").value = String(Math.min(data.layers.length - 1, Math.floor((event.clientY - box.top) / box.height * data.layers.length)));
  choose(Math.floor((event.clientX - box.left) / box.width * data.tokens.length));
  show();
});
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "SELECT") return;
  if (event.key === "ArrowRight") choose(chosen + 1);
  if (event.key === "ArrowLeft") choose(chosen - 1);
});
$("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  show();
});
for (const id of ["measure", "layer", "head"]) $(id).addEventListener("change", show);
show();
