import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { bucketOfSlot, readSecrets, readTopology, SLOTS } from "@hongbao/preprocess";
import t from "tap";
import { makeSecrets, portNames, slotsOf, takePorts, topologyText } from "../src/cluster/layout.ts";
import {
  openPlaces,
  placesOf,
  readSettings,
  wipe,
  writeSettings,
  type Settings,
} from "../src/cluster/places.ts";
import { temporaryState } from "@hongbao/infra";

const settings: Settings = {
  format: 1,
  step: "loaded",
  buckets: 2,
  services: 2,
  event: { id: "a", path: null, digest: "" },
};

t.test("every slot belongs to exactly one bucket, whatever their number", async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), (buckets) => {
      const runs = Array.from({ length: buckets }, (_, index) => slotsOf(index, buckets));
      const covered = runs.flatMap(([first, last]) =>
        Array.from({ length: last - first + 1 }, (_, i) => first + i),
      );
      t.same(
        covered,
        Array.from({ length: SLOTS }, (_, slot) => slot),
      );
    }),
    { numRuns: 30 },
  );
});

t.test("the topology reads back as what was meant", async (t) => {
  const dir = temporaryState(t);
  const places = placesOf(dir);
  openPlaces(places);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 5 }), (buckets, services) => {
      const names = portNames({ buckets, services });
      const ports = Object.fromEntries(names.map((name, index) => [name, 20_000 + index]));
      writeFileSync(places.topology, topologyText({ buckets, services }, ports));
      const topology = readTopology(places.topology);
      t.equal(topology.buckets.length, buckets);
      t.equal(bucketOfSlot(topology).includes(-1), false);
      t.equal(topology.balancer.url, `http://127.0.0.1:${ports.page}`);
      t.match(topology, { pack: places.pack, control: places.control, controllers: { length: 2 } });
      for (const bucket of topology.buckets)
        t.match(bucket, { services: { length: services }, persist: { length: 1 }, payout: { length: 1 } });
    }),
    { numRuns: 20 },
  );
  makeSecrets(places);
  const secrets = readSecrets(readTopology(places.topology));
  makeSecrets(places);
  t.same(readSecrets(readTopology(places.topology)), secrets, "made once");
});

t.test("ports are kept from one start to the next", async (t) => {
  const places = placesOf(temporaryState(t));
  const shape = { buckets: 2, services: 1 };
  const first = await takePorts(places, shape);
  t.same(Object.keys(first), portNames(shape));
  t.equal(new Set(Object.values(first)).size, portNames(shape).length);
  t.same(await takePorts(places, shape), first);
  const grown = await takePorts(places, { buckets: 2, services: 2 });
  t.match(grown, first);
});

t.test("a wipe removes the event and nothing else", async (t) => {
  const dir = temporaryState(t);
  const places = placesOf(dir);
  const replay = placesOf(dir, { replay: true });
  for (const each of [places, replay]) {
    openPlaces(each);
    writeSettings(each, settings);
    mkdirSync(each.pack);
  }
  writeFileSync(join(dir, "notes.txt"), "mine");
  wipe(places);
  t.equal(readSettings(places), null);
  t.notOk(existsSync(places.pack));
  t.ok(existsSync(join(dir, "notes.txt")));
  t.same(readSettings(replay), settings, "a replay is an event of its own");
  openPlaces(places);
});
