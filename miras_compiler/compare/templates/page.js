"use strict";
const $ = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const words = (text) => (text ? text.split(" ") : []);
const index = JSON.parse($("index").textContent);
const tabs = all('[role="tab"]');
const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const chosen = { keys: [], nodes: [] };
const texts = new Map();

document.documentElement.classList.add("tabbed");
document.documentElement.style.setProperty("--columns", index.labels.length);

/* The place in the page: #tab=code&file=kernels.py&left=0&right=1&key=retention&node=W1 */
function remember() {
  const kept = Object.entries(state).filter(([, value]) => value !== "" && value !== undefined);
  history.replaceState(null, "", "#" + kept.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&"));
}

function open(tab, focus) {
  const found = tabs.find((each) => each.id === `tab-${tab}`) || tabs[0];
  state.tab = found.id.slice(4);
  for (const each of tabs) {
    const on = each === found;
    each.setAttribute("aria-selected", on);
    each.tabIndex = on ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = !on;
  }
  if (focus) found.focus();
  found.parentElement.scrollLeft = found.offsetLeft - 16;
  remember();
  if (state.tab === "code") showCode();
}

/* Selection: an element is marked if it is of a selected value, or has a selected key or one below it. */
const below = (key, wanted) => key === wanted || key.startsWith(wanted + ".");

function mark() {
  const { keys, nodes } = chosen;
  for (const each of all("[data-keys]")) {
    const its = words(each.dataset.keys);
    const byNode = words(each.dataset.node).some((node) => nodes.includes(node));
    const byKey = its.some((key) => keys.some((wanted) => below(key, wanted)));
    each.classList.toggle("hit", nodes.length && !("line" in each.dataset) ? byNode : byKey);
    if (each.getAttribute("role") === "button") each.setAttribute("aria-pressed", each.classList.contains("hit"));
  }
  for (const each of tabs) {
    const count = all(".hit", $(each.getAttribute("aria-controls"))).filter((hit) => !hit.closest(hiddenGraphs())).length;
    each.querySelector(".count").textContent = count || "";
  }
  for (const fold of all(".fold")) {
    const count = fold.ties.filter(([node, its]) => (nodes.length ? nodes.includes(node) : words(its).some((key) => keys.some((wanted) => below(key, wanted))))).length;
    fold.textContent = `⋯ ${fold.size} equal lines` + (count ? `, ${count} of them marked` : "");
    fold.classList.toggle("marked", count > 0);
  }
  $("clear").hidden = !keys.length && !nodes.length;
}

const hiddenGraphs = () => ($("expand").checked ? ".boxed" : ".expanded");

function select(keys, nodes, from) {
  chosen.keys = keys;
  chosen.nodes = nodes;
  state.key = keys.join(" ");
  state.node = nodes.join(" ");
  remember();
  mark();
  const shown = (from && from.closest("aside") ? all(".hit", $(state.tab)) : all("aside .hit")).find((each) => each.getClientRects().length);
  if (shown && from) shown.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function choose(element) {
  const keys = words(element.dataset.keys);
  const nodes = words(element.dataset.node);
  const again = chosen.keys.join() === keys.join() && chosen.nodes.join() === nodes.join();
  if (again) select([], []);
  else select(keys, nodes, element);
}

document.addEventListener("click", (event) => {
  const element = event.target.closest("[data-keys]");
  if (element && !String(getSelection())) choose(element);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") select([], []);
  const element = event.target.closest && event.target.closest("[data-keys]");
  if (element && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    choose(element);
  }
  const at = tabs.indexOf(event.target);
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -at, End: tabs.length - 1 - at }[event.key];
  if (at >= 0 && step !== undefined) {
    event.preventDefault();
    open(tabs[(at + step + tabs.length) % tabs.length].id.slice(4), true);
  }
});
for (const each of tabs) each.addEventListener("click", () => open(each.id.slice(4)));
$("clear").addEventListener("click", () => select([], []));
for (const box of all("[data-only]")) box.addEventListener("change", () => box.closest("section").classList.toggle("only-differs", box.checked));
$("expand").addEventListener("change", (event) => {
  $("graph").classList.toggle("graphs-expanded", event.target.checked);
  mark();
});

/* Light, dark, or as the system has it. */
const root = document.documentElement;
function theme(name) {
  if (name) root.dataset.theme = name;
  $("theme").textContent = { light: "☀", dark: "☾" }[root.dataset.theme] || "◐";
}
try { theme(localStorage.getItem("miras-theme")); } catch { theme(); }
$("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  theme(dark ? "light" : "dark");
  try { localStorage.setItem("miras-theme", root.dataset.theme); } catch { /* a page without storage forgets it */ }
});

/* Code: texts come out of the page when they are first shown. */
async function textsOf(number) {
  if (!texts.has(number)) {
    const element = $(`code-${number}`);
    let text = element.textContent;
    if (element.type === "application/octet-stream") {
      const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      text = await new Response(stream).text();
    }
    texts.set(number, JSON.parse(text));
  }
  return texts.get(number);
}

/* Lines as [left, right], null where one side has none: lines that are there once on both sides hold the rest together. */
function align(left, right) {
  const pairs = [];
  const walk = (a, b, c, d) => {
    while (a < b && c < d && left[a] === right[c]) pairs.push([a++, c++]);
    const tail = [];
    while (a < b && c < d && left[b - 1] === right[d - 1]) tail.unshift([--b, --d]);
    const anchors = a < b && c < d ? once(a, b, c, d) : [];
    if (anchors.length) {
      for (const [i, j] of anchors) {
        if (i < a || j < c) continue;
        walk(a, i, c, j);
        pairs.push([i, j]);
        a = i + 1;
        c = j + 1;
      }
      walk(a, b, c, d);
    } else if (a < b && c < d && (b - a) * (d - c) < 4e6) common(a, b, c, d);
    else change(a, b, c, d);
    pairs.push(...tail);
  };
  const change = (a, b, c, d) => {
    for (let k = 0; k < Math.max(b - a, d - c); k++) pairs.push([a + k < b ? a + k : null, c + k < d ? c + k : null]);
  };
  const once = (a, b, c, d) => {
    const seen = new Map();
    for (let i = a; i < b; i++) seen.set(left[i], { i, n: ((seen.get(left[i]) || {}).n || 0) + 1, m: 0 });
    for (let j = c; j < d; j++) {
      const entry = seen.get(right[j]);
      if (entry) Object.assign(entry, { j, m: entry.m + 1 });
    }
    const points = [...seen.values()].filter((entry) => entry.n === 1 && entry.m === 1).sort((p, q) => p.i - q.i);
    const piles = [];
    for (const point of points) {
      let low = 0, high = piles.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (piles[middle].j < point.j) low = middle + 1;
        else high = middle;
      }
      point.before = low ? piles[low - 1] : null;
      piles[low] = point;
    }
    const found = [];
    for (let point = piles[piles.length - 1]; point; point = point.before) found.unshift([point.i, point.j]);
    return found;
  };
  const common = (a, b, c, d) => {
    const width = d - c + 1;
    const longest = new Uint16Array((b - a + 1) * width);
    for (let i = b - 1; i >= a; i--)
      for (let j = d - 1; j >= c; j--) {
        const at = (i - a) * width + j - c;
        longest[at] = left[i] === right[j] ? longest[at + width + 1] + 1 : Math.max(longest[at + width], longest[at + 1]);
      }
    let i = a, j = c, p = a, q = c;
    while (i < b && j < d) {
      const at = (i - a) * width + j - c;
      if (left[i] === right[j]) {
        change(p, i, q, j);
        pairs.push([i++, j++]);
        p = i;
        q = j;
      } else if (longest[at + width] >= longest[at + 1]) i++;
      else j++;
    }
    change(p, b, q, d);
  };
  walk(0, left.length, 0, right.length);
  return pairs;
}

function pane(text, ties, number, kind) {
  const element = document.createElement("div");
  element.className = `pane ${number === null ? "none" : kind}`;
  if (number === null) return element;
  element.dataset.n = number + 1;
  element.innerHTML = text[number];
  const tie = ties.get(number);
  if (tie) {
    element.dataset.keys = tie[1];
    if (tie[0]) element.dataset.node = tie[0];
    element.tabIndex = 0;
    element.setAttribute("role", "button");
  }
  return element;
}

function titles(...names) {
  const row = document.createElement("div");
  row.className = names.length > 1 ? "line titles" : "line titles one";
  for (const each of names) {
    const title = document.createElement("div");
    title.className = "pane";
    const name = document.createElement("span");
    name.className = each.number === undefined ? "" : `name s${each.number}`;
    name.textContent = each.text;
    title.append(name);
    row.append(title);
  }
  return row;
}

/* Ranges of a line between what it begins and ends with alike on both sides. */
function changed(left, right, removed, added) {
  const [one, other] = [left.textContent, right.textContent];
  let from = 0, behind = 0;
  while (from < one.length && one[from] === other[from]) from++;
  while (behind < Math.min(one.length, other.length) - from && one[one.length - 1 - behind] === other[other.length - 1 - behind]) behind++;
  if (from + behind < Math.min(one.length, other.length) / 3) return;
  for (const [element, length, set] of [[left, one.length, removed], [right, other.length, added]]) {
    const range = new Range();
    const ends = [place(element, from), place(element, length - behind)];
    range.setStart(...ends[0]);
    range.setEnd(...ends[1]);
    set.add(range);
  }
}

function place(element, offset) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let last = element;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (offset <= node.length) return [node, offset];
    offset -= node.length;
    last = node;
  }
  return [last, last.length || 0];
}

const NEAR = 3;
let turn = 0;

async function showCode() {
  const number = Math.max(0, index.files.findIndex((file) => file.path === state.file));
  const file = index.files[number];
  const last = index.labels.length - 1;
  const side = (name, other) => (state[name] in index.labels ? Number(state[name]) : Math.min(other, last));
  const [l, r] = [side("left", 0), side("right", 1)];
  [$("file").value, $("left").value, $("right").value] = [number, l, r];
  const mine = ++turn;
  const variants = await textsOf(number);
  if (mine !== turn) return;
  const panes = document.createElement("div");
  panes.className = "panes";
  const [a, b] = [file.of[l], file.of[r]];
  const ties = (variant) => new Map(variant.ties.map(([line, node, keys]) => [line, [node, keys]]));
  const has = (variant, at) => ({ text: variant === null ? `${index.labels[at]} has no ${file.path}` : index.labels[at], number: at });
  const rows = [];
  let count = "";
  if (a === b && a !== null) {
    panes.append(l === r ? titles(has(a, l)) : titles({ text: `${index.labels[l]} and ${index.labels[r]}: the same` }));
    variants[a].lines.forEach((_, i) => rows.push([[i, null], true]));
  } else {
    panes.append(titles(has(a, l), has(b, r)));
    const [left, right] = [a, b].map((variant) => (variant === null ? [] : variants[variant].lines));
    for (const pair of align(left, right)) rows.push([pair, pair[0] !== null && pair[1] !== null && left[pair[0]] === right[pair[1]]]);
    const minus = rows.filter(([pair, same]) => !same && pair[0] !== null).length;
    const plus = rows.filter(([pair, same]) => !same && pair[1] !== null).length;
    count = `− ${minus} + ${plus} lines`;
  }
  $("counts").textContent = count;
  const one = a === b && a !== null;
  const shown = (variant) => (variant === null ? [[], new Map()] : [variants[variant].lines, ties(variants[variant])]);
  const [leftText, leftTies] = shown(a);
  const [rightText, rightTies] = shown(b);
  const replaced = [];
  const draw = ([[i, j], same]) => {
    const row = document.createElement("div");
    row.className = one ? "line one" : same ? "line same" : "line";
    const left = pane(leftText, leftTies, i, same ? "" : "removed");
    row.append(left);
    if (!one) {
      const right = pane(rightText, rightTies, j, same ? "" : "added");
      row.append(right);
      if (!same && i !== null && j !== null) replaced.push([left, right]);
    }
    return row;
  };
  const whole = one || $("all").checked;
  const keep = rows.map(() => whole);
  rows.forEach(([, same], at) => {
    if (!same) for (let k = Math.max(0, at - NEAR); k <= Math.min(rows.length - 1, at + NEAR); k++) keep[k] = true;
  });
  for (let at = 0; at < rows.length; ) {
    if (keep[at]) {
      panes.append(draw(rows[at++]));
      continue;
    }
    const begun = at;
    while (at < rows.length && !keep[at]) at++;
    const hidden = rows.slice(begun, at);
    const fold = document.createElement("button");
    fold.type = "button";
    fold.className = "fold";
    fold.size = hidden.length;
    fold.ties = hidden.map(([[i]]) => leftTies.get(i)).filter(Boolean);
    fold.addEventListener("click", () => {
      fold.replaceWith(...hidden.map(draw));
      mark();
    });
    panes.append(fold);
  }
  $("panes").replaceChildren(panes);
  if (window.Highlight && CSS.highlights) {
    const sets = [new Set(), new Set()];
    for (const [left, right] of replaced) changed(left, right, ...sets);
    CSS.highlights.set("removed", new Highlight(...sets[0]));
    CSS.highlights.set("added", new Highlight(...sets[1]));
  }
  mark();
}

function option(select, value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  select.append(element);
}
index.files.forEach((file, number) => {
  const same = new Set(file.of).size === 1 ? " (the same)" : "";
  option($("file"), number, file.path + same);
});
for (const name of ["left", "right"]) {
  index.labels.forEach((label, number) => option($(name), number, label));
  $(name).addEventListener("change", (event) => { state[name] = event.target.value; remember(); showCode(); });
}
$("file").addEventListener("change", (event) => { state.file = index.files[event.target.value].path; remember(); showCode(); });
$("all").addEventListener("change", showCode);

function restore() {
  for (const name of Object.keys(state)) delete state[name];
  Object.assign(state, Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
  chosen.keys = words(state.key);
  chosen.nodes = words(state.node);
  open(state.tab);
  mark();
}
addEventListener("hashchange", restore);
addEventListener("beforeprint", showCode);
restore();
