import { secretsIn } from "./secret-search";

const secrets = { token: "3f2b8c1e-7d64-4a0b", other: "not in any of these" };

test.each([
  ["as it is", "PVEAPIToken=a@b!c=3f2b8c1e-7d64-4a0b;"],
  ["Base64", Buffer.from("3f2b8c1e-7d64-4a0b").toString("base64")],
  ["Base64, one byte on", Buffer.from("=3f2b8c1e-7d64-4a0b and more").toString("base64")],
  ["Base64, two bytes on", Buffer.from("==3f2b8c1e-7d64-4a0b and more").toString("base64")],
])("finds a secret: %s", (_how, text) => {
  expect(secretsIn(text, secrets)).toEqual(["token"]);
});

test("finds one that an address has to encode", () => {
  expect(secretsIn("https://user:p%40ss%20w%2Frd@host/", { password: "p@ss w/rd" })).toEqual(["password"]);
});

test("finds none where there is none, and refuses one that could be anything", () => {
  expect(secretsIn("3f2b8c1e", secrets)).toEqual([]);
  expect(() => secretsIn("", { empty: "" })).toThrow("too short");
});
