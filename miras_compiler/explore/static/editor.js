"use strict";

/* The editor: a textarea over the same lines, which are coloured, numbered and marked. */
const editor = $("text");
const YAML = /(?<comment>(?:^|\s)#.*$)|(?<string>"(?:[^"\\]|\\.)*"|'[^']*')|(?<key>[\w.]+(?=\s*:(?:\s|$)))|(?<number>(?<![\w.])[-+]?\.?\d[\d.]*(?:e[-+]?\d+)?(?![\w.]))/gi;
const CLASS = { comment: "c", string: "s", key: "k", number: "n" };

function coloured(text) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(YAML)) {
    parts.push(text.slice(at, match.index));
    const kind = Object.keys(CLASS).find((name) => match.groups[name] !== undefined);
    parts.push(element("i", { className: CLASS[kind], textContent: match[0] }));
    at = match.index + match[0].length;
  }
  return [...parts, text.slice(at) || (parts.length ? "" : "\u200b")];
}

/* `keys` are those of every line, `faulty` the numbers of lines where something is wrong. */
function drawLines(keys = [], faulty = new Set()) {
  $("lines").replaceChildren(
    ...editor.value.split("\n").map((text, i) => {
      const line = element("div", { className: "row" }, ...coloured(text));
      if (keys[i] && keys[i].length) Object.assign(line.dataset, { keys: keys[i].join(" "), line: "" });
      line.classList.toggle("faulty", faulty.has(i + 1));
      return line;
    }),
  );
}

function goTo(line, column) {
  const before = editor.value.split("\n").slice(0, line - 1).join("\n");
  const at = Math.min((line > 1 ? before.length + 1 : 0) + Math.max(0, column - 1), editor.value.length);
  show("source");
  editor.focus({ preventScroll: true });
  editor.setSelectionRange(at, at);
  const row = $("lines").children[line - 1];
  if (row) row.scrollIntoView({ block: "center" });
}

/* On a narrow screen one of the three parts is in sight. */
function show(view) {
  $("work").dataset.shown = view;
  for (const each of all(".views button")) each.setAttribute("aria-pressed", each.dataset.view === view);
}
for (const each of all(".views button")) each.addEventListener("click", () => show(each.dataset.view));
show("choices");

const lineOf = (at) => editor.value.slice(0, at).split("\n").length;

editor.addEventListener("keydown", (event) => {
  if (event.key === "Tab" && !event.shiftKey && editor.selectionStart !== editor.selectionEnd) return;
  if (event.key === "Enter") {
    const line = editor.value.slice(0, editor.selectionStart).split("\n").pop();
    event.preventDefault();
    document.execCommand("insertText", false, "\n" + line.match(/^ */)[0] + (/:\s*$/.test(line) ? "  " : ""));
  }
});
