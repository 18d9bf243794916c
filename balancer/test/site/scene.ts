/** What the page's tests share: a browser for the file, and a visitor with a server of their own for each test. */
import type { Page } from "playwright-core";
import type { Test } from "tap";
import { openBrowser, pictureFolder, type Visit, visit, type VisitOptions } from "./browser.ts";
import { playServer, type PlayServer, type Round, tokenOf, type World } from "./server.ts";

export const KEY = "k-7d1f0a";

export function openRound(changes: Partial<Round> = {}): Round {
  return { id: 1, opensAtMs: Date.now() - 5_000, closesAtMs: Date.now() + 600_000, key: KEY, ...changes };
}

export const reach = (page: Page, state: string) => page.locator(`body[data-state="${state}"]`).waitFor();
export const textOf = async (page: Page, id: string) => (await page.locator(`#${id}`).textContent()) ?? "";
/** All states that the page was in since it was loaded. */
export const statesOf = (page: Page) => page.evaluate<string[]>("states");
export const press = (page: Page) => page.locator('#coin[aria-disabled="false"]').click();

/** Opens the browser for the tests of one file, and closes it after them. */
export async function openTheatre(root: Pick<Test, "teardown" | "comment">) {
  const browser = await openBrowser();
  root.teardown(() => browser.close());
  const pictures = await pictureFolder();
  root.comment(`pictures: ${pictures}`);

  /** A server and a visitor who came by the link of an invitation (`hash`); both end with the test. */
  const scene = async (
    test: Pick<Test, "teardown">,
    world: Partial<World>,
    { hash = `#t=${tokenOf("u-1")}`, ...options }: VisitOptions & { hash?: string } = {},
  ): Promise<Visit & { server: PlayServer }> => {
    const server = await playServer(world);
    const visitor = await visit(browser, server.url + hash, options);
    test.teardown(async () => {
      await visitor.close();
      await server.stop();
    });
    return { ...visitor, server };
  };

  const picture = (page: Page, name: string) =>
    page.screenshot({ path: `${pictures}/${name}.png`, animations: "disabled" });

  return { scene, picture };
}
