import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { ensurePackages, missingPackages, temporaryState, waitUntil, type System } from "@hongbao/infra";

const run = promisify(execFile);
const script = join(import.meta.dirname, "..", "src", "install", "apt.sh");

/** A root of our own with programs that only write down how they were called, and what the guard said then. */
function fakeSystem(dir: string, apt = "") {
  const bin = join(dir, "bin");
  mkdirSync(bin);
  mkdirSync(join(dir, "usr/sbin"), { recursive: true });
  const guard = join(dir, "usr/sbin/policy-rc.d");
  const log = join(dir, "calls");
  const program = (name: string, body: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  program("apt-get", `echo "apt-get $*" >> ${log}; "${guard}" x start; echo "guard $?" >> ${log}\n${apt}`);
  program("apt-cache", `[ "$2" != unknown ]`);
  program("systemctl", `echo "systemctl $*" >> ${log}`);
  program("dpkg", `echo /lib/systemd/system/$2.service; echo /lib/systemd/system/$2@.service`);
  const env = { PATH: `${bin}:/usr/bin:/bin`, HONGBAO_ROOT: dir };
  return {
    guard,
    calls: () => readFileSync(log, "utf8"),
    install: (...names: string[]) => run("sh", [script, ...names], { env }),
    env,
  };
}

t.test("no service starts while packages are installed, and nothing stays behind", async (t) => {
  const { guard, calls, install } = fakeSystem(temporaryState(t));
  await install("redis-server");
  t.match(calls(), /apt-get .*--no-remove.* install redis-server\nguard 101\n/);
  t.notMatch(calls(), /update/);
  t.match(calls(), /systemctl disable redis-server\.service\n/);
  t.notOk(existsSync(guard));
});

t.test("nothing is removed, but for a library that another one takes the place of", async (t) => {
  const removing = (...names: string[]): string =>
    `case "$*" in *" -s "*) printf '${names.map((name) => `Remv ${name} [1]\\n`).join("")}';; esac`;
  const swapped = fakeSystem(temporaryState(t), removing("libluajit-5.1-2", "libluajit-5.1-common"));
  await swapped.install("nginx");
  t.notMatch(swapped.calls(), /--no-remove/);
  const others = fakeSystem(temporaryState(t), removing("libluajit-5.1-2", "wrk"));
  await others.install("nginx");
  t.match(others.calls(), /apt-get .*--no-remove.* install nginx\n/);
});

t.test("package lists are fetched when a package is not known", async (t) => {
  const { calls, install } = fakeSystem(temporaryState(t));
  await install("unknown", "wrk");
  t.match(calls(), /apt-get .* update\n[^]*install unknown wrk/);
});

t.test("the policy that was there comes back as it was, also after a failure", async (t) => {
  const dir = temporaryState(t);
  const { guard, calls, install } = fakeSystem(dir, "exit 1");
  writeFileSync(join(dir, "own-policy"), "#!/bin/sh\nexit 7\n", { mode: 0o755 });
  symlinkSync("../../own-policy", guard);
  await t.rejects(install("haproxy"));
  t.match(calls(), /guard 101\n/);
  t.match(calls(), /update/, "old lists are a reason to try once more");
  t.ok(lstatSync(guard).isSymbolicLink());
  t.notOk(existsSync(`${guard}.found-by-hongbao`));
});

t.test("a killed installation blocks nothing, and the next one cleans up", async (t) => {
  const dir = temporaryState(t);
  const { guard, env, calls } = fakeSystem(dir, `[ -e "${dir}/go" ] || exec sleep 1000`);
  writeFileSync(guard, "#!/bin/sh\nexit 7\n", { mode: 0o755 });
  const child = spawn("sh", [script, "wrk"], { env, stdio: "ignore", detached: true });
  await waitUntil(async () => existsSync(join(dir, "calls")) && calls().includes("guard"), {
    what: "apt",
    timeoutMsMax: 10_000,
  });
  process.kill(-child.pid!, "SIGKILL");
  await once(child, "exit");
  const code = await run("sh", [guard]).then(
    () => 0,
    (error: { code: number }) => error.code,
  );
  t.equal(code, 7, "the guard hands over to what it found");
  writeFileSync(join(dir, "go"), "");
  await run("sh", [script, "wrk"], { env });
  t.equal(readFileSync(guard, "utf8"), "#!/bin/sh\nexit 7\n");
  t.notOk(existsSync(`${guard}.found-by-hongbao`));
});

/** A machine that has these programs; `apt` says what the installation does. */
function machine(has: string[], { isRoot = false, code = 0, brings = [] as string[] } = {}) {
  const ran: string[] = [];
  const system: System = {
    find: (...names) => names.find((name) => has.includes(name)) ?? null,
    isRoot: () => isRoot,
    run: async (words) => {
      ran.push(words.join(" "));
      if (words.includes("true")) return { code, output: "" };
      has.push(...brings);
      return { code: 0, output: "" };
    },
  };
  return { system, ran };
}

t.test("what is there is not installed again", async (t) => {
  const { system, ran } = machine(["wrk", "haproxy"]);
  await ensurePackages(["wrk", "haproxy"], system);
  t.same(ran, []);
  t.same(missingPackages(["wrk", "mariadb-server"], system), ["mariadb-server"]);
});

t.test("as root, or by a sudo that asks nothing", async (t) => {
  const root = machine(["apt-get"], { isRoot: true, brings: ["wrk"] });
  await ensurePackages(["wrk"], root.system);
  t.match(root.ran, [/^sh .*apt\.sh wrk$/]);
  const user = machine(["apt-get", "sudo"], { brings: ["wrk"] });
  await ensurePackages(["wrk"], user.system);
  t.match(user.ran, ["sudo -n true", /^sudo -n sh .*apt\.sh wrk$/]);
});

t.test("what cannot be had is said with the commands", async (t) => {
  const commands =
    /wrk haproxy; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends wrk haproxy/;
  const refused = machine(["apt-get", "sudo"], { code: 1 });
  await t.rejects(ensurePackages(["wrk", "haproxy"], refused.system), { exitCode: 3, message: commands });
  await t.rejects(ensurePackages(["wrk"], machine([]).system), { exitCode: 3, message: /no apt-get/ });
  const broken = machine(["apt-get"], { isRoot: true });
  await t.rejects(ensurePackages(["wrk"], broken.system), { exitCode: 3, message: /could not install wrk/ });
});
