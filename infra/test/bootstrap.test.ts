import { execFile } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import t from "tap";
import { temporaryState } from "@hongbao/infra";

const script = join(import.meta.dirname, "..", "..", "hongbao");

/** A clone with a program that only says how it was called; node is old, npm brings a new one. */
function clone(dir: string, npm: string) {
  const root = join(dir, "a clone");
  const bin = join(dir, "bin");
  for (const each of [root, bin]) mkdirSync(each);
  copyFileSync(script, join(root, "hongbao"));
  copyFileSync(join(dirname(script), "node-flags"), join(root, "node-flags"));
  writeFileSync(join(root, "package-lock.json"), "{}");
  writeFileSync(
    join(root, "hongbao.ts"),
    `process.stdout.write(JSON.stringify(process.argv.slice(2)) + "\\n");\n`,
  );
  const program = (name: string, body: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  const log = join(dir, "npm.log");
  program("node", `[ "$1" = --version ] && echo v20.11.0 || exit 9`);
  program("npm", `echo "$@" >> "${log}"; echo "npm talks"; ${npm}`);
  const run = (args: string[], command = join(root, "hongbao"), path = bin) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      const env = { PATH: `${path}:/usr/bin:/bin`, HOME: dir };
      execFile(command, args, { env, cwd: dir }, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr });
      });
    });
  return {
    root,
    bin,
    run,
    log,
    installs: () => (existsSync(log) ? readFileSync(log, "utf8").split("\n").length - 1 : 0),
  };
}

const WORKING_NPM = `sleep 0.3
mkdir -p node_modules/node/bin node_modules/commander
ln -sf "${process.execPath}" node_modules/node/bin/node`;

t.test("it installs once, finds the private Node and hands over", async (t) => {
  const { root, run, installs, log } = clone(temporaryState(t), WORKING_NPM);
  const first = await run(["status", "--json", "two words", ""]);
  t.same(first, {
    code: 0,
    stdout: '["status","--json","two words",""]\n',
    stderr: "hongbao: installing packages (npm ci) ...\nnpm talks\n",
  });
  t.match(readFileSync(log, "utf8"), /^ci /);
  t.same(await run(["status"]), { code: 0, stdout: '["status"]\n', stderr: "" });
  t.equal(installs(), 1);
  appendFileSync(join(root, "package-lock.json"), "\n");
  await run(["status"]);
  t.equal(installs(), 2, "another lockfile is installed anew");
});

t.test("first starts side by side install once", async (t) => {
  const { run, installs } = clone(temporaryState(t), WORKING_NPM);
  const all = await Promise.all([run(["a"]), run(["b"]), run(["c"])]);
  t.same(
    all.map(({ code, stdout }) => `${code} ${stdout.trim()}`),
    ['0 ["a"]', '0 ["b"]', '0 ["c"]'],
  );
  t.equal(installs(), 1);
});

t.test("it works by a link, and takes a new Node from the PATH", async (t) => {
  const dir = temporaryState(t);
  const { root, bin, run } = clone(dir, "mkdir -p node_modules");
  symlinkSync(join(root, "hongbao"), join(bin, "hb"));
  const newer = join(dir, "newer");
  mkdirSync(newer);
  symlinkSync(process.execPath, join(newer, "node"));
  const { code, stdout } = await run(["x"], join(bin, "hb"), `${newer}:${bin}`);
  t.same({ code, stdout }, { code: 0, stdout: '["x"]\n' });
});

t.test("what goes wrong is the last line, and is tried again next time", async (t) => {
  const { run, installs } = clone(temporaryState(t), "exit 1");
  const failed = await run(["status"]);
  t.equal(failed.code, 3);
  t.equal(failed.stdout, "");
  t.match(failed.stderr, /\nhongbao: npm ci failed in .*; see above\n$/);
  await run(["status"]);
  t.equal(installs(), 2);
  const noNode = clone(temporaryState(t), "mkdir -p node_modules");
  const lacking = await noNode.run(["status"]);
  t.equal(lacking.code, 3);
  t.match(lacking.stderr, /\nhongbao: Node.js >= 24 is needed: [^\n]*\n$/);
  t.match(readFileSync(noNode.log, "utf8"), /rebuild node/, "install scripts may have been forbidden");
});

t.test("down installs nothing", async (t) => {
  const { run, installs } = clone(temporaryState(t), WORKING_NPM);
  const { code, stdout } = await run(["down"]);
  t.same({ code, stdout }, { code: 0, stdout: "" });
  t.equal(installs(), 0);
});
