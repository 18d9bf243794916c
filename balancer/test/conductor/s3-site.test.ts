import t from "tap";
import { startFakeAws } from "../../../preprocess/test/aws/fake-aws.ts";
import { startS3Site } from "../../src/conductor/s3-site.ts";
import { eventually } from "../haproxy/harness.ts";

t.test("who leads publishes the schedule and the start files, again when something changed", async (t) => {
  const fake = await startFakeAws(t);
  let leading = false;
  let rounds = [1, 2];
  let key: string | null = null;
  const troubles: unknown[] = [];
  const site = startS3Site({
    url: "s3://site-bucket",
    rounds: () => rounds,
    news: {
      roundsJson: () => '{"rounds":[]}',
      startFile: (round) =>
        round === 2 ? null : `hongbaoStart({"key":${JSON.stringify(key)},"serverTime":"now"});`,
      nowMs: () => 0,
    },
    isLeading: () => leading,
    onTrouble: (error) => troubles.push(error),
  });
  t.teardown(() => site.stop());
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.equal(fake.requests, 0, "a controller that does not lead writes nothing");
  leading = true;
  await eventually(() => fake.objects.has("start/1.js"));
  t.match(fake.objects.get("start/1.js")?.body.toString(), '"key":null');
  key = "a-key-that-did-not-exist";
  await eventually(() => fake.objects.get("start/1.js")!.body.toString().includes(key!));
  t.notOk(fake.objects.has("start/2.js"), "what is not known is not published");
  fake.mishap = () => "slow-down";
  key = "another";
  await eventually(() => troubles.length > 0);
  fake.mishap = () => null;
  await eventually(() => fake.objects.get("start/1.js")!.body.toString().includes("another"));
  rounds = [];
  await eventually(() => !fake.objects.has("start/1.js"));
  t.ok(fake.objects.has("rounds.json"), "of a round that is no more only its own file goes");
});
