import type { ImageRecipe } from "../recipe";
import { BASE_LAYER, BASE_PATH } from "./base";

/** The version stands in go/miniflux/go.mod; a test compares the two. */
const VERSION = "2.2.10";

/** Miniflux, laid out as the official image (https://hub.docker.com/r/miniflux/miniflux). */
export const MINIFLUX: ImageRecipe = {
  repository: "miniflux/miniflux",
  tags: [VERSION],
  layer: {
    name: "miniflux",
    below: BASE_LAYER,
    program: {
      name: "miniflux",
      package: "miniflux.app/v2",
      variables: { "miniflux.app/v2/internal/version.Version": VERSION },
      coldSeconds: 60,
    },
    finish: `ln -s busybox "$1"/usr/bin/wget`,
  },
  config: {
    User: "65534",
    Env: [BASE_PATH, "LISTEN_ADDR=0.0.0.0:8080"],
    Cmd: ["/usr/bin/miniflux"],
    ExposedPorts: { "8080/tcp": {} },
  },
};
