"use strict";

/* What follows from the spec. HTML of equations and pictures is made by the compiler; everything else is text. */
const chosen = { keys: [], nodes: [] };
const tabs = all('[role="tab"]');

function drawVerdict(look, advice) {
  const problems = look.valid ? (advice ? advice.warnings : []) : look.problems;
  $("verdict").className = `verdict ${look.valid ? "good" : "bad"}`;
  const count = look.valid ? 0 : problems.length + look.more;
  $("headline").replaceChildren(
    element("b", { textContent: look.valid ? "✓ fine" : `✗ ${count} problem${count === 1 ? "" : "s"}` }),
    ...(look.valid ? [` ${look.name} `, element("code", { textContent: look.digest })] : [" what is shown below is of the last spec that was fine"]),
  );
  $("problems").replaceChildren(
    ...problems.map((each) => {
      const said = element("span", {}, each.what, ...(each.why ? [`; ${each.why}`] : []), ...(each.remedy ? ["; ", element("em", { textContent: each.remedy })] : []));
      const where = each.line ? element("button", { type: "button", textContent: `line ${each.line}` }) : null;
      if (where) where.addEventListener("click", () => goTo(each.line, each.column || 1));
      return element("li", { className: look.valid ? "warning" : "" }, where, said);
    }),
    ...(look.more > 0 ? [element("li", { textContent: `and ${look.more} more` })] : []),
  );
}

function drawResults(look) {
  const { form } = look;
  $("glance").replaceChildren(
    ...[["parallel form", form.kind], ...look.glance].flatMap(([what, value]) => [element("div", {}, element("dt", { textContent: what }), element("dd", { textContent: value }))]),
  );
  $("glance").dataset.form = form.kind;
  $("rule").replaceChildren(equations(look.rule));
  if (!$("expand").checked) drawPicture(look.graph);
  drawForm(look);
}

function drawPicture(svg) {
  $("picture").innerHTML = svg;
}

function equations(groups) {
  const table = element("table", { className: "equations one" });
  for (const { title, rows } of groups) {
    const body = element("tbody", {}, element("tr", { className: "heading" }, element("th", { scope: "rowgroup", textContent: title })));
    for (const row of rows) {
      const cell = element("td", { innerHTML: row.math });
      if (row.remark) cell.append(element("small", { textContent: row.remark }));
      if (row.keys.length) tie(cell, row.keys.join(" "), row.node);
      body.append(element("tr", {}, cell));
    }
    table.append(body);
  }
  return element("div", { className: "scroll" }, table);
}

function tie(target, keys, node) {
  Object.assign(target, { tabIndex: 0, role: "button" });
  target.dataset.keys = keys;
  if (node) target.dataset.node = node;
}

function drawForm({ form, tile }) {
  const card = element("article", { className: "card" });
  card.append(
    element("p", {}, element("b", { textContent: form.kind }), `: ${form.means}.`),
    element("p", { textContent: `${form.reason}.` }),
  );
  if (form.node) card.append(element("p", {}, "Decided by ", element("code", { textContent: form.equation })));
  if (form.separable) card.append(element("p", { textContent: `The axis ${form.separable} of the state can be split over programs.` }));
  if (form.keys.length || form.node) tie(card, form.keys.join(" "), form.node);
  const parts = [card];
  if (form.suggestion) {
    const advice = element("p", { className: "remark" }, `${form.suggestion}. `);
    if (form.change) {
      const button = element("button", { type: "button", id: "apply", textContent: `set ${form.change[0]}` });
      button.addEventListener("click", () => pick(form.change[0], { value: form.change[1] }));
      advice.append(button);
    }
    parts.push(advice);
  }
  parts.push(element("h3", { textContent: "Stability, at the gates as the layer starts them" }), element("ul", { id: "stability", className: "stability" }));
  if (tile.length) parts.push(element("h3", { textContent: "Over a tile of tokens" }), equations(tile));
  $("form").replaceChildren(...parts);
}

function drawAdvice(advice) {
  $("stability").replaceChildren(...advice.stability.map((line) => element("li", { textContent: `${line}.` })));
}

function drawCost({ cost, plots }) {
  const rows = cost.map((each) => element("tr", {}, element("th", { scope: "row", textContent: each.what }), element("td", { textContent: each.value }), element("td", { textContent: each.unit })));
  const table = element("table", { className: "numbers" }, element("tbody", {}, ...rows));
  const figures = plots.map((each) => element("figure", { innerHTML: each.svg }, element("figcaption", { textContent: each.title })));
  $("cost").replaceChildren(
    element("div", { className: "scroll" }, table),
    element("h3", { textContent: "Over the length of a sequence" }),
    element("p", { className: "hint", textContent: "One sequence, all heads of one layer; both axes by factors of ten." }),
    element("div", { className: "plots" }, ...figures),
  );
}

function drawCode({ path, files, lines, ties }) {
  $("path").replaceChildren(...files.map((name) => element("option", { value: name, textContent: name, selected: name === path })));
  const tied = new Map(ties.map(([line, node, keys]) => [line, [node, keys]]));
  $("panes").replaceChildren(
    ...lines.map((text, i) => {
      const pane = element("div", { className: "pane", innerHTML: text, data: { n: i + 1 } });
      if (tied.has(i)) tie(pane, tied.get(i)[1], tied.get(i)[0]);
      return element("div", { className: "line one" }, pane);
    }),
  );
}

function mark() {
  markLinks(chosen);
  for (const each of tabs) {
    const count = all(".hit", $(each.getAttribute("aria-controls"))).length;
    each.querySelector(".count").textContent = count || "";
  }
}

function select(keys, nodes, from) {
  Object.assign(chosen, { keys, nodes });
  mark();
  const shown = from && from !== editor ? all("#lines .hit")[0] : null;
  if (shown && shown.getClientRects().length) shown.scrollIntoView({ block: "nearest" });
}

function openTab(name, focus) {
  const found = tabs.find((each) => each.id === `tab-${name}`) || tabs[0];
  for (const each of tabs) {
    each.setAttribute("aria-selected", each === found);
    each.tabIndex = each === found ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = each !== found;
  }
  if (focus) found.focus();
  sessionStorage.setItem("miras-tab", name);
  document.dispatchEvent(new CustomEvent("tab", { detail: name }));
}
