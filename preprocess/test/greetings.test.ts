import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { readGreetings, Unreachable } from "../src/index.ts";
import { temporaryDir } from "./fixtures.ts";

t.test("reads one greeting a line and leaves blank lines out", async (t) => {
  const path = join(temporaryDir(t), "greetings.txt");
  writeFileSync(path, "\ufeff恭喜发财\r\n\r\n  Happy 🐉 New Year \n");
  t.same(readGreetings(path), ["恭喜发财", "Happy 🐉 New Year"]);
  t.same(readGreetings(null), [""], "no file: one empty greeting");
});

t.test("refuses what is no list of greetings", async (t) => {
  const path = join(temporaryDir(t), "greetings.txt");
  const refuse = (content: string | Buffer, message: RegExp): void => {
    writeFileSync(path, content);
    t.throws(() => readGreetings(path), { message, exitCode: 2 });
  };
  refuse("\n\n", /greetings\.txt: found 0 greetings, expected 1 to 65535/);
  refuse(`a\n${"x".repeat(201)}\n`, /greetings\.txt:2: found "x+.*expected at most 200/);
  refuse("a\nb\u0000c\n", /greetings\.txt:2: found "b\\u0000c"/);
  refuse(Buffer.from([0xff, 0xfe, 0x0a]), /greetings\.txt: found bytes that are not UTF-8/);
  refuse("x\n".repeat(65_536), /found 65536 greetings/);
  t.throws(() => readGreetings(`${path}.none`), Unreachable);
});
