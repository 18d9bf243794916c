/** Whether a rehearsal is over, and has left nothing. */
import { shadowRemains } from "@hongbao/bucket-service";
import { SHADOW_EVENT } from "@hongbao/preprocess";
import { openControlStore } from "../../control/open.ts";
import { counted, type Check, type Fault } from "./check.ts";

const is = (count: number): string => (count === 1 ? "is" : "are");

export const rehearsal: Check = {
  id: "rehearsal",
  what: "no rehearsal is under way, and none has left anything",
  mend: "hongbao rehearse --wipe",
  async run({ topology, secrets, controllers }) {
    if (controllers.some(({ rehearsal }) => rehearsal)) {
      const mend = "wait for its end, or stop its command (hongbao log says whose it is)";
      return { faults: [{ what: "a rehearsal is under way", mend }], seen: "" };
    }
    const faults: Fault[] = [];
    for (const bucket of topology.buckets) {
      const { database, keys } = await shadowRemains(bucket, secrets);
      if (database) faults.push({ what: `a database of bucket ${bucket.id} is left of a rehearsal` });
      if (keys > 0)
        faults.push({
          what: `${counted(keys, "key")} of bucket ${bucket.id} ${is(keys)} left of a rehearsal`,
        });
    }
    const records = await (await openControlStore(topology.control)).list(`${SHADOW_EVENT}/`);
    if (records.length > 0)
      faults.push({
        what: `${counted(records.length, "control record")} ${is(records.length)} left of a rehearsal`,
      });
    return { faults, seen: "nothing is left of one" };
  },
};
