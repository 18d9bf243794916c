/** Services that only service discovery knows: a real HAProxy, and more of them than DNS would name. */
import { createServer, type Server } from "node:http";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { freePort } from "@hongbao/infra";
import t from "tap";
import { startFakeAws } from "../../../preprocess/test/aws/fake-aws.ts";
import { findServices } from "../../src/conductor/found-services.ts";
import { BUSY_PAGE } from "../../src/haproxy/answers.ts";
import { CONFIG, writeWhole } from "../../src/haproxy/files.ts";
import { Finder } from "../../src/haproxy/finder.ts";
import { MAPS, mapText, pushedMaps, slotsMap } from "../../src/haproxy/maps.ts";
import { Master } from "../../src/haproxy/master.ts";
import { render, TOKEN_KEY } from "../../src/haproxy/render.ts";
import { noSlots, placeInSlots, SlotKeeper, SLOTS_MAX, type Slots } from "../../src/haproxy/slots.ts";
import { ask, bearer, eventually, KEY, layOut } from "./harness.ts";

const hostsOf = (slots: Slots): string[] => slots.flatMap((slot) => (slot === null ? [] : [slot.host]));

t.test("a service keeps its place for as long as it is found; places are never given twice", async (t) => {
  const hosts = fc.uniqueArray(fc.nat(SLOTS_MAX + 5).map((n) => `10.0.0.${n}`));
  fc.assert(
    fc.property(fc.array(hosts, { maxLength: 10 }), (looks) => {
      let slots = noSlots();
      looks.forEach((found, index) => {
        const before = slots;
        slots = placeInSlots(before, found, index * 4_000);
        const placed = hostsOf(slots);
        if (new Set(placed).size !== placed.length) throw new Error("a place twice");
        before.forEach((slot, place) => {
          if (slot !== null && found.includes(slot.host) && slots[place]?.host !== slot.host)
            throw new Error("moved");
        });
        const room = SLOTS_MAX - hostsOf(before).length;
        const missing = found.filter((host) => !placed.includes(host));
        if (missing.length > 0 && found.length <= room) throw new Error("no place, though there was one");
      });
    }),
  );
  t.pass();
});

t.test("a HAProxy is ready once discovery has answered, in this life or the one before", async (t) => {
  let answer: () => Promise<never[]> = () => Promise.reject(new Error("away"));
  const names = new Map([["b0", "grab-b0.spring.internal"]]);
  const keeper = new SlotKeeper(names, null, () => answer());
  await keeper.look(0);
  t.notOk(keeper.knows);
  answer = () => Promise.resolve([]);
  await keeper.look(1);
  t.ok(keeper.knows, "that nobody is there is an answer");
  t.ok(new SlotKeeper(names, keeper.snapshot()).knows);
});

t.test("twelve tasks are found, one by one, and leave, while the same HAProxy runs", async (t) => {
  const fake = await startFakeAws(t);
  const { dir, port, topology } = await layOut(t, { slots: { b0: [[0, 1023]] } });
  const [http, admin] = [await freePort(), await freePort()];
  topology.buckets[0]!.services = { discover: "grab-b0.spring.internal", http, spop: 1, admin };
  const hosts = Array.from({ length: 12 }, (_, index) => `127.0.0.${index + 10}`);
  const servers: Server[] = [];
  t.teardown(() => servers.forEach((server) => (server.closeAllConnections(), server.close())));
  for (const host of hosts) {
    for (const where of [http, admin]) {
      const server = createServer((_request, response) => response.end(JSON.stringify({ host })));
      await new Promise<void>((resolve) => server.listen(where, host, resolve));
      servers.push(server);
    }
  }
  const setTasks = (tasks: string[]): unknown =>
    fake.instances.set(
      "grab-b0.spring.internal",
      tasks.map((host) => ({ id: `task-${host}`, host })),
    );
  setTasks([]);

  mkdirSync(join(dir, "maps"));
  const options = { threads: 1, connectionsMax: 500, door: "http" as const };
  const troubles: unknown[] = [];
  const finder = new Finder({
    dir,
    topology,
    withAgents: false,
    runtime: () => (master.running ? master.runtime : null),
    onTrouble: (what, error) => troubles.push([what, error]),
  });
  writeWhole(dir, CONFIG, render(topology, { rounds: [{ id: 1, perUser: 1, groups: null }] }, options));
  writeWhole(dir, BUSY_PAGE.name, BUSY_PAGE.text);
  writeWhole(dir, MAPS.slots, slotsMap(topology));
  writeWhole(
    dir,
    MAPS.rounds,
    mapText(pushedMaps({ rounds: new Map([[1, "live"]]), stocks: new Map() }).rounds),
  );
  for (const map of Object.values(MAPS)) if (!existsSync(join(dir, map))) writeWhole(dir, map, "");
  const master: Master = new Master({ dir, keys: { [TOKEN_KEY]: KEY } });
  await master.start();
  t.teardown(() => master.stop());
  await finder.start();
  t.teardown(() => finder.stop());
  const { pid } = master;

  let asked = 0;
  const grab = () =>
    ask(port, "/v1/rounds/1/grab?k=key", { method: "POST", headers: bearer(`u${(asked += 1)}`) });
  const answering = async (): Promise<Set<unknown>> => {
    const answers = await Promise.all(Array.from({ length: 60 }, grab));
    return new Set(answers.map(({ json }) => json?.["host"]));
  };
  t.equal((await grab()).json?.result, "busy", "nobody is there yet");
  setTasks(hosts);
  await eventually(async () => (await answering()).size === hosts.length);
  t.pass("all of twelve answer");
  setTasks(hosts.slice(3));
  await eventually(async () => (await answering()).size === hosts.length - 3);
  fake.instances.delete("grab-b0.spring.internal");
  await eventually(() => troubles.length > 0);
  t.equal((await answering()).size, hosts.length - 3, "a registry that does not answer changes nothing");
  t.equal(master.pid, pid, "and HAProxy was not started anew");

  // The next HAProxy starts with those that were found last.
  const again = render(topology, null, { ...options, slots: finder.slots });
  t.match(again, `server s3 ${hosts[3]}:${http} port ${admin}\n`);
  setTasks(hosts);
  const found = await findServices({ discover: "grab-b0.spring.internal", http, spop: 1, admin });
  t.equal(found.length, 12, "the conductor finds them, too");
});
