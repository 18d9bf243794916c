/**
 * Terraform without a provider registry: a copy of terraform/ in a directory of its own, and in it a mirror with the
 * schema-only provider (provider.ts), which `init` finds there as it would find the real one. Afterwards Terraform is shown one
 * that runs already, in this process: it would start it anew for every step of every test.
 */
import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveProvider } from "./provider.ts";
import { SCHEMA_FILE, type ProviderSchema } from "./schema.ts";

const SOURCE = join(import.meta.dirname, "..", "..", "terraform");

export interface TerraformRun {
  code: number | null;
  /** stdout and stderr as they came. */
  output: string;
}

export interface OfflineTerraform {
  /** The copy of terraform/. */
  dir: string;
  /** Runs terraform in a folder of the copy. */
  run(folder: string, ...args: string[]): Promise<TerraformRun>;
  /** The same, where the archive's marker is missing when something is destroyed. */
  runUnarchived(folder: string, ...args: string[]): Promise<TerraformRun>;
  remove(): void;
}

/** Whether there is a terraform on the PATH. */
export async function hasTerraform(): Promise<boolean> {
  return (await runTerraform(tmpdir(), process.env, ["version"]).catch(() => null))?.code === 0;
}

export async function offlineTerraform(): Promise<OfflineTerraform> {
  const root = mkdtempSync(join(tmpdir(), "hongbao-terraform-"));
  const dir = join(root, "terraform");
  cpSync(SOURCE, dir, { recursive: true, filter: (path) => !path.includes("/.terraform") });
  const schema = JSON.parse(readFileSync(SCHEMA_FILE, "utf8")) as ProviderSchema;
  const { provider } = schema;
  const mirror = join(root, "mirror");
  const binary = join(
    mirror,
    "registry.terraform.io/hashicorp/aws",
    provider,
    `${process.platform}_${goArch()}`,
  );
  mkdirSync(binary, { recursive: true });
  const script = join(binary, `terraform-provider-aws_v${provider}_x5`);
  const plugin = join(import.meta.dirname, "provider.ts");
  writeFileSync(
    script,
    `#!/bin/sh\nexec '${process.execPath}' --disable-warning=ExperimentalWarning '${plugin}' '${SCHEMA_FILE}'\n`,
  );
  chmodSync(script, 0o755);
  const config = join(root, "terraform.rc");
  writeFileSync(
    config,
    `provider_installation {\n  filesystem_mirror {\n    path = ${JSON.stringify(mirror)}\n  }\n}\ndisable_checkpoint = true\n`,
  );
  const bin = join(root, "bin");
  mkdirSync(bin);
  // Stands in for the command line that asks for the archive's marker when an event is destroyed.
  writeFileSync(join(bin, "aws"), `#!/bin/sh\n[ -z "$NO_ARCHIVE" ]\n`);
  chmodSync(join(bin, "aws"), 0o755);
  const env = {
    PATH: `${bin}:${process.env["PATH"]}`,
    HOME: root,
    TF_CLI_CONFIG_FILE: config,
    TF_DISABLE_PLUGIN_TLS: "1",
    TF_IN_AUTOMATION: "1",
    CHECKPOINT_DISABLE: "1",
  };
  const running = await serveProvider(schema, () => undefined);
  const attached = {
    "registry.terraform.io/hashicorp/aws": {
      Protocol: "grpc",
      ProtocolVersion: 5,
      Pid: process.pid,
      // Terraform must not end it.
      Test: true,
      Addr: { Network: "tcp", String: `127.0.0.1:${running.port}` },
    },
  };
  const attachedEnv = { ...env, TF_REATTACH_PROVIDERS: JSON.stringify(attached) };
  return {
    dir,
    run: (folder, ...args) => runTerraform(join(dir, folder), args[0] === "init" ? env : attachedEnv, args),
    runUnarchived: (folder, ...args) =>
      runTerraform(join(dir, folder), { ...attachedEnv, NO_ARCHIVE: "1" }, args),
    remove: () => {
      running.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

function goArch(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

function runTerraform(cwd: string, env: NodeJS.ProcessEnv, args: string[]): Promise<TerraformRun> {
  return new Promise((resolve, reject) => {
    const child = spawn("terraform", args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    }
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output }));
  });
}
