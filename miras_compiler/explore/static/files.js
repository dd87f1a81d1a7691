"use strict";

/* Opening, saving and comparing. Nothing that is there is written over without a second word. */
function drawFiles({ folder, files }, zoo) {
  $("save-folder").textContent = folder;
  const group = (title, options) => element("optgroup", { label: title }, ...options);
  const shipped = (kind) => Object.entries(zoo).map(([name, each]) => element("option", { value: `${kind}:${name}`, textContent: `${name} · ${each.form}` }));
  const own = () => (files.length ? files.map((name) => element("option", { value: `file:${name}`, textContent: name })) : [element("option", { disabled: true, textContent: "none yet" })]);
  for (const [id, said] of [["open", "open …"], ["compare", "compare with …"]])
    $(id).replaceChildren(element("option", { value: "", textContent: said }), group(folder, own()), group("specs that come with the compiler", shipped("zoo")));
}

$("open").addEventListener("change", async () => {
  const [kind, ...name] = $("open").value.split(":");
  $("open").value = "";
  if (!kind) return;
  try {
    const kept = await ask("open", { name: name.join(":"), shipped: kind === "zoo" });
    file = kept.name;
    settle(kept.text);
    say(`opened ${kept.name}`);
  } catch (error) {
    say(error.message, true);
  }
});

$("compare").addEventListener("change", async () => {
  const [kind, ...name] = $("compare").value.split(":");
  const other = name.join(":");
  $("compare").value = "";
  if (!kind) return;
  try {
    const { address } = await ask("compare", { text: editor.value, file, other, shipped: kind === "zoo" });
    const link = element("a", { href: address, target: "_blank", textContent: `${file} and ${other}` });
    say("comparing: ", false, link);
    window.open(address, "_blank");
  } catch (error) {
    say(error.message, true);
  }
});

let over = null;

function offer(said, bad, action = "save", replaced = null) {
  $("save-said").textContent = said;
  $("save-said").className = bad ? "bad" : "";
  $("save-do").textContent = action;
  over = replaced;
}

$("save").addEventListener("click", () => {
  $("save-name").value = file;
  offer("", false);
  $("save-dialog").showModal();
  $("save-name").select();
});
$("save-cancel").addEventListener("click", () => $("save-dialog").close());
$("save-name").addEventListener("input", () => offer("", false));

$("save-dialog").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = $("save-name").value.trim();
  const name = given.includes(".") ? given : `${given}.yaml`;
  try {
    const kept = await ask("save", { file: name, text: editor.value, over });
    if (kept.there && kept.same) offer(`${name} holds this very text already`, false);
    else if (kept.there) offer(`${name} exists, with another text. Replace it?`, true, "replace", kept.there.mark);
    else {
      file = kept.name;
      drawFiles(kept, zoo);
      $("save-dialog").close();
      settle(editor.value);
      say(`saved ${kept.name}`);
    }
  } catch (error) {
    offer(error.message, true);
  }
});
