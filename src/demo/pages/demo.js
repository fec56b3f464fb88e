// Keeps the page's lists as they are at paylink; without JavaScript, reload by hand.
// Only rows that changed are touched, so nothing moves under a pointer or loses the focus.
"use strict";
const state = document.getElementById("live");
const say = document.getElementById("say");
let busy = false;
let wanted = false;

// A row's successor takes its place; the control that had the focus has it again.
const succeed = (old, fresh) => {
  const controls = "a,button";
  const at = [...old.querySelectorAll(controls)].indexOf(document.activeElement);
  old.replaceWith(fresh);
  if (at < 0) return;
  const next = fresh.querySelectorAll(controls)[at];
  if (next) next.focus();
  else {
    fresh.tabIndex = -1;
    fresh.focus();
  }
};

const patch = (old, fresh, news) => {
  const known = new Map([...old.children].map((row) => [row.dataset.key, row]));
  let place = old.firstElementChild;
  for (const row of [...fresh.children]) {
    const same = known.get(row.dataset.key);
    known.delete(row.dataset.key);
    if (!same || same.dataset.say !== row.dataset.say) news.push(row.dataset.say);
    if (!same) old.insertBefore(row, place);
    else {
      place = same.nextElementSibling;
      if (same.innerHTML !== row.innerHTML) succeed(same, row);
    }
  }
  for (const gone of known.values()) gone.remove();
};

const show = async () => {
  if (busy) {
    wanted = true;
    return;
  }
  busy = true;
  const text = await fetch(location.href).then((answer) => (answer.ok ? answer.text() : null)).catch(() => null);
  if (text !== null) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const news = [];
    for (const part of document.querySelectorAll("[data-part]")) {
      const fresh = page.getElementById(part.id);
      const rows = part.querySelector("[data-rows]");
      const freshRows = fresh && fresh.querySelector("[data-rows]");
      if (rows && freshRows) patch(rows, freshRows, news);
      else if (fresh && (rows || freshRows)) {
        // from nothing to something, or back where the demo began anew
        for (const row of freshRows ? freshRows.children : []) news.push(row.dataset.say);
        part.replaceChildren(...fresh.childNodes);
      }
    }
    if (news.length) say.textContent = news.slice(0, 3).join(". ");
  }
  busy = false;
  if (wanted) {
    wanted = false;
    show();
  }
};

const tell = (tone, words) => {
  state.dataset.tone = tone;
  state.lastElementChild.textContent = words;
};

const listen = () => {
  const source = new EventSource("/live");
  source.onmessage = show;
  source.onopen = () => {
    tell("live", "Live");
    show(); // what happened before there was a stream
  };
  source.onerror = () => {
    if (state.dataset.tone === "live") say.textContent = "Offline, trying again";
    tell("warn", "Offline, trying again");
    // a refusal ends the browser's own trying
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
};
listen();
addEventListener("pageshow", (event) => { if (event.persisted) show(); });
