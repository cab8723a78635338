import { proofTarget } from "../../../cli/rehearsal/proof-target";
import { loadCatalogue } from "../../../services/catalogue";

test("the catalogue's Miniflux is written to by the names that stand in its file", () => {
  expect(proofTarget(loadCatalogue(), "example.net")).toEqual({
    ...{ url: "https://rss.example.net", adminUser: "admin", passwordKey: "minifluxAdminPassword" },
    ...{ container: "postgres", database: "miniflux", user: "homelab" },
  });
});

test("a catalogue without one, or with one that is cut off, has no place to write to", () => {
  const catalogue = loadCatalogue();
  expect(
    proofTarget(
      catalogue.filter(({ name }) => name !== "miniflux"),
      "example.net",
    ),
  ).toBeUndefined();
  expect(
    proofTarget(
      catalogue.map((spec) => ({ ...spec, inDrill: "cut-off" })),
      "example.net",
    ),
  ).toBeUndefined();
});
