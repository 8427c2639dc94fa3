// Asks for this very page once a second while somebody sees it, and puts in what changed. The server renders all of it;
// nothing is known here of what it shows. Elements stay the same ones, so focus, selection, scrolling, open details and
// what is being typed stay too.
'use strict';
(() => {
  const every = 1000, patience = 4000;
  const answer = document.getElementById('answer');
  const version = document.documentElement.dataset.version;
  let last = new Date(), timer = 0, asking = false;

  const clock = (t) => t.toTimeString().slice(0, 8);

  // say writes to the live region only what is new: a screen reader reads each change of it.
  function say(text, bad) {
    if (answer.textContent !== text) answer.textContent = text;
    answer.classList.toggle('bad', bad);
    document.body.classList.toggle('stale', bad);
  }

  // put makes an element look like another, and changes no more than differs.
  function put(now, next) {
    if (now.isEqualNode(next) || now.nodeType === 1 && now.hasAttribute('data-keep')) return;
    if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName || now.id !== next.id) {
      now.replaceWith(next);
      return;
    }
    if (now.nodeType !== 1) {
      now.nodeValue = next.nodeValue;
      return;
    }
    for (const a of [...now.attributes]) {
      if (!next.hasAttribute(a.name) && a.name !== 'open') now.removeAttribute(a.name);
    }
    for (const a of next.attributes) {
      if (now.getAttribute(a.name) !== a.value) now.setAttribute(a.name, a.value);
    }
    if (now.nodeName === 'SELECT' && now === document.activeElement) return; // somebody is choosing
    const old = [...now.childNodes], fresh = [...next.childNodes];
    fresh.forEach((n, i) => (i < old.length ? put(old[i], n) : now.append(n)));
    old.slice(fresh.length).forEach((n) => n.remove());
  }

  async function ask() {
    if (asking) return;
    asking = true;
    let problem = 'no answer';
    try {
      const r = await fetch(location.href, { headers: { Accept: 'text/html' }, signal: AbortSignal.timeout(patience) });
      problem = 'HTTP ' + r.status;
      const next = new DOMParser().parseFromString(await r.text(), 'text/html');
      if (!next.documentElement.dataset.version) throw new Error('not the page');
      if (next.documentElement.dataset.version !== version) return location.reload();
      next.body.className = document.body.className;
      put(document.body, next.body);
      if (document.title !== next.title) document.title = next.title;
      last = new Date();
      say('live', false);
    } catch {
      say(problem + ' since ' + clock(last), true);
      document.title = '? feedmux: ' + problem;
    } finally {
      asking = false;
      later();
    }
  }

  function later() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, every);
  }

  document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : ask()));
  say('live', false);
  later();
})();
