/**
 * The page in a real browser, over a real gateway and a real neuron. `npm run screenshots` also writes the README's
 * pictures; without it nothing is written.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumPath, desktop, drop, launchChromium, openTab, paste, phone, type Tab } from './browser.ts';
import { root, shapesModel } from './neuron-process.ts';
import { adminKey, essayist, poet, startPageGateways, type PageGateways } from './page-gateway.ts';

const screenshots = process.env['SCREENSHOTS'];
const why = chromiumPath === undefined ? ' (skipped: no Chromium on this machine; apt-get install chromium)' : '';

const picture = (name: string): { name: string; type: string; base64: string } => ({
  name,
  type: 'image/png',
  base64: readFileSync(path.join(root, 'models', shapesModel, 'samples', name)).toString('base64'),
});

const shoot = async (page: Page, name: string): Promise<void> => {
  if (screenshots === undefined) return;
  // For the plots' fonts and the last beat of events.
  await page.waitForTimeout(600);
  const { length } = await page.screenshot({
    path: path.resolve(root, screenshots, `${name}.png`),
    animations: 'disabled',
  });
  expect(length).toBeLessThan(300_000);
};

const show = async (page: Page, view: string): Promise<void> => {
  await page.getByRole('navigation').getByRole('link', { name: view }).click();
  await page.getByRole('heading', { level: 1, name: view, exact: true }).waitFor();
};

/** The element that keys go to, as a screen reader would call it. */
const focused = (page: Page): Promise<string> =>
  page.evaluate(`(document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '')`);

const tabTo = async (page: Page, name: string | RegExp): Promise<void> => {
  for (let i = 0; i < 60; i += 1) {
    await page.keyboard.press('Tab');
    const at = await focused(page);
    if (typeof name === 'string' ? at === name : name.test(at)) return;
  }
  throw new Error(`Tab never came to ${String(name)}`);
};

const question = (page: Page) => page.getByRole('textbox', { name: 'Your question' });

const clean = (tab: Tab): void => {
  expect(tab.foreign).toEqual([]);
  expect(tab.errors).toEqual([]);
};

describe.skipIf(chromiumPath === undefined)(`the page${why}`, () => {
  let gateways: PageGateways;
  let browser: Browser;
  let url: string;
  beforeAll(async () => {
    [gateways, browser] = await Promise.all([startPageGateways(), launchChromium()]);
    ({ url } = gateways.open);
  });
  afterAll(async () => {
    await browser?.close();
    await gateways?.[Symbol.asyncDispose]();
  });

  it('loads a model, answers about a dropped picture, and shows the request and why it went there', async () => {
    await using tab = await openTab(browser, url);
    const { page } = tab;
    const desk = page.getByRole('article', { name: 'desk' });
    await desk.getByText('up', { exact: true }).waitFor();
    await page.getByRole('button', { name: `Load ${shapesModel} where it fits best` }).click();
    await page.getByText(`${shapesModel} is loaded.`).waitFor();
    await desk.getByRole('listitem').filter({ hasText: shapesModel }).getByText('loaded').waitFor();

    await show(page, 'Playground');
    await page.getByRole('combobox', { name: 'Model' }).selectOption(shapesModel);
    await page.getByText('Parameters').click();
    await page.getByLabel('Temperature').fill('0');
    await page.getByText('Parameters').click();
    await drop(page, 'main', [picture('shapes-1-224x224.png')]);
    await page.getByAltText('shapes-1-224x224.png').waitFor();
    await question(page).fill("What's in this image?");
    await question(page).press('Enter');
    const answer = page.getByRole('article', { name: `Answer of ${shapesModel}` });
    await answer.locator('.usage').waitFor();
    expect(await answer.innerText()).toMatch(/large white square in the bottom left/);
    expect(await answer.innerText()).toMatch(/prompt \d+ .*answer 14 .*first token .* on desk/);

    await show(page, 'Requests');
    const plots = page.getByRole('figure');
    await plots
      .filter({ hasText: 'Time to first token' })
      .getByText(new RegExp(`${shapesModel} median \\d`))
      .waitFor();
    await plots.filter({ hasText: 'Decoding' }).locator('canvas').waitFor();
    const row = page.getByRole('table', { name: 'Ended requests' }).getByRole('row').filter({ hasText: shapesModel });
    await row.first().getByText('done').waitFor();
    expect(await row.first().innerText()).toMatch(/desk[\s\S]*→ 14/);
    await show(page, 'Routing');
    await page.locator('.decision').first().getByText('chosen').waitFor();
    expect(await page.locator('.decision').first().innerText()).toMatch(/desk[\s\S]*attic/);
    await show(page, 'Log');
    await page.getByText('load_finished').first().waitFor();
    clean(tab);
  });

  it('streams, folds reasoning, shows tool calls, and takes what a model writes for text', async () => {
    await using tab = await openTab(browser, url, '#/playground');
    const { page } = tab;
    await page.getByRole('combobox', { name: 'Model' }).selectOption(essayist);
    await question(page).fill('Do I need an umbrella?');
    await page.getByRole('button', { name: 'Send' }).click();
    const answer = page.getByRole('article', { name: `Answer of ${essayist}` });
    // Pieces come one by one: the text is seen before the call that ends it.
    await answer.getByText('It depends on').waitFor();
    await answer.getByText('tool call').waitFor();
    await answer.getByText('"city": "Kyoto"').waitFor();
    expect(await answer.getByText('look up the weather first').isVisible()).toBe(false);
    await answer.getByText('Reasoning').click();
    expect(await answer.getByText('look up the weather first').isVisible()).toBe(true);
    expect(await answer.locator('strong').allInnerTexts()).toEqual(['short', 'where']);
    expect(await answer.locator('pre').first().innerText()).toBe('weather --today');
    expect(await answer.getByText('<img src=x onerror=').count()).toBe(1);
    expect(await answer.locator('img').count()).toBe(0);
    clean(tab);
  });

  it('shows a request through its phases while a model is loaded for it', async () => {
    await using tab = await openTab(browser, url, '#/playground');
    const { page } = tab;
    await page.getByRole('combobox', { name: 'Model' }).selectOption(poet);
    await question(page).fill('A line about rain');
    await question(page).press('Enter');
    await page.getByText(/loading on attic, \d+ %/).waitFor();
    await show(page, 'Requests');
    const row = page.getByRole('table', { name: 'Running requests' }).getByRole('row').filter({ hasText: poet });
    await row.getByText('loading', { exact: true }).waitFor();
    await row.getByText('decoding', { exact: true }).waitFor();
    const ended = page.getByRole('table', { name: 'Ended requests' }).getByRole('row').filter({ hasText: poet });
    await ended.getByText('cold start').waitFor();
    expect(await ended.getByTitle(/load \d/).count()).toBeGreaterThan(0);
    await show(page, 'Playground');
    // The answer went on while another view was shown.
    await page.getByText(/answer 40/).waitFor();
    clean(tab);
  });

  it('takes dropped and pasted pictures, makes them smaller where they are too large, and says so', async () => {
    const size = { width: 5300, height: 5000, channels: 3, background: '#c02020' } as const;
    const large = await sharp({ create: size }).png().toBuffer();
    await using tab = await openTab(browser, url, '#/playground');
    const { page } = tab;
    await page.getByRole('combobox', { name: 'Model' }).selectOption(shapesModel);
    await drop(page, '.composer', [{ name: 'wall.png', type: 'image/png', base64: large.toString('base64') }]);
    await page.getByText(/^made smaller here: was 5,300 × 5,000, .* is 4,096 × 3,864, /).waitFor();
    await drop(page, '.composer', [{ name: 'notes.txt', type: 'text/plain', base64: 'AAAA' }]);
    await page.getByRole('alert').getByText('notes.txt is not a picture').waitFor();
    expect(await page.locator('.composer img').count()).toBe(1);
    await question(page).focus();
    await paste(page, [picture('shapes-3-224x224.png')]);
    await page.getByAltText('shapes-3-224x224.png').waitFor();
    await page.getByRole('button', { name: 'Remove wall.png' }).click();
    expect(await page.locator('.composer img').count()).toBe(1);
    clean(tab);
  });

  it('refuses pictures for a model that cannot see, and says which can', async () => {
    await using tab = await openTab(browser, url, '#/playground');
    const { page } = tab;
    await page.getByRole('combobox', { name: 'Model' }).selectOption(essayist);
    await drop(page, '.composer', [picture('shapes-1-224x224.png')]);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.innerText()).toMatch(new RegExp(`${essayist} takes text only.*${shapesModel}`));
    expect(await page.locator('.composer img').count()).toBe(0);
    clean(tab);
  });

  it('shows an error in the words of the API, and nothing of it in the next question', async () => {
    await using tab = await openTab(browser, url, '#/playground');
    const { page } = tab;
    await page.getByRole('combobox', { name: 'Model' }).selectOption(essayist);
    await page.getByText('Parameters').click();
    await page.getByLabel('Most tokens').fill('-1');
    gateways.box.faults.push({
      kind: 'status',
      status: 400,
      code: 'invalid_request',
      message: 'max_tokens: too small',
    });
    await question(page).fill('Hello');
    await question(page).press('Enter');
    await page.getByRole('alert').getByText('max_tokens').waitFor();
    await page.getByLabel('Most tokens').fill('');
    await question(page).fill('Hello again');
    await question(page).press('Enter');
    await page.getByText('tool call').waitFor();
    expect(tab.foreign).toEqual([]);
  });

  it('is used by keyboard alone', async () => {
    await using tab = await openTab(browser, url);
    const { page } = tab;
    await page.getByRole('article', { name: 'attic' }).waitFor();
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement?.id')).toBe('main');
    await tabTo(page, 'Drain attic: no new requests go there');
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    await page.keyboard.press('Enter');
    await page.getByRole('article', { name: 'attic' }).getByText('draining').waitFor();
    await page.getByRole('button', { name: 'Undrain attic: it gets requests again' }).waitFor();
    // The button says something else now, and still has the focus.
    expect(await focused(page)).toBe('Undrain attic: it gets requests again');
    await page.keyboard.press('Enter');
    await page.getByRole('article', { name: 'attic' }).getByText('up', { exact: true }).waitFor();
    await tabTo(page, 'Pin embedder to attic: it is not evicted');
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Unpin embedder from attic: it may be evicted' }).waitFor();

    await page.reload();
    await page.getByRole('article', { name: 'attic' }).waitFor();
    await tabTo(page, 'Playground');
    await page.keyboard.press('Enter');
    await page.getByRole('combobox', { name: 'Model' }).waitFor();
    await tabTo(page, 'Your question');
    gateways.box.model('coder-14b').tokens = 2000;
    await page.getByRole('combobox', { name: 'Model' }).selectOption('coder-14b');
    await page.keyboard.type('One line');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('and another');
    await page.keyboard.press('Enter');
    expect(await page.locator('.said').innerText()).toBe('One line\nand another');
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
    await page.locator('.answer .markdown').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.usage').getByText('stopped').waitFor();
    clean(tab);
  });

  it('fits a phone without scrolling sideways, in either theme', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await using tab = await openTab(browser, url, '', { viewport: phone, colorScheme, reducedMotion: 'reduce' });
      const { page } = tab;
      for (const view of ['Fleet', 'Requests', 'Routing', 'Log', 'Playground']) {
        await show(page, view);
        const wide = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
        expect([view, wide]).toEqual([view, 0]);
      }
      const ground = await page.evaluate('getComputedStyle(document.body).backgroundColor');
      expect(ground).toBe(colorScheme === 'light' ? 'rgb(246, 247, 249)' : 'rgb(15, 18, 23)');
      clean(tab);
    }
  });

  it('changes its theme at a press, and remembers it', async () => {
    await using tab = await openTab(browser, url);
    const { page } = tab;
    await page.getByRole('button', { name: 'Change to light colours' }).click();
    await page.reload();
    await page.getByRole('button', { name: 'Change to dark colours' }).waitFor();
    expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('light');
    clean(tab);
  });

  it('asks once for the key where one is needed, and keeps it out of every address', async () => {
    await using tab = await openTab(browser, gateways.locked.url);
    const { page } = tab;
    const dialog = page.getByRole('dialog', { name: 'API key' });
    await dialog.waitFor();
    expect(await page.locator('.node').count()).toBe(0);
    await dialog.getByLabel('Key').fill('sk-wrong');
    await page.keyboard.press('Enter');
    await dialog.getByText('not known here').waitFor();
    await dialog.getByLabel('Key').fill(adminKey);
    await page.keyboard.press('Enter');
    await page.getByRole('article', { name: 'desk' }).waitFor();
    await page.reload();
    await page.getByRole('article', { name: 'desk' }).waitFor();
    expect(await dialog.isVisible()).toBe(false);
    const kept = await page.evaluate<string>('[JSON.stringify(localStorage), document.cookie, location.href].join()');
    expect(kept + tab.asked.join()).not.toContain(adminKey);
    expect(tab.foreign).toEqual([]);
    // A refused key is an answer of 401, which the console notes; nothing else is.
    expect(tab.errors.filter((text) => !text.includes('401'))).toEqual([]);
  });

  it('says when the gateway is gone, and comes back by itself', async () => {
    await using tab = await openTab(browser, url);
    const { page } = tab;
    await page.getByRole('article', { name: 'desk' }).waitFor();
    await page.route('**/api/events', (route) => route.abort());
    await page.reload();
    await page.getByRole('alert').getByText('can’t be reached').waitFor();
    await page.unroute('**/api/events');
    await page.getByRole('article', { name: 'desk' }).waitFor();
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  it.runIf(screenshots !== undefined)('has its pictures taken', async () => {
    gateways.box.model('coder-14b').tokens = 220;
    const ask = (model: string, text: string): Promise<string> =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: text }] }),
      }).then((response) => response.text());
    for (let i = 0; i < 6; i += 1)
      await Promise.all([ask(shapesModel, 'hello'), ask(essayist, 'hi'), ask('coder-14b', `case ${i}`)]);
    await using tab = await openTab(browser, url);
    const { page } = tab;
    await page.getByRole('article', { name: 'attic' }).waitFor();
    await shoot(page, 'page-fleet');
    gateways.box.model('coder-14b').tokens = 1200;
    const running = [ask('coder-14b', 'long'), ask('coder-14b', 'longer')];
    await show(page, 'Requests');
    await page.getByRole('table', { name: 'Running requests' }).getByText('decoding').first().waitFor();
    await shoot(page, 'page-requests');
    await show(page, 'Playground');
    await page.getByRole('combobox', { name: 'Model' }).selectOption(shapesModel);
    await page.getByText('Parameters').click();
    await page.getByLabel('Temperature').fill('0');
    await page.getByText('Parameters').click();
    await page.getByRole('button', { name: 'Change to light colours' }).click();
    await drop(page, '.composer', [picture('shapes-2-224x224.png')]);
    await question(page).fill("What's in this image?");
    await question(page).press('Enter');
    await page.locator('.usage').waitFor();
    await shoot(page, 'page-playground');
    await page.setViewportSize(phone);
    await show(page, 'Fleet');
    await shoot(page, 'page-phone');
    await page.setViewportSize(desktop);
    expect(await Promise.all(running)).toHaveLength(2);
    clean(tab);
  });
});
