const texts = new Map();

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
