"use strict";

/* The token comes with the address, behind #, and is kept for this tab; no request but ours carries it. */
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("miras-token", given);
  history.replaceState(null, "", location.pathname);
}

/* The answer to a question. Throws an Error whose `status` is 0 where the server is away, 422 where the compiler refuses. */
async function ask(question, given = {}) {
  let response;
  try {
    response = await fetch(`/ask/${question}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Miras-Token": sessionStorage.getItem("miras-token") || "" },
      body: JSON.stringify(given),
    });
  } catch {
    throw Object.assign(new Error("miras explore has ended, or cannot be reached: start it again, and open the address that it prints"), { status: 0 });
  }
  const answer = await response.json().catch(() => ({ failed: `the server answered ${response.status}` }));
  if (!response.ok) throw Object.assign(new Error(answer.refused || answer.failed), { status: response.status });
  return answer;
}

function element(name, properties = {}, ...children) {
  const { data, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  Object.assign(made.dataset, data);
  made.append(...children.filter((child) => child !== null));
  return made;
}
