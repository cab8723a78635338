import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { z } from "zod";

const links = z.array(
  z.looseObject({ ifname: z.string(), addr_info: z.array(z.looseObject({ local: z.string().optional() })) }),
);

test("bridges can be made twice; addresses of a VLAN are on that VLAN's bridge only, in any spelling", () => {
  const program = join(__dirname, "bridges-program.ts");
  const text = execFileSync("unshare", ["--net", process.execPath, "--import", "tsx", program], { encoding: "utf8" });
  const addresses = Object.fromEntries(
    links.parse(JSON.parse(text)).map(({ ifname, addr_info }) => [ifname, addr_info.map(({ local }) => local).sort()]),
  );
  expect(addresses["vmbr7"]).toEqual([]);
  expect(addresses["vmbr99"]).toEqual([]);
  expect(addresses["vmbr7v30"]).toEqual(expect.arrayContaining(["10.30.0.1", "fd00:30::1", "fe80::1"]));
});
