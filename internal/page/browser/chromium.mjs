// Starts the system's Chromium, with nothing of its own to tell anybody, and a profile that is gone afterwards.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export async function withChromium(use) {
  const profiles = await mkdtemp(join(tmpdir(), 'feedmux-page-'));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    env: { ...process.env, HOME: profiles, XDG_CONFIG_HOME: profiles, XDG_CACHE_HOME: profiles },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--no-proxy-server'],
  });
  try {
    return await use(browser);
  } finally {
    await browser.close();
    await rm(profiles, { recursive: true, force: true });
  }
}
