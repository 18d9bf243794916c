import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { bringFile, bringFolderOf, bringPack, sendPack, sign } from "../../src/index.ts";
import { startFakeAws } from "./fake-aws.ts";

const dir = mkdtempSync(join(tmpdir(), "hongbao-bring-"));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
process.env.HONGBAO_WORK = join(dir, "work");
const fake = await startFakeAws(t);
const put = (key: string, text: string): unknown =>
  fake.objects.set(key, { body: Buffer.from(text), etag: `"${text.length}"` });

t.test("signatures are AWS's own example's", async (t) => {
  // docs.aws.amazon.com, Amazon S3 API reference, "Examples: signature calculations", GET Object.
  const signed = sign({
    method: "GET",
    url: new URL("https://examplebucket.s3.amazonaws.com/test.txt"),
    headers: { range: "bytes=0-9" },
    body: "",
    service: "s3",
    region: "us-east-1",
    credentials: {
      accessKeyId: "AKIAIOSFODNN7EXAMPLE",
      secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
      sessionToken: null,
    },
    now: new Date("2013-05-24T00:00:00Z"),
  });
  t.match(signed.authorization, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
});

t.test("a file, and a file with what lies beside it", async (t) => {
  put("topology.yaml", "slots: 1024");
  t.equal(readFileSync(await bringFile("s3://bucket/topology.yaml"), "utf8"), "slots: 1024");
  put("input/event.yaml", "event: x");
  put("input/users.csv", "id,name,group");
  put("input/more/deep.txt", "not beside it");
  const event = await bringFolderOf("s3://bucket/input/event.yaml");
  t.equal(readFileSync(event, "utf8"), "event: x");
  t.same(readdirSync(join(event, "..")).sort(), ["event.yaml", "users.csv"]);
  await t.rejects(bringFile("s3://bucket/none"), {
    exitCode: 3,
    message: /s3:\/\/bucket\/none is not there/,
  });
});

t.test("a pack whose files do not have its digests is refused, and leaves nothing behind", async (t) => {
  const pack = join(dir, "pack");
  const from = mkdtempSync(join(dir, "from-"));
  writeFileSync(join(from, "SHA256SUMS"), "0000  pack.json\n");
  writeFileSync(join(from, "pack.json"), "{}");
  t.equal(await bringPack("s3://bucket/pack", pack), false, "there is none yet");
  await sendPack(from, "s3://bucket/pack");
  t.equal([...fake.objects.keys()].at(-1), "pack/SHA256SUMS", "the digests are sent last");
  await t.rejects(bringPack("s3://bucket/pack", pack), { exitCode: 2, message: /SHA256SUMS|damaged/ });
  t.same(
    readdirSync(dir).filter((name) => name.startsWith("pack")),
    [],
  );
});
