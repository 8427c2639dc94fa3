// node shots.mjs URL FOLDER: the screenshots of the documents. Let "feedmux demo" run for some minutes first, so that the
// last hour has something to show.
import { join } from 'node:path';
import { withChromium } from './chromium.mjs';

const [url, folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node shots.mjs URL FOLDER');
  process.exit(2);
}
const shots = [
  { name: 'status-light.png', scheme: 'light', width: 1280, height: 1200 },
  { name: 'status-dark.png', scheme: 'dark', width: 1280, height: 1200 },
  { name: 'status-narrow.png', scheme: 'light', width: 360, height: 1560 },
];
await withChromium(async (browser) => {
  for (const s of shots) {
    const context = await browser.newContext({ viewport: { width: s.width, height: s.height }, colorScheme: s.scheme });
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForFunction(() => document.getElementById('answer').textContent === 'live');
    // A cut connection says more than ten live ones.
    await page.waitForSelector('.slots li.warn', { timeout: 30_000 }).catch(() => console.warn(`${s.name}: no connection was cut meanwhile`));
    await page.screenshot({ path: join(folder, s.name) });
    await context.close();
  }
});
