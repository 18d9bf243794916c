/** `hongbao down`: stops the cluster of a state directory. Nothing running is fine. */
import { existsSync } from "node:fs";
import { processStart, readClusterFile, say, Unreachable } from "@hongbao/preprocess";
import { lockDirectory } from "../processes/lock.ts";
import { waitUntil } from "../processes/wait.ts";
import { endRemains } from "./remains.ts";

/** The longest orderly stop: drains of every kind one after the other, and a flush of MariaDB. */
const STOP_MS_MAX = 90_000;
const LOCK_MS_MAX = 5_000;

export async function runDown(home: string): Promise<void> {
  const cluster = readClusterFile(home);
  if (cluster === null) {
    if (existsSync(home) && !(await isUnlocked(home))) {
      throw new Unreachable(`a start is under way in ${home}; try again in a moment`);
    }
    say(`Nothing is running in ${home}.`);
    return;
  }
  say(`Stopping the cluster in ${home} (pid ${cluster.pid}) ...`);
  const gone = async () => processStart(cluster.pid) !== cluster.pidStart;
  process.kill(cluster.pid, "SIGTERM");
  await waitUntil(gone, { what: "the orderly stop", timeoutMsMax: STOP_MS_MAX }).catch(async () => {
    say("It does not stop by itself and is killed.");
    // Its children die with it; nothing that was told to a user is lost by that.
    process.kill(cluster.pid, "SIGKILL");
    await waitUntil(gone, { what: `the end of process ${cluster.pid}`, timeoutMsMax: LOCK_MS_MAX });
  });
  await endRemains(home);
  say("Stopped.");
}

async function isUnlocked(home: string): Promise<boolean> {
  const lock = await lockDirectory(home);
  await lock?.release();
  return lock !== null;
}
