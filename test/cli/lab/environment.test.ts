import { labEnvironment } from "../../../cli/lab/environment";
import { labPaths } from "../../../cli/lab/paths";

test("nothing of the operator's own environment comes along but terminal and machines", () => {
  const outer = {
    ...{ TERM: "xterm", LANG: "C.UTF-8", HOMELAB_ACCEL: "auto" },
    ...{ HOME: "/home/me", SSH_AUTH_SOCK: "/tmp/agent", HTTPS_PROXY: "http://proxy", AWS_SECRET_ACCESS_KEY: "secret" },
    ...{ PULUMI_ACCESS_TOKEN: "pul-1", PROXMOX_VE_API_TOKEN: "real", CLOUDFLARE_API_TOKEN: "real" },
  };
  const environment = labEnvironment({
    ...{ paths: labPaths("unit"), pulumiBinDir: "/cache/bin", nodeAddress: "192.168.20.1", outer },
    ...{ apiToken: "lab-token", cloudflareToken: "lab-token", passphrase: "lab-passphrase" },
  });
  expect(environment).toMatchObject({ TERM: "xterm", LANG: "C.UTF-8", HOMELAB_ACCEL: "auto" });
  expect(environment).toMatchObject({ PROXMOX_VE_API_TOKEN: "lab-token", CLOUDFLARE_API_TOKEN: "lab-token" });
  expect(Object.keys(environment).sort()).toEqual([
    ...["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_BASE_URL", "HOME", "HOMELAB_ACCEL", "HOMELAB_LAB", "LANG"],
    ...["NODE_EXTRA_CA_CERTS", "PATH", "PROXMOX_VE_API_TOKEN", "PROXMOX_VE_ENDPOINT", "PULUMI_BACKEND_URL"],
    ...[
      "PULUMI_CONFIG_PASSPHRASE",
      "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
      "PULUMI_HOME",
      "PULUMI_OPTION_POLICY_PACK",
    ],
    ...["PULUMI_SKIP_UPDATE_CHECK", "SHELL", "SSL_CERT_FILE", "TERM", "USER"],
  ]);
});
