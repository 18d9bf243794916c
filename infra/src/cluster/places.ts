/**
 * Where a local cluster keeps what. `home` is the state directory that every command knows (lock, cluster.json);
 * `data` holds one event with everything that belongs to it, and is `home` itself except for a replay, which must
 * not touch the event that an operator has there.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { BadInput, Unreachable } from "@hongbao/preprocess";

export interface Places {
  home: string;
  data: string;
  /** What `up` remembers from one start to the next. */
  settings: string;
  ports: string;
  topology: string;
  secrets: string;
  sample: string;
  pack: string;
  control: string;
  logs: string;
  monitoring: string;
  redis(bucket: string): string;
  mysql(bucket: string): string;
  log(name: string): string;
}

const REPLAY = "replay";
/** Everything that a cluster writes into its data directory; a wipe removes this and nothing else. */
const OWN = [
  "settings.json",
  "ports.json",
  "topology.yaml",
  "secrets",
  "event",
  "pack",
  "pack.seed",
  "PACK.seed",
  "control",
  "logs",
  "redis",
  "mysql",
  "switches",
  "balancer",
  "monitoring",
  "summary.json",
  "replay.svg",
];

export function placesOf(home: string, { replay = false } = {}): Places {
  const data = replay ? join(home, REPLAY) : home;
  const logs = join(data, "logs");
  return {
    home,
    data,
    settings: join(data, "settings.json"),
    ports: join(data, "ports.json"),
    topology: join(data, "topology.yaml"),
    secrets: join(data, "secrets"),
    sample: join(data, "event"),
    pack: join(data, "pack"),
    control: join(data, "control"),
    logs,
    monitoring: join(data, "monitoring"),
    redis: (bucket) => join(data, "redis", bucket),
    mysql: (bucket) => join(data, "mysql", bucket),
    log: (name) => join(logs, `${name}.log`),
  };
}

/**
 * Makes the directories. Other files in them are left alone; but where a name of ours stands without our settings
 * file, the directory is somebody else's: throws BadInput, because a later wipe there would be a disaster.
 */
export function openPlaces(places: Places): void {
  const { home, data } = places;
  if (existsSync(home) && !statSync(home).isDirectory()) {
    throw new BadInput(`--state: found the file ${home}, expected a directory`);
  }
  const foreign = existsSync(places.settings) ? undefined : OWN.find((name) => existsSync(join(data, name)));
  if (foreign !== undefined) {
    throw new BadInput(
      `--state: found ${foreign} in ${data} that "up" did not make, expected another directory`,
    );
  }
  try {
    for (const dir of [home, data]) mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Unreachable(`--state: cannot make ${data}: ${(error as Error).message}`);
  }
}

/** Removes the event and all its data; a replay beside it stays. The settings, which say that it is ours, go last. */
export function wipe(places: Places): void {
  for (const name of OWN.toReversed()) rmSync(join(places.data, name), { recursive: true, force: true });
}

/** One older log of each process is kept. */
export function turnLogs(places: Places): void {
  mkdirSync(places.logs, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(places.logs)) {
    if (name.endsWith(".log")) renameSync(join(places.logs, name), join(places.logs, `${name}.1`));
  }
}

/** What `up` remembers. `step` tells how far the data came: only `loaded` data is worth going on with. */
export interface Settings {
  format: 1;
  step: "begun" | "loaded";
  buckets: number;
  services: number;
  event: { id: string; /** Null: the built-in sample. */ path: string | null; digest: string };
}

export function readSettings(places: Places): Settings | null {
  try {
    return JSON.parse(readFileSync(places.settings, "utf8")) as Settings;
  } catch {
    return null;
  }
}

export function writeSettings(places: Places, settings: Settings): void {
  writeAtomically(places.settings, `${JSON.stringify(settings, null, 2)}\n`);
}

/** A reader, or a start after a crash, finds the old file or the new one. */
export function writeAtomically(path: string, text: string, mode = 0o600): void {
  const draft = `${path}.tmp`;
  writeFileSync(draft, text, { mode });
  renameSync(draft, path);
}
