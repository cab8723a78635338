import { renderCaddyfile } from "../../components/caddyfile";

test("one site for each route, sorted by host name", () => {
  const caddyfile = renderCaddyfile([
    { hostName: "rss.example.net", service: "miniflux", port: 8080 },
    { hostName: "cal.example.net", service: "radicale", port: 5232 },
  ]);
  expect(caddyfile).toBe(
    [
      "# Generated from services/*.ts; edits are overwritten.",
      "{",
      "\tskip_install_trust",
      "}",
      "",
      "cal.example.net {",
      "\ttls internal",
      "\treverse_proxy radicale:5232",
      "}",
      "",
      "rss.example.net {",
      "\ttls internal",
      "\treverse_proxy miniflux:8080",
      "}",
      "",
    ].join("\n"),
  );
});

test("without routes it is still a file that Caddy accepts", () => {
  expect(renderCaddyfile([])).toBe(
    "# Generated from services/*.ts; edits are overwritten.\n{\n\tskip_install_trust\n}\n",
  );
});
