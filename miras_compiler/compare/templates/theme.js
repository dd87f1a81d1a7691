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
