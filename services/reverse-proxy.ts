import type { ServiceSpec } from "./spec";

const CONFIG_PATH = "/etc/caddy/Caddyfile";

/**
 * Starts with a file that serves nothing when the volume is empty. The real one is loaded into the running proxy and
 * stays in the volume, so that a restored VM serves with the configuration that the backup holds.
 */
const START = `
test -s ${CONFIG_PATH} || printf '%s\\n' ':80 {' '  respond 503' '}' > ${CONFIG_PATH}
exec caddy run --config ${CONFIG_PATH} --adapter caddyfile
`.trim();

/** The one way in from outside: HTTPS for every service that has a route. */
export default {
  name: "reverse-proxy",
  purpose: "Serves every route of the catalogue over HTTPS with certificates of its own authority.",
  image: "caddy:2.11.1",
  entrypoint: ["sh", "-c", START],
  ports: [
    { hostPort: 80, containerPort: 80 },
    { hostPort: 443, containerPort: 443 },
  ],
  volumes: [
    { volume: "reverse-proxy-etc", path: "/etc/caddy" },
    { volume: "reverse-proxy-data", path: "/data" },
    { volume: "reverse-proxy-config", path: "/config" },
  ],
  healthCheck: {
    // The administration interface answers as soon as a configuration is loaded, whatever it serves.
    command: ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:2019/config/"],
    intervalSeconds: 15,
    timeoutSeconds: 10,
    retries: 5,
    startPeriodSeconds: 120,
  },
  reverseProxy: { rootCertificatePath: "/data/caddy/pki/authorities/local/root.crt" },
  // The root key in /data is what clients trust; another root would have to be handed out to all of them.
  data: "essential",
} satisfies ServiceSpec;
