/**
 * `node -r` of this file loads TypeScript: Pulumi's program and the plugin start with it. esbuild strips the types, once for
 * each content of a file; the JavaScript stays in the cache. All other modules are left to Node, unlike with tsx, whose
 * thread, hooks and source maps of the SDKs took longer than all the rest of a start.
 */
"use strict";
const { createHash, randomBytes } = require("node:crypto");
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const Module = require("node:module");
const { homedir } = require("node:os");
const path = require("node:path");
const sourceMaps = require("source-map-support");

require("./lazy-modules.cjs");

const options = {
  loader: "ts",
  format: "cjs",
  target: "node20",
  tsconfigRaw: readFileSync(path.join(__dirname, "..", "tsconfig.json"), "utf8"),
  supported: { "dynamic-import": false }, // `import()` becomes `require`, so that it loads TypeScript too
  sourcemap: "inline",
  sourcesContent: false,
};
/** Whatever makes other JavaScript of the same TypeScript. */
const compiler = JSON.stringify([options, require("esbuild/package.json").version]);
const cache = path.join(cacheDir(), "typescript");
/** JavaScript by file. */
const loaded = new Map();

Module._extensions[".ts"] = (module, file) => {
  const code = toJavaScript(readFileSync(file, "utf8"), file);
  loaded.set(file, code);
  module._compile(code, file);
};

// Pulumi's program has it installed as well; both share this package, and so its list of sources.
sourceMaps.install({ environment: "node", handleUncaughtExceptions: false, retrieveSourceMap });

function toJavaScript(source, file) {
  const cached = path.join(cache, `${createHash("sha256").update(compiler).update(source).digest("hex")}.js`);
  try {
    return readFileSync(cached, "utf8");
  } catch {
    const { code } = require("esbuild").transformSync(source, { ...options, sourcefile: file });
    keep(cached, code);
    return code;
  }
}

/** Takes its place only when it is whole. Where nothing can be written, each start compiles. */
function keep(file, text) {
  try {
    mkdirSync(cache, { recursive: true });
    const partial = `${file}.${randomBytes(6).toString("hex")}`;
    writeFileSync(partial, text);
    renameSync(partial, file);
  } catch {
    // The cache only saves time.
  }
}

/** For the lines of stack traces. */
function retrieveSourceMap(file) {
  const [, base64] = loaded.get(file)?.match(/\n\/\/# sourceMappingURL=data:application\/json;base64,(\S+)\s*$/) ?? [];
  if (base64 === undefined) return null;
  // The same content may have been compiled as another file.
  return { url: file, map: { ...JSON.parse(Buffer.from(base64, "base64").toString()), sources: [file] } };
}

/** As in cache.ts, which can't be loaded yet. */
function cacheDir() {
  const { HOMELAB_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  if (HOMELAB_CACHE_DIR) return path.resolve(HOMELAB_CACHE_DIR);
  const base = XDG_CACHE_HOME && path.isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : path.join(homedir(), ".cache");
  return path.join(base, "homelab");
}
