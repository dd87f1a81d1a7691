const $ = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const words = (text) => (text ? text.split(" ") : []);

/* What is selected: keys of the spec, or values of the graph. An element is marked if it is of a selected value, or has a selected key or
   one below it; a line of a spec is marked by its keys alone. */
const below = (key, wanted) => key === wanted || key.startsWith(wanted + ".");
const hasKey = (keys, chosen) => keys.some((key) => chosen.keys.some((wanted) => below(key, wanted)));
const isLinked = (nodes, keys, chosen) => (chosen.nodes.length ? nodes.some((node) => chosen.nodes.includes(node)) : hasKey(keys, chosen));

function markLinks(chosen) {
  for (const each of all("[data-keys]")) {
    const keys = words(each.dataset.keys);
    each.classList.toggle("hit", "line" in each.dataset ? hasKey(keys, chosen) : isLinked(words(each.dataset.node), keys, chosen));
    if (each.getAttribute("role") === "button") each.setAttribute("aria-pressed", each.classList.contains("hit"));
  }
}
