"use strict";

/* The menus: a part for every family of the design space, whose values are those of the text. `pick` sets a key, and the text follows. */
let catalogue = null;
let refused = {};

const label = (key) => key.replaceAll("_", " ");

function drawMenus(choices, gates) {
  if (!catalogue) return;
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : undefined;
  const parts = catalogue.families.map((family) => familyMenu(family, (choices && choices[family.key]) || {}));
  parts.push(gatesMenu((choices && choices.gates) || {}, gates));
  parts.push(...catalogue.parts.map((part) => group(part.key, part.about, null, fieldList(part.key, part.fields, (choices && choices[part.key]) || {}))));
  const opened = new Set(all("#menus details.more[open]").map((each) => each.dataset.of));
  $("menus").replaceChildren(...parts);
  for (const each of all("#menus details.more")) each.open = opened.has(each.dataset.of);
  for (const each of all("#menus :is(select, input)")) each.disabled = !choices;
  if (focused) all("#menus [data-key]").find((each) => each.dataset.key === focused)?.focus();
}

function group(key, about, control, ...rest) {
  return element("fieldset", { className: "part" }, element("legend", { textContent: label(key), title: about }), ...[control, ...rest].filter(Boolean));
}

function familyMenu(family, written) {
  const kind = family.kinds.find((each) => each.kind === written.kind) || (written.kind ? null : family.kinds.find((each) => DEFAULTS[family.key] === each.kind));
  const select = element("select", { ariaLabel: label(family.key), data: { key: `${family.key}.kind` } });
  if (!kind) select.append(element("option", { textContent: written.kind ? `${written.kind}: unknown` : "choose", value: "", selected: true }));
  for (const each of family.kinds) {
    const why = (refused[family.key] || {})[each.kind];
    const said = why && each !== kind ? `${label(each.kind)} — ${why.split(";")[0]}` : label(each.kind);
    select.append(element("option", { value: each.kind, textContent: said, className: why ? "refused" : "", selected: each === kind }));
  }
  select.addEventListener("change", () => pick(`${family.key}.kind`, { value: select.value }));
  if (!kind) return group(family.key, family.about, select);
  const about = element("details", { className: "more", data: { of: family.key } }, element("summary", { textContent: kind.formula, className: "formula" }));
  about.append(element("p", { textContent: kind.words }), ...(kind.source ? [element("p", { className: "hint", textContent: kind.source })] : []));
  return group(family.key, family.about, select, about, fieldList(family.key, kind.fields, written));
}

function gatesMenu(written, used) {
  const names = Object.keys(written).length ? Object.keys(written) : used || [];
  const { letters, other, fields } = catalogue.gates;
  const gates = names.map((name) => {
    const letter = letters[name] || other;
    const gate = written[name] && typeof written[name] === "object" ? written[name] : {};
    const own = fields.map((field) => (field.name === "init" ? { ...field, default: letter.init, said: String(letter.init) } : field));
    const rows = ["per", "source", "init"].map((wanted) => own.find((field) => field.name === wanted));
    const more = element("details", { className: "more", data: { of: `gates.${name}` } }, element("summary", { textContent: "more" }));
    more.append(fieldList(`gates.${name}`, own.filter((field) => !rows.includes(field)), gate));
    const title = element("p", { className: "gate" }, element("b", { textContent: name }), ` ${letter.meaning}, in ${letter.range}`);
    return element("div", {}, title, fieldList(`gates.${name}`, rows, gate), more);
  });
  return group("gates", catalogue.gates.about, null, ...gates);
}

function fieldList(home, fields, written) {
  if (!fields.length) return null;
  return element("div", { className: "fields" }, ...fields.map((field) => fieldOf(`${home}.${field.name}`, field, written[field.name])));
}

/* A field shows what is written, or, faintly, its default; an empty one is taken out of the text. */
function fieldOf(key, field, value) {
  const set = value !== undefined;
  const shown = set ? value : field.default;
  const properties = { data: { key }, className: set ? "" : "unset" };
  let control;
  if (field.widget === "choice") {
    control = element("select", properties);
    const choices = field.none ? [null, ...field.choices] : field.choices;
    for (const each of choices) control.append(element("option", { value: each ?? "", textContent: each ?? "by the letter", selected: (shown ?? null) === each }));
    control.addEventListener("change", () => pick(key, control.value === "" ? { remove: true } : { value: control.value }));
  } else if (field.widget === "switch") {
    control = element("input", { ...properties, type: "checkbox", checked: shown === true });
    control.addEventListener("change", () => pick(key, { value: control.checked }));
  } else {
    control = element("input", { ...properties, type: "text", value: set ? textOf(value) : "", placeholder: field.said, autocomplete: "off", spellcheck: false });
    if (field.widget === "number") control.inputMode = "decimal";
    control.addEventListener("change", () => pick(key, control.value.trim() === "" ? { remove: true } : field.widget === "text" ? { value: control.value } : { yaml: control.value }));
  }
  const about = `${field.about} ${field.widget === "choice" || field.widget === "switch" ? "" : `(${field.values})`}`;
  return element("label", { className: `field ${field.widget}`, title: about }, element("span", { textContent: label(field.name) }), control, element("small", { textContent: about }));
}

const textOf = (value) => (value === null ? "null" : Array.isArray(value) ? `[${value.map(textOf).join(", ")}]` : typeof value === "object" ? JSON.stringify(value) : String(value));
const DEFAULTS = { retention: "none", optimizer: "gradient_descent", feature_map: "identity" };
