"use strict";

// Times in the reader's zone. The page has them in UTC.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function localize(root) {
  for (const element of root.querySelectorAll("time")) {
    const time = new Date(element.dateTime);
    const part = (number) => String(number).padStart(2, "0");
    const day = [time.getFullYear(), part(time.getMonth() + 1), part(time.getDate())].join("-");
    element.title = element.textContent;
    element.textContent = `${day} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(part).join(":")}`;
  }
}

localize(document);
const note = document.getElementById("zone");
note.textContent = note.dataset.zone.replace("%", zone);

// A form is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// New logins, until the reader pauses.
const PAUSE_MS = 2000;
const ROWS_KEPT = 50;
const rows = document.querySelector("tbody[data-rows]");

if (rows) {
  const status = document.getElementById("following");
  const button = document.getElementById("pause");
  let paused = false;

  const say = (text) => {
    if (status.textContent !== text) status.textContent = text;
  };

  const take = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelectorAll("tr");
    for (const row of [...fresh].reverse()) {
      if (document.getElementById(row.id)) continue;
      localize(row);
      row.className = "fresh";
      rows.prepend(document.adoptNode(row));
    }
    while (rows.children.length > ROWS_KEPT) rows.lastElementChild.remove();
    document.getElementById("logins").hidden = rows.children.length === 0;
    document.getElementById("no-logins").hidden = rows.children.length > 0;
  };

  const poll = async () => {
    if (!paused && !document.hidden) {
      try {
        const response = await fetch(rows.dataset.rows, { redirect: "manual", cache: "no-store" });
        if (response.type === "opaqueredirect") return location.reload();
        if (!response.ok) throw new Error(response.status);
        const html = await response.text();
        if (!paused) {
          take(html);
          say(status.dataset.on);
        }
      } catch {
        say(status.dataset.lost);
      }
    }
    setTimeout(poll, PAUSE_MS);
  };

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? button.dataset.resume : button.dataset.pause;
    say(paused ? status.dataset.paused : status.dataset.on);
  });
  say(status.dataset.on);
  poll();
}
