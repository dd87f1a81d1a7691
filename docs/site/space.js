"use strict";

/* Filters over the table of specs: one for every axis, and a text. */
const holder = document.getElementById("space");
if (holder) {
  const table = holder.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const filters = Object.assign(document.createElement("div"), { className: "filters" });
  const found = Object.assign(document.createElement("p"), { className: "found" });
  found.setAttribute("role", "status");
  const controls = heads.map((head, column) => {
    if (head === "state, bytes") return null;
    const label = Object.assign(document.createElement("label"), { textContent: head });
    const values = [...new Set(rows.map((row) => row.cells[column].textContent.trim()))].sort();
    const control = document.createElement(column ? "select" : "input");
    if (column) control.append(new Option("any", ""), ...values.map((value) => new Option(value, value)));
    control.addEventListener("input", draw);
    label.append(control);
    filters.append(label);
    return control;
  });
  function draw() {
    let count = 0;
    for (const row of rows) {
      const fits = controls.every((control, column) => {
        if (!control || !control.value) return true;
        const text = row.cells[column].textContent.trim();
        return column ? text === control.value : row.textContent.toLowerCase().includes(control.value.toLowerCase());
      });
      row.hidden = !fits;
      count += fits;
    }
    found.textContent = `${count} of ${rows.length} specs`;
  }
  holder.prepend(filters, found);
  draw();
}
