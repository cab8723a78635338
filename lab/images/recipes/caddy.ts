import * as path from "node:path";

import type { ImageRecipe } from "../recipe";
import { BASE_LAYER, BASE_PATH } from "./base";

/** The version stands in go/caddy/go.mod; a test compares the two. */
const VERSION = "2.11.1";

/** Caddy with its standard modules, laid out as the official image (https://hub.docker.com/_/caddy). */
export const CADDY: ImageRecipe = {
  repository: "library/caddy",
  tags: [VERSION],
  layer: {
    name: "caddy",
    below: BASE_LAYER,
    program: { name: "caddy", package: ".", coldSeconds: 180 },
    files: { "etc/caddy/Caddyfile": path.join(__dirname, "caddy", "Caddyfile") },
    finish: `
      ln -s busybox "$1"/usr/bin/wget
      mkdir -p "$1"/config/caddy "$1"/data/caddy "$1"/srv "$1"/usr/share/caddy
    `,
  },
  config: {
    Env: [BASE_PATH, `CADDY_VERSION=v${VERSION}`, "XDG_CONFIG_HOME=/config", "XDG_DATA_HOME=/data"],
    Cmd: ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"],
    ExposedPorts: { "80/tcp": {}, "443/tcp": {}, "443/udp": {}, "2019/tcp": {} },
    WorkingDir: "/srv",
  },
};
