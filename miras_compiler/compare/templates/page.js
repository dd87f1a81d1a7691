const index = JSON.parse($("index").textContent);
const tabs = all('[role="tab"]');
const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const chosen = { keys: [], nodes: [] };

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

function mark() {
  markLinks(chosen);
  for (const each of tabs) {
    const count = all(".hit", $(each.getAttribute("aria-controls"))).filter((hit) => !hit.closest(hiddenGraphs())).length;
    each.querySelector(".count").textContent = count || "";
  }
  for (const fold of all(".fold")) {
    const count = fold.ties.filter(([node, its]) => isLinked(words(node), words(its), chosen)).length;
    fold.textContent = `⋯ ${fold.size} equal lines` + (count ? `, ${count} of them marked` : "");
    fold.classList.toggle("marked", count > 0);
  }
  $("clear").hidden = !chosen.keys.length && !chosen.nodes.length;
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
$("whole").addEventListener("change", (event) => $("graph").classList.toggle("graphs-whole", event.target.checked));

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
