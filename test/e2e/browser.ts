/** For tests of the page: Debian's Chromium without a window, with an empty profile, and an ear for what must not be. */
import { existsSync } from 'node:fs';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

/** Undefined: there is none on this machine. */
export const chromiumPath = [
  process.env['CHROMIUM_PATH'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((file) => file !== '' && existsSync(file));

export const launchChromium = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath ?? 'chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });

export interface Tab extends AsyncDisposable {
  readonly page: Page;
  /** Addresses asked for that are not the gateway's. */
  readonly foreign: readonly string[];
  /** Every address asked for. */
  readonly asked: readonly string[];
  /** What the console called an error, uncaught exceptions and broken policies among it. */
  readonly errors: readonly string[];
}

export const desktop = { width: 1280, height: 860 };
export const phone = { width: 360, height: 740 };

/** A new profile at the page's address. @param hash such as `#/requests` */
export const openTab = async (
  browser: Browser,
  url: string,
  hash = '',
  options: BrowserContextOptions = {},
): Promise<Tab> => {
  const context = await browser.newContext({ viewport: desktop, colorScheme: 'dark', ...options });
  const page = await context.newPage();
  const foreign: string[] = [];
  const asked: string[] = [];
  const errors: string[] = [];
  page.on('request', (request) => {
    asked.push(request.url());
    if (!/^(?:data|blob):/.test(request.url()) && !request.url().startsWith(`${url}/`)) foreign.push(request.url());
  });
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(`${url}/${hash}`);
  return { page, foreign, asked, errors, [Symbol.asyncDispose]: () => context.close() };
};

interface GivenFile {
  readonly name: string;
  readonly type: string;
  readonly base64: string;
}

/** As text: the tests are not compiled with the browser's types. */
const transferOf = (files: readonly GivenFile[]): string => `(() => {
  const data = new DataTransfer();
  for (const { name, type, base64 } of ${JSON.stringify(files)})
    data.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.codePointAt(0))], name, { type }));
  return data;
})()`;

/** Drops files on an element as a person would from a folder. */
export const drop = async (page: Page, selector: string, files: readonly GivenFile[]): Promise<void> => {
  const dataTransfer = await page.evaluateHandle(transferOf(files));
  await page.dispatchEvent(selector, 'dragover', { dataTransfer });
  await page.dispatchEvent(selector, 'drop', { dataTransfer });
};

/** Pastes files where the focus is. */
export const paste = (page: Page, files: readonly GivenFile[]): Promise<void> =>
  page.evaluate(
    `document.activeElement.dispatchEvent(new ClipboardEvent('paste',
      { clipboardData: ${transferOf(files)}, bubbles: true, cancelable: true })) && undefined`,
  );
