"use strict";

/* The page: the text is all that there is to know; menus and results are drawn from what the compiler says of it. */
let file = "";
let zoo = {};
let readable = []; // the generated files that take no time
let last = null; // of the last text: what the compiler says of it
let running = false;
let waiting = null;
const PAUSE = 120; // ms without typing before a text is looked at

let fading = 0;
function say(text, bad = false, ...more) {
  clearTimeout(fading);
  if (text && !bad && !more.length) fading = setTimeout(() => say(""), 6000);
  $("notice").replaceChildren(text, ...more);
  $("notice").classList.toggle("bad", bad);
  $("notice").hidden = !text;
}

/* The texts so far; every one that was looked at can be had again. */
const past = { texts: [], at: -1 };
function remember(text) {
  if (past.texts[past.at] === text) return;
  past.texts.splice(past.at + 1, Infinity, text);
  if (past.texts.length > 200) past.texts.shift();
  past.at = past.texts.length - 1;
}
function back(step) {
  if (!(past.at + step in past.texts)) return;
  if (step < 0) remember(editor.value);
  past.at += step;
  editor.value = past.texts[past.at];
  lookAt();
}

/* One question at a time: while the compiler answers, only the newest one waits. */
async function run(task) {
  if (running) {
    waiting = task;
    return;
  }
  running = true;
  const slow = setTimeout(() => document.body.classList.add("busy"), 200);
  try {
    await task();
  } catch (error) {
    say(error.message, true);
    $("work").classList.toggle("stale", error.status === 0 || error.status === 403);
  }
  clearTimeout(slow);
  running = false;
  const next = waiting;
  waiting = null;
  if (next) await run(next);
  else document.body.classList.remove("busy");
}

function lookAt() {
  run(async () => {
    const text = editor.value;
    draw(text, await ask("look", { text, file }));
  });
}

function pick(key, how) {
  run(async () => {
    const text = editor.value;
    try {
      const answer = await ask("change", { text, file, key, ...how });
      if (editor.value !== text) return;
      editor.value = answer.text;
      draw(answer.text, answer.look);
      say(answer.notes.join(", "));
    } catch (error) {
      drawMenus(last && last.choices, last && last.gates);
      throw error;
    }
  });
}

/* A text from elsewhere. */
function settle(text) {
  editor.value = text;
  drawLines();
  say("");
  lookAt();
}

function draw(text, look) {
  remember(text);
  sessionStorage.setItem("miras-text", text);
  sessionStorage.setItem("miras-file", file);
  $("file-name").textContent = file;
  [$("undo").disabled, $("redo").disabled] = [past.at <= 0, past.at >= past.texts.length - 1];
  if (text !== editor.value) return;
  last = look;
  const faulty = new Set(look.valid ? [] : look.problems.map((each) => each.line));
  drawLines(look.valid ? look.lines : [], faulty);
  drawMenus(look.choices, look.gates);
  drawVerdict(look);
  $("shown").classList.toggle("old", !look.valid);
  $("glance").classList.toggle("old", !look.valid);
  if (look.valid) {
    drawResults(look);
    whatTabShows();
    mark();
    advise(text);
  }
}

/* Warnings, stability and refused kinds take longer, and come when they come. */
let advised = 0;
async function advise(text) {
  const mine = ++advised;
  const advice = await ask("advice", { text, file }).catch(() => null);
  if (mine !== advised || !advice || text !== editor.value) return;
  refused = advice.refused;
  drawVerdict(last, advice);
  drawAdvice(advice);
  if (!all("#menus :focus").length) drawMenus(last.choices, last.gates);
}

/* The expanded graph, costs and code are asked for when they are looked at. */
let asked = 0;
function whatTabShows() {
  const name = sessionStorage.getItem("miras-tab");
  if (!last || !last.valid) return;
  if (name === "graph" && $("expand").checked) fetchInto("graph", { expand: true }, (answer) => drawPicture(answer.graph));
  if (name === "cost") fetchInto("cost", {}, drawCost);
  if (name === "code") {
    const path = $("path").value || readable[0];
    const quick = readable.includes(path);
    $("code-said").textContent = quick ? "…" : "writing the package; kernels take some seconds …";
    fetchInto(quick ? "code" : "package", { path }, (answer) => {
      drawCode(answer);
      $("code-said").textContent = `${answer.lines.length} lines`;
    });
  }
}

async function fetchInto(question, more, show) {
  const mine = ++asked;
  const text = editor.value;
  try {
    const answer = await ask(question, { text, file, ...more });
    if (mine !== asked) return;
    show(answer);
    mark();
  } catch (error) {
    if (mine === asked) $("code-said").textContent = error.message;
  }
}

let pause = 0;
editor.addEventListener("input", () => {
  drawLines();
  clearTimeout(pause);
  pause = setTimeout(lookAt, PAUSE);
});
for (const event of ["click", "keyup"])
  editor.addEventListener(event, ({ key }) => {
    if (event === "keyup" && !/^(Arrow|Page|Home|End)/.test(key)) return;
    const line = $("lines").children[lineOf(editor.selectionStart) - 1];
    select(line ? words(line.dataset.keys) : [], [], editor);
  });
$("undo").addEventListener("click", () => back(-1));
$("redo").addEventListener("click", () => back(1));

document.addEventListener("click", ({ target }) => {
  const found = target.closest("#results [data-keys]");
  if (!found || String(getSelection())) return;
  if (target.closest("a, button")) return;
  toggle(found);
});
function toggle(found) {
  const [keys, nodes] = [words(found.dataset.keys), words(found.dataset.node)];
  const again = chosen.keys.join() === keys.join() && chosen.nodes.join() === nodes.join();
  select(again ? [] : keys, again ? [] : nodes, found);
}
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  const command = event.ctrlKey || event.metaKey;
  if (command && key.toLowerCase() === "z" && (target === editor || target === document.body)) {
    event.preventDefault();
    back(event.shiftKey ? 1 : -1);
  } else if (command && key === "s") {
    event.preventDefault();
    $("save").click();
  } else if (key === "Escape" && !$("save-dialog").open) select([], []);
  else if ((key === "Enter" || key === " ") && target.matches("#results [data-keys]")) {
    event.preventDefault();
    toggle(target);
  }
  const at = tabs.indexOf(target);
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -at, End: tabs.length - 1 - at }[key];
  if (at >= 0 && step !== undefined) {
    event.preventDefault();
    openTab(tabs[(at + step + tabs.length) % tabs.length].id.slice(4), true);
  }
});
for (const each of tabs) each.addEventListener("click", () => openTab(each.id.slice(4)));
document.addEventListener("tab", whatTabShows);
$("path").addEventListener("change", whatTabShows);
$("expand").addEventListener("change", () => ($("expand").checked ? whatTabShows() : drawPicture(last.graph)));

(async () => {
  openTab(sessionStorage.getItem("miras-tab") || "rule");
  try {
    const begun = await ask("start");
    catalogue = begun.menus;
    ({ zoo, readable } = begun);
    drawFiles(begun, zoo);
    file = sessionStorage.getItem("miras-file") || begun.file;
    settle(sessionStorage.getItem("miras-text") || begun.text);
  } catch (error) {
    say(error.message, true);
    $("work").classList.add("stale");
  }
})();
