/** The operator's page in a real Chromium, on a real controller; pictures to look at lie in pictureFolder(). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { startController } from "../../src/conductor/run.ts";
import { eventually, hongbao, layOutCluster, operatorAsks, OPERATOR } from "../cluster.ts";
import { DESKTOP, openBrowser, PHONE, pictureFolder, visit } from "../site/browser.ts";

process.env.HONGBAO_LOG = "silent";
t.setTimeout(120_000);

t.test("the operator's page shows the night and sets switches, for those who know the secret", async (t) => {
  const cluster = await layOutCluster(t);
  const away = await hongbao(["switch", "list", "--topology", cluster.topology]);
  t.match(away, { code: 3, stderr: /controller c0 \(.*controller c1 \(/ }, "no controller: exit 3");
  for (const bucket of cluster.buckets) {
    bucket.load(1, Date.now() - 1_000, Date.now() + 600_000);
    bucket.load(2, null, null);
  }
  const { admin } = cluster.controllers[0]!;
  const controller = await startController({ id: "c0", topology: cluster.topology });
  t.teardown(() => controller.stop());
  const pull = () => operatorAsks(admin, "/admin/balancer?as=way-in&switches=1&rate=1234");
  await eventually(async () => (await pull()).status === 200);
  const pulling = setInterval(() => void pull().catch(() => undefined), 500);
  t.teardown(() => clearInterval(pulling));

  const home = await fetch(`http://${admin}/`);
  t.match(
    home.headers.get("content-security-policy"),
    /default-src 'none'; script-src 'self'; style-src 'self';/,
  );
  t.equal((await fetch(`http://${admin}/admin/switches`)).status, 401);
  t.equal((await fetch(`http://${admin}/assets/../admin/state`)).status, 401);
  const folder = join(import.meta.dirname, "..", "..", "site-admin");
  for (const file of readdirSync(folder)) t.notMatch(readFileSync(join(folder, file), "utf8"), OPERATOR);

  const browser = await openBrowser();
  t.teardown(() => browser.close());
  const pictures = await pictureFolder();
  const { page, wrong, close } = await visit(browser, `http://${admin}/`, { ...DESKTOP, locale: "en-GB" });
  page.on("dialog", (dialog) => void dialog.accept());
  const enter = async (secret: string): Promise<void> => {
    await page.getByLabel("Operator secret").fill(secret);
    await page.getByRole("button", { name: "Enter" }).click();
  };
  await enter("wrong");
  await page.getByRole("alert").filter({ hasText: "This is not the operator secret." }).waitFor();
  t.notOk(await page.locator("#view").isVisible());
  await enter(OPERATOR);
  await page.locator("#rounds td").first().waitFor();
  t.equal(await page.getByRole("alert").isVisible(), false);
  await page.locator("#traffic", { hasText: "1,234" }).waitFor();
  t.match(await page.locator("#rounds").innerText(), /1\s+open\s/);

  await page.locator("#name").selectOption("grab");
  await page.locator("#value").selectOption("off");
  await page.locator("#bucket").selectOption("b0");
  await page.getByLabel("Your name").fill("ann");
  await page.getByLabel("Why").fill("redis is <b>slow</b>");
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText(/off in bucket b0, \d\d:\d\d left, by ann \(redis is <b>slow<\/b>\)/).waitFor();
  const set = await operatorAsks(admin, "/admin/switches");
  t.match(set.json, { v: 1, settings: [{ name: "grab", bucket: "b0", value: "off", by: "ann" }] });
  await page.getByText("Live in 2 of 2 processes and 1 of 1 HAProxies.").waitFor();
  await page.locator("#name").selectOption("limit.user");
  await page.locator("#value").fill("many");
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText('limit.user: found "many", expected 1 to 1000 requests a second, or off').waitFor();
  await page.screenshot({ path: join(pictures, "operator-desktop.png"), fullPage: true });
  await page.setViewportSize(PHONE.viewport!);
  t.ok(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "fits a phone");
  await page.screenshot({ path: join(pictures, "operator-phone.png"), fullPage: true });

  await page.reload();
  await page.getByRole("button", { name: "Clear grab in bucket b0" }).click();
  await page.getByText("grab is cleared.").waitFor();
  t.match((await operatorAsks(admin, "/admin/switches")).json, { v: 2, settings: [] });
  const { json: log } = await operatorAsks(admin, "/admin/log");
  t.match(
    (log as { entries: { by: string }[] }).entries.filter(({ by }) => by === "ann"),
    [
      { why: "redis is <b>slow</b>", what: /switch grab of bucket b0 set to off/ },
      { what: /cleared: switch grab of bucket b0/ },
    ],
  );
  await page.getByRole("button", { name: "Forget the secret" }).click();
  t.equal(await page.evaluate("sessionStorage.getItem('hongbao-operator')"), null);
  t.same(wrong, []);
  await close();
});
