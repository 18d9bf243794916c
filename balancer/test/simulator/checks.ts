/** What must be true when everything that was begun has ended: the promises, by their numbers. */
import { START_MS } from "./scene.ts";
import type { Simulator } from "./simulator.ts";

export function checkEnd(sim: Simulator): void {
  for (const { id, redis, mysql, services } of sim.buckets) {
    if (redis.epoch !== mysql.meta.epoch || services.some(({ trust }) => trust !== "ok"))
      sim.violate(
        `${id} does not recover: Redis ${redis.epoch}, MySQL ${mysql.meta.epoch}, services ${services.map(({ trust }) => trust).join()}`,
      );
    if (redis.journal.length > 0) sim.violate(`${id}: ${redis.journal.length} entries stay in the journal`);
    if (mysql.conflicts > 0) sim.violate(`${id}: ${mysql.conflicts} entries contradict MySQL`);
  }
  if (sim.violations.length > 0) return;
  checkWins(sim);
  checkPlaces(sim);
  checkMoney(sim);
  for (const transfer of sim.control.transfers.values())
    if (transfer.value.state !== "done")
      sim.violate(`transfer ${transfer.value.n} is ${transfer.value.state}`);
}

/** Promises 1, 2, 3 and 7. */
function checkWins(sim: Simulator): void {
  const owners = new Map<number, string>();
  const places = new Map<string, number>();
  for (const { user, round, n, prize, bucket } of sim.told) {
    if ((owners.get(prize) ?? user) !== user)
      sim.violate(`1: prize ${prize} was told to ${owners.get(prize)} and ${user}`);
    owners.set(prize, user);
    const place = `${user} ${round} ${n}`;
    if ((places.get(place) ?? prize) !== prize)
      sim.violate(`3: ${place} was told ${places.get(place)} and ${prize}`);
    places.set(place, prize);
    const claim = sim.buckets[bucket]!.mysql.claims.get(prize);
    if (claim === undefined || claim.user !== user || claim.round !== round || claim.n !== n)
      sim.violate(
        `2: ${user} was told prize ${prize}, MySQL has ${claim === undefined ? "nothing" : `${claim.user} ${claim.n}`}`,
      );
  }
  for (const { id, mysql } of sim.buckets) {
    const counts = new Map<string, number>();
    for (const { user, round, prizeId, atMs } of mysql.claims.values()) {
      const key = `${user} ${round}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      if (counts.get(key)! > 2) sim.violate(`3: ${user} holds ${counts.get(key)} prizes of round ${round}`);
      const { opensAtMs, closesAtMs } = sim.timesOf(round);
      if (!mysql.burned.has(prizeId) && (atMs < opensAtMs! || atMs >= closesAtMs!))
        sim.violate(`7: ${id} gave prize ${prizeId} of round ${round} at +${atMs - START_MS} ms`);
    }
  }
}

/** Promise 6 (and 1): every prize in exactly one place. Promise 8: nothing stays in a closed round. */
function checkPlaces(sim: Simulator): void {
  const places = new Map<number, string[]>();
  const put = (prize: number, place: string): void =>
    void places.set(prize, [...(places.get(prize) ?? []), place]);
  for (const { id, redis, mysql } of sim.buckets) {
    for (const prize of mysql.claims.keys()) put(prize, `claimed in ${id}`);
    for (const [prize, { state }] of mysql.burned) if (state === "burned") put(prize, `burned in ${id}`);
    for (const [round, { lo, left, ranges }] of redis.rounds) {
      for (const run of [{ lo, count: left }, ...ranges])
        for (let prize = run.lo; prize < run.lo + run.count; prize += 1)
          put(prize, `left in ${id}, round ${round}`);
      if (sim.focus === "moves" && round === 1 && left > 0)
        sim.violate(`8: round 1 is closed and keeps ${left} in ${id}`);
    }
  }
  const { firstId, prizeCount } = sim.pack.manifest;
  for (let prize = firstId; prize < firstId + prizeCount; prize += 1) {
    const found = places.get(prize) ?? [];
    if (found.length !== 1)
      sim.violate(`6: prize ${prize} is ${found.length === 0 ? "nowhere" : found.join(" and ")}`);
    places.delete(prize);
  }
  for (const prize of places.keys()) sim.violate(`1: prize ${prize} was never generated`);
}

/** Promise 4. */
function checkMoney(sim: Simulator): void {
  const paid = new Map<number, number>();
  const pay = (prize: number): void => void paid.set(prize, (paid.get(prize) ?? 0) + 1);
  for (const { ledger } of sim.buckets.map(({ mysql }) => mysql)) for (const { prize } of ledger) pay(prize);
  for (const { prize } of sim.wallet.values()) pay(prize);
  for (const { mysql } of sim.buckets) {
    for (const prize of mysql.claims.keys()) {
      const state = mysql.payouts.get(prize)?.state;
      if (state !== "paid") sim.violate(`4: prize ${prize} is claimed, its payout ${state ?? "missing"}`);
      if (paid.get(prize) !== 1) sim.violate(`4: prize ${prize} was paid ${paid.get(prize) ?? 0} times`);
      paid.delete(prize);
    }
  }
  for (const prize of paid.keys()) sim.violate(`4: prize ${prize} was paid and is nobody's`);
}
