import { sshOptions } from "../../components/docker-engine";
import { goDuration, nfsOptions } from "../../components/service";

test.each([
  [0, "0s"],
  [15, "15s"],
  [60, "1m0s"],
  [90, "1m30s"],
  [3600, "1h0m0s"],
  [3661, "1h1m1s"],
])("%d seconds are %s in Go", (seconds, text) => {
  expect(goDuration(seconds)).toBe(text);
});

test("the Docker provider's ssh accepts only the recorded host key and asks nobody", () => {
  const options = sshOptions({
    address: "192.168.20.200",
    user: "homelab",
    privateKeyFile: "~/.ssh/id_ed25519",
    knownHostsFile: "~/.homelab/known_hosts",
  });
  expect(options.slice(0, 2)).toEqual(["-i", "~/.ssh/id_ed25519"]);
  expect(options.filter((option) => option !== "-o").slice(2)).toEqual([
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "StrictHostKeyChecking=yes",
    "UserKnownHostsFile=~/.homelab/known_hosts",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ControlMaster=auto",
    "ControlPath=~/.homelab/ssh-%C",
    "ControlPersist=60",
  ]);
});

test("a NAS that is away gives up soon: the operator's options come last and win", () => {
  expect(nfsOptions({ server: "192.168.20.10", export: "/tank/media" })).toEqual({
    type: "nfs",
    o: "addr=192.168.20.10,soft,timeo=50,retrans=1,nfsvers=4",
    device: ":/tank/media",
  });
  expect(nfsOptions({ server: "fd00::10", export: "/m", options: "ro,timeo=100" })["o"]).toBe(
    "addr=fd00::10,soft,timeo=50,retrans=1,ro,timeo=100",
  );
});
