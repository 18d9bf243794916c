/** A real Chromium for the page's tests, with a user data directory of its own that goes away with it. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const EXECUTABLE = process.env.HONGBAO_CHROMIUM ?? "/usr/bin/chromium";
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
};
export const DESKTOP: BrowserContextOptions = { viewport: { width: 1280, height: 800 } };

export async function openBrowser(): Promise<Browser> {
  if (!existsSync(EXECUTABLE)) {
    throw new Error(`${EXECUTABLE} is missing: apt-get install chromium (npm test does it by itself).`);
  }
  // Playwright makes a fresh user data directory for each launch and removes it.
  return chromium.launch({ executablePath: EXECUTABLE, args: ARGS });
}

/**
 * Where the pictures lie for a person to look at: the folder that HONGBAO_SCREENSHOTS names, else one for each user,
 * written over by every run.
 */
export async function pictureFolder(): Promise<string> {
  const folder = process.env.HONGBAO_SCREENSHOTS ?? join(tmpdir(), `hongbao-pictures-${userInfo().uid}`);
  await mkdir(folder, { recursive: true });
  return folder;
}

export interface Visit {
  page: Page;
  /** Everything that went wrong in the page: exceptions, refused content, calls to other hosts. */
  wrong: string[];
  close: () => Promise<void>;
}

/** Runs in the page before anything of the page. Its states may be too short to be met, so all are noted. */
function initScript(clockOffByMs: number, noStorage: boolean): string {
  return `
    Math.random = () => 0.01;
    const { now } = Date;
    globalThis.clockOffByMs = ${clockOffByMs};
    Date.now = () => now() + clockOffByMs;
    globalThis.states = [];
    const note = (records) => {
      for (const { target } of records) if (target === document.body) states.push(target.dataset.state);
    };
    new MutationObserver(note).observe(document, { subtree: true, attributeFilter: ["data-state"] });
    if (${noStorage}) {
      const get = () => {
        throw new Error("storage is blocked");
      };
      Object.defineProperty(globalThis, "localStorage", { get });
    }`;
}

/**
 * `clockOffByMs` sets the phone's clock wrong (its page can change it by a variable of that name); `noStorage` plays a browser that refuses to keep anything;
 * with `fakeTimers` the page's time goes on when the test says so.
 */
export type VisitOptions = BrowserContextOptions & {
  clockOffByMs?: number;
  noStorage?: boolean;
  fakeTimers?: boolean;
};

/**
 * Opens a page of its own. Its chance is small (near 0), so that waits which are random in the page are short here.
 */
export async function visit(browser: Browser, url: string, options: VisitOptions = {}): Promise<Visit> {
  const { clockOffByMs = 0, noStorage = false, fakeTimers = false, ...contextOptions } = options;
  const context = await browser.newContext({
    ...PHONE,
    deviceScaleFactor: 1,
    locale: "zh-CN",
    ...contextOptions,
  });
  await context.addInitScript({ content: initScript(clockOffByMs, noStorage) });
  const page = await context.newPage();
  if (fakeTimers) await page.clock.install();
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy|Refused/.test(message.text())) wrong.push(message.text());
  });
  page.on("request", (request) => {
    const asked = request.url();
    if (!asked.startsWith("data:") && new URL(asked).origin !== new URL(url).origin) wrong.push(asked);
  });
  await page.goto(url);
  return { page, wrong, close: () => context.close() };
}
