// node page.test.mjs URL FAULTS: looks at the status page of a daemon that has one feed, twitch, of 620 topics on ten
// connections that take 500; the last two have hostile names. FAULTS is where the upstream is broken and mended, and the daemon ended.
// TestTheStatusPageInABrowser starts both.
import assert from 'node:assert/strict';
import { withChromium } from './chromium.mjs';

const [url, faults] = process.argv.slice(2);
if (!faults) {
  console.error('usage: node page.test.mjs URL FAULTS');
  process.exit(2);
}
const told = (what) => fetch(`${faults}/${what}`, { method: 'POST' }).then((r) => assert.equal(r.status, 200, what));
const status = () => fetch(`${url}api/status?ledger=1`).then((r) => r.json());
const live = (page) => page.waitForFunction(() => document.getElementById('answer').textContent === 'live');
const digits = (text) => Number(text.replace(/\D/g, ''));

let browser;
const wrong = []; // what a browser complained of, and what it asked for elsewhere

// open makes a page that is watched; offline is where failed requests are expected.
async function open(address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.expected = false;
  page.on('console', (m) => !page.expected && ['error', 'warning'].includes(m.type()) && wrong.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => wrong.push(`script: ${e}`));
  page.on('request', (r) => new URL(r.url()).origin !== new URL(url).origin && wrong.push(`asked elsewhere: ${r.url()}`));
  page.on('requestfailed', (r) => !page.expected && r.failure().errorText !== 'net::ERR_ABORTED' && wrong.push(`failed: ${r.url()} ${r.failure().errorText}`));
  page.on('response', (r) => r.status() >= 400 && !page.expected && wrong.push(`HTTP ${r.status()}: ${r.url()}`));
  await page.goto(new URL(address, url).href);
  return page;
}

const rows = (page) => page.locator('.ledger tbody tr').count();

const checks = {
  async 'figures are those of /api/status'() {
    const page = await open('');
    await live(page);
    const s = await status();
    const feed = s.feeds[0];
    assert.equal(feed.topics.confirmed, 500);
    const counts = await page.locator('.counts li').evaluateAll((all) => Object.fromEntries(
      all.map((li) => [li.classList[0], Number(li.querySelector('b').textContent.replace(/\D/g, ''))])));
    assert.deepEqual(counts, {
      confirmed: feed.topics.confirmed, asked: feed.topics.asked, assigned: feed.topics.assigned,
      refused: feed.topics.refused, unplaced: feed.topics.unplaced, dark: feed.dark,
    });
    const slots = await page.locator('.slots li').evaluateAll((all) => all.map((li) => ({
      slot: Number(li.dataset.slot), state: li.dataset.state, life: Number(li.dataset.life), topics: Number(li.querySelector('b').textContent),
    })));
    assert.deepEqual(slots, feed.slots.map(({ slot, state, life, topics }) => ({ slot, state, life, topics })));
    assert.match(await page.locator('.verdict').innerText(), /ready 500 of 500 placeable topics confirmed/);

    // Events go on: the page lies between two answers.
    const shown = async () => digits(await page.locator('.feed .figures div', { hasText: 'Events' }).locator('dd').evaluate((e) => e.firstChild.textContent));
    const before = (await status()).feeds[0].counters.events;
    await page.waitForTimeout(1500);
    const now = await shown(), after = (await status()).feeds[0].counters.events;
    assert.ok(before <= now && now <= after, `${before} <= ${now} <= ${after}`);

    const first = await page.locator('.ledger tbody tr').evaluateAll((all) => all.map((tr) => tr.querySelector('th').textContent));
    assert.deepEqual(first, feed.ledger.slice(0, 50).map((t) => t.topic));
    await page.context().close();
  },

  async 'the ledger works by form and links, without script'() {
    const page = await open('', { javaScriptEnabled: false });
    assert.equal(await rows(page), 50);
    assert.match(await page.locator('#answer').innerText(), /^as of \d{4}/);
    assert.match(await page.locator('#trouble').innerText(), /120 topics past the capacity of 500\s+→ want fewer.*\(docs\/troubleshooting\.md: Too many topics\)/s);
    await page.getByLabel('Topic or subject').fill('id.61');
    await page.locator('select[name=state]').selectOption('unplaced');
    await page.getByRole('button', { name: 'Show' }).click();
    assert.equal(await rows(page), 9); // 610 to 618
    assert.match(await page.locator('.ledger td').first().innerText(), /unplaced.*no slot has room/);
    await page.getByRole('link', { name: 'Show all' }).click();
    await page.getByRole('link', { name: 'Next', exact: true }).click();
    assert.match(await page.locator('nav .here').innerText(), /page 2 of 13/);
    await page.getByRole('link', { name: 'Last' }).click();
    assert.equal(await rows(page), 20);
    await page.getByRole('link', { name: 'unplaced 120' }).click();
    assert.match(await page.locator('.found').innerText(), /1 to 50 of 120/);
    await page.locator('.ledger a').first().click();
    assert.match(await page.locator('#topic').innerText(), /Not listened to.*no slot has room/s);
    await page.getByRole('link', { name: 'Back to the ledger' }).click();
    assert.equal(await rows(page), 50);
    await page.context().close();
  },

  async 'what somebody does stays while figures change'() {
    const page = await open('');
    await live(page);
    await page.getByText('Slots in detail').click();
    await page.getByLabel('Topic or subject').fill('half a wo');
    await page.evaluate(() => window.scrollTo(0, 300));
    const before = await page.locator('.feed .figures').innerText();
    await page.waitForFunction((text) => document.querySelector('.feed .figures').innerText !== text, before, { timeout: 4000 });
    assert.equal(await page.getByLabel('Topic or subject').inputValue(), 'half a wo');
    assert.ok(await page.evaluate(() => document.activeElement.name === 'q'), 'the search has lost its focus');
    assert.ok(await page.locator('details').evaluate((d) => d.open), 'the details have closed');
    assert.equal(await page.evaluate(() => window.scrollY), 300);
    await page.context().close();
  },

  async 'the keyboard reaches everything, and shows where it is'() {
    const page = await open('');
    const reached = [];
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(() => {
        const e = document.activeElement, style = getComputedStyle(e);
        return { name: e.className || e.name || e.textContent.trim(), kind: e.nodeName, seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
      });
      assert.ok(at.seen, `${at.kind} ${at.name} does not show that it has the focus`);
      reached.push(`${at.kind} ${at.name}`);
    }
    const order = ['A skip', 'SUMMARY Slots in detail', 'INPUT q', 'SELECT state', 'BUTTON Show', 'A video-playback-by-id.1'].map((x) => reached.indexOf(x));
    assert.ok(order.every((at, i) => at >= 0 && (i === 0 || at > order[i - 1])), `in this order: ${reached.join(', ')}`);
    assert.equal(order[0], 0);
    for (const table of await page.locator('table').all()) {
      assert.ok(await table.locator('thead th[scope=col]').count() > 1 && await table.locator('tbody th[scope=row]').count() > 0);
    }
    await page.context().close();
  },

  async 'it fits from 360 pixels on, in the light and in the dark'() {
    const backs = [];
    for (const colorScheme of ['light', 'dark']) {
      for (const address of ['', '?feed=twitch&topic=video-playback-by-id.1', '?feed=twitch&page=13', `?feed=twitch&topic=${'W'.repeat(256)}`]) {
        const page = await open(address, { colorScheme });
        for (const width of [360, 480, 721, 1081, 2200]) {
          await page.setViewportSize({ width, height: 800 });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(wide <= width, `${address}: ${wide} pixels wide at ${width}`);
          const off = await page.evaluate(() => {
            const header = document.querySelector('header'), end = parseFloat(getComputedStyle(header).paddingRight);
            return header.getBoundingClientRect().right - end - document.getElementById('answer').getBoundingClientRect().right;
          });
          assert.ok(Math.abs(off) < 1, `${address}: at ${width}, "live" is ${off} pixels off the right`);
          if (address === '') { // "unplaced", and why, can be read
            const cell = await page.locator('.ledger tbody td').first().evaluate((e) => e.getBoundingClientRect().width);
            assert.ok(cell > 100, `the state of a topic is ${cell} pixels wide at ${width}`);
          }
        }
        if (address === '') backs.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        await page.context().close();
      }
    }
    assert.notEqual(backs[0], backs[1]);
  },

  async 'words can be read: their contrast is 4.5 or more'() {
    for (const colorScheme of ['light', 'dark']) {
      const page = await open('', { colorScheme });
      const low = await page.evaluate(() => {
        const parts = (c) => c.match(/[\d.]+/g).map(Number);
        const light = (c) => parts(c).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
          .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const back = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (parts(c)[3] !== 0) return c; } return 'rgb(255,255,255)'; };
        return [...document.querySelectorAll('body *')].filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.nodeValue.trim()) && e.checkVisibility() && e.nodeName !== 'title')
          .map((e) => { const [a, b] = [light(getComputedStyle(e).color), light(back(e))]; return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 100)]; })
          .filter(([ratio]) => ratio < 4.5);
      });
      assert.deepEqual(low, []);
      await page.context().close();
    }
  },

  async 'a cut connection shows within 2 s, and that it is back'() {
    const page = await open('');
    await live(page);
    assert.equal(await page.locator('.slots li[data-state=live]').count(), 10);
    const cut = Date.now();
    await told('cut');
    await page.waitForFunction(() => document.querySelectorAll('.slots li[data-state=live]').length === 9, null, { timeout: 2000 });
    const took = Date.now() - cut;
    const slot = page.locator('.slots li:not([data-state=live])');
    assert.match(await slot.innerText(), /waiting|dialing|opening/);
    assert.match(await page.locator('#trouble').innerText(), /recovering: 450 of 620 topics confirmed, 50 dark/);
    await page.waitForFunction(() => /disconnect reset/.test(document.querySelector('.times')?.textContent), null, { timeout: 7000 });
    await told('mend');
    await page.waitForFunction(() => document.querySelectorAll('.slots li[data-state=live]').length === 10, null, { timeout: 20000 });
    await page.context().close();
    return `${took} ms`;
  },

  // The last: nothing answers afterwards.
  async 'it says plainly when the daemon is gone'() {
    const page = await open('');
    await live(page);
    page.expected = true;
    await told('end');
    await page.waitForFunction(() => /^no answer since \d\d:\d\d:\d\d$/.test(document.getElementById('answer').textContent), null, { timeout: 6000 });
    assert.ok(await page.evaluate(() => document.body.classList.contains('stale')));
    assert.equal(await page.title(), '? feedmux: no answer');
    await page.context().close();
  },
};

await withChromium(async (chromium) => {
  browser = chromium;
  for (const [name, check] of Object.entries(checks)) {
    const began = Date.now();
    try {
      const more = await check();
      assert.deepEqual(wrong, []);
      console.log(`ok   ${name} (${Date.now() - began} ms${more ? `; ${more}` : ''})`);
    } catch (err) {
      console.log(`FAIL ${name}\n${err.stack}`);
      process.exitCode = 1;
      wrong.length = 0;
    }
  }
});
