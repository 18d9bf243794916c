import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { BadInput, readUsers, scanUsers, Unreachable, UserRecords } from "../src/index.ts";
import type { User } from "../src/index.ts";
import { temporaryDir } from "./fixtures.ts";

const HEADER = "id,name,group\n";

t.test("reads users with odd names", async (t) => {
  const path = join(temporaryDir(t), "users.csv");
  const names = [
    "张伟",
    "Smith, Anna",
    'Wang "Amy" Min',
    "Zhang 🐉 Long",
    "O'Brien",
    "",
    " blanks ",
    "Nguyễn",
  ];
  const lines = names.map((name, i) => `u${i},"${name.replaceAll('"', '""')}",staff\n`);
  writeFileSync(path, HEADER + lines.join(""));
  const users: (User & { line: number })[] = [];
  await scanUsers(path, (user, line) => users.push({ ...user, line }));
  t.same(
    users,
    names.map((name, i) => ({ id: `u${i}`, name, group: "staff", line: i + 2 })),
  );
});

t.test("tolerates a byte order mark, CRLF, blank lines, and no line end at the end", async (t) => {
  const path = join(temporaryDir(t), "users.csv");
  writeFileSync(path, "\ufeffid,name,group\r\nu1,甲,staff\r\n\r\nu2,乙,\r\nU1,丙,family");
  const { groups, records } = await readUsers(path);
  t.same(groups, ["staff", "", "family"]);
  t.same(
    [...records],
    [
      { id: "u1", group: 0 },
      { id: "u2", group: 1 },
      { id: "U1", group: 2 },
    ],
  );
});

t.test("a list larger than a piece of the file is read whole", async (t) => {
  const path = join(temporaryDir(t), "users.csv");
  const lines = Array.from({ length: 30_000 }, (_each, i) => `user-${i},"名字, ${i}",g${i % 7}\n`);
  writeFileSync(path, HEADER + lines.join(""));
  const { groups, records } = await readUsers(path);
  t.equal(records.size, 30_000);
  t.equal(groups.length, 7);
  t.equal(records.groupOf("user-29999"), 29_999 % 7);
  t.equal(records.indexOf("user-29999"), 29_999);
  t.equal(records.groupOf("user-30000"), -1);
});

const REFUSALS: Record<string, [string | Buffer, RegExp]> = {
  "a duplicate id": [
    `${HEADER}u1,a,g\nu2,b,g\n\nu1,c,g\n`,
    /users\.csv:5: id: found "u1" again \(also line 2\), expected each user once/,
  ],
  "a duplicate id with CRLF": [
    "id,name,group\r\nu1,a,g\r\nu2,b,g\r\nu2,c,g\r\n",
    /users\.csv:4: id: found "u2" again \(also line 3\)/,
  ],
  "an id with a blank": [`${HEADER}u1,a,g\nu 2,b,g\n`, /users\.csv:3: id: found "u 2", expected 1 to 64 of/],
  "an id in Chinese": [`${HEADER}张三,a,g\n`, /users\.csv:2: id: found "张三"/],
  "an id of 65 characters": [`${HEADER}${"x".repeat(65)},a,g\n`, /users\.csv:2: id: found "x+/],
  "no id": [`${HEADER},a,g\n`, /users\.csv:2: id: found "", expected/],
  "an empty file": ["", /users\.csv: is empty, expected a first line id,name,group/],
  "a header alone": [HEADER, /users\.csv: found a header and no users/],
  "another header": [
    "id,group,name\nu1,g,a\n",
    /users\.csv:1: found the header "id,group,name", expected id,name,group/,
  ],
  "no header": ["u1,a,g\n", /users\.csv:1: found the header "u1,a,g"/],
  "two columns": [`${HEADER}u1,a,g\nu2,b\n`, /users\.csv:3: found 2 columns, expected 3/],
  "four columns": [`${HEADER}u1,Smith, Anna,g\n`, /users\.csv:2: found 4 columns, expected 3/],
  "a quote that is not closed": [
    `${HEADER}u1,a,g\nu2,"b,g\n${"u3,c,g\n".repeat(2000)}`,
    /users\.csv:3: found a quote that is not closed/,
  ],
  "a quote that is not closed at the end": [
    `${HEADER}u1,"a,g\n`,
    /users\.csv:2: found a quote that is not closed/,
  ],
  "a quote inside a name": [`${HEADER}u1,a"b,g\n`, /users\.csv:2: found Invalid Opening Quote/],
  "a name over two lines": [
    `${HEADER}u1,"a\nb",g\n`,
    /users\.csv:3: name: found "a\\nb", expected .*closing quote/,
  ],
  "a name without end": [`${HEADER}u1,${"a".repeat(201)},g\n`, /users\.csv:2: name: .*at most 200/],
  "a control character in a group": [`${HEADER}u1,a,g\u0007\n`, /users\.csv:2: group: found/],
  "bytes that are not UTF-8": [
    Buffer.concat([Buffer.from(`${HEADER}u1,张,g\nu2,`), Buffer.from([0xd5, 0xc5]), Buffer.from(",g\n")]),
    /users\.csv:3: found bytes that are not UTF-8/,
  ],
  "a character cut at the end": [
    Buffer.concat([Buffer.from(`${HEADER}u1,`), Buffer.from([0xe5, 0xbc])]),
    /users\.csv:2: found bytes that are not UTF-8/,
  ],
};

for (const [what, [content, message]] of Object.entries(REFUSALS)) {
  t.test(`refuses ${what}`, async (t) => {
    const path = join(temporaryDir(t), "users.csv");
    writeFileSync(path, content);
    await t.rejects(readUsers(path), { message, exitCode: 2 });
    await t.rejects(readUsers(path), BadInput);
  });
}

t.test("a list that is not there is not reachable", async (t) => {
  const dir = temporaryDir(t);
  await t.rejects(readUsers(join(dir, "users.csv")), Unreachable);
  await t.rejects(readUsers(dir), Unreachable);
});

t.test("records find what was added and nothing else, whatever the IDs", async () => {
  const id = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);
  const users = fc.uniqueArray(fc.record({ id, group: fc.nat({ max: 65_535 }) }), {
    selector: (user) => user.id,
  });
  fc.assert(
    fc.property(users, id, (list, stranger) => {
      const records = new UserRecords(0);
      const areNew = list.every((user) => records.add(user.id, user.group));
      const areKnown = list.every(
        (user) => !records.add(user.id, 0) && records.groupOf(user.id) === user.group,
      );
      const isStrange = list.some((user) => user.id === stranger) || records.groupOf(stranger) === -1;
      const copy = UserRecords.fromFile(Buffer.from(records.toFile()), "users-b0.bin");
      return areNew && areKnown && isStrange && JSON.stringify([...copy]) === JSON.stringify(list);
    }),
  );
});

t.test("a users file that is cut, too long or has a user twice is refused", async (t) => {
  const records = new UserRecords();
  for (const id of ["u1", "u2"]) records.add(id, 0);
  const bytes = Buffer.from(records.toFile());
  const twice = Buffer.from(bytes);
  twice.write("u1", 4 + 5 + 1, "latin1");
  const longer = Buffer.concat([bytes, bytes.subarray(4)]);
  for (const bad of [Buffer.alloc(0), bytes.subarray(0, 3), bytes.subarray(0, -1), twice, longer]) {
    t.throws(() => UserRecords.fromFile(bad, "users-b0.bin"), {
      message: /users-b0\.bin: found a damaged record/,
    });
  }
});
