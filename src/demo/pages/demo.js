// Loads the page's own content anew when something changed; without JavaScript, reload by hand.
"use strict";
const main = document.getElementById("main");
if (main && main.dataset.live) {
  let wanted = false;
  let busy = false;
  const show = async () => {
    if (busy) {
      wanted = true;
      return;
    }
    busy = true;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer && answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
      // what has the focus keeps it: nothing moves under somebody's hands
      if (fresh && !main.contains(document.activeElement)) main.replaceChildren(...fresh.childNodes);
    }
    busy = false;
    if (wanted) {
      wanted = false;
      show();
    }
  };
  const live = document.getElementById("live");
  const source = new EventSource("/live");
  source.onmessage = show;
  source.onopen = () => { live.lastElementChild.textContent = "Live"; };
  source.onerror = () => { live.lastElementChild.textContent = "Offline, trying again"; };
}
