import type { PolicyValue } from "../../policy/resource";
import { changed, committedFacts, committedResources, judge } from "./judged";

const drill = committedResources("drill");
const facts = committedFacts("drill");

test("the committed drill passes", () => {
  expect(judge(drill, facts)).toEqual([]);
});

describe("what is production's", () => {
  const text = (name: string, key: string, value: string): string =>
    `Unable to accept ${name} in the drill: its ${key} ${value} is production's (homelab:dockerVm). ` +
    "Give the drill one of its own under homelab:drill in Pulumi.drill.yaml.";
  const run = drill.find(({ name }) => name === "drill-vm")?.properties["run"] as Record<string, PolicyValue>;

  test.each<[string, string, string, Record<string, PolicyValue>]>([
    ["drill-lease", "vmId", "200", { vmId: 200 }],
    ["drill-lease", "vmName", '"docker"', { vmName: "docker" }],
    ["drill-vm", "isolatedBridge", '"vmbr0"', { isolatedBridge: "vmbr0" }],
    ["drill-vm", "vmId", "200", { run: { ...run, vmId: 200 } }],
    ["drill-boot", "vmName", '"docker"', { run: { ...run, vmName: "docker" } }],
  ])("%s: %s %s", (name, key, value, properties) => {
    expect(judge(changed(drill, name, /^homelab:/, { properties }), facts)).toEqual([
      ["drill-apart", name, text(name, key, value)],
    ]);
  });

  test.each([
    ["a record", "cloudflare:index/dnsRecord:DnsRecord"],
    ["a container", "docker:index/container:Container"],
    ["a VM", "proxmoxve:index/vmLegacy:VmLegacy"],
    ["a resource of production", "homelab:prod:ProxyConfig"],
  ])("%s", (_, type) => {
    const verdicts = judge(changed(drill, "verdict", /^homelab:/, { type }), facts).filter(
      ([rule]) => rule === "drill-apart",
    );
    expect(verdicts).toEqual([
      [
        "drill-apart",
        "verdict",
        `Unable to accept verdict (${type}) in the drill: a drill makes nothing but its own VM, and what else it declared would ` +
          "be production's. Declare it in stacks/prod.ts.",
      ],
    ]);
  });
});
