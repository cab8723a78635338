/**
 * `node toolchain/bootstrap.mjs SCRIPT ARGS…`: the first thing that every command of package.json runs. It needs nothing
 * but Node: on a fresh clone it installs the npm packages, then it runs SCRIPT as TypeScript with stdio, signals and exit
 * code passed through. SCRIPT is relative to the project, so that it can be called from any directory.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const MINIMUM = [20, 19];
const self = fileURLToPath(import.meta.url);
const root = path.dirname(path.dirname(self));
const lockFile = path.join(root, "package-lock.json");
const modules = path.join(root, "node_modules");
const stamp = path.join(modules, ".homelab-lock-hash");

checkNode();
if (process.argv[2] === "--install-packages") installPackages();
else bootstrap(process.argv.slice(2));

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1])) return;
  fail(`Unable to start: Node ${process.versions.node} is too old. Install Node ${MINIMUM.join(".")} or newer.`);
}

function bootstrap(args) {
  if (args.length === 0) fail("Unable to start: no script was named. Use `npm start` or `npm test`.");
  if (!isInstalled()) lockedInstall();
  const [script, ...rest] = args;
  const tsx = pathToFileURL(createRequire(path.join(root, "package.json")).resolve("tsx")).href;
  const command = ["--import", tsx, path.resolve(root, script), ...rest];
  const child = spawn(process.execPath, command, { stdio: "inherit" });
  // The terminal sends its signals to the child too; a signal to this process alone is passed on.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) {
    process.on(signal, () => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => fail(`Unable to start ${script}: ${error.message}.`));
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    // End as the child ended, so that a shell sees the same.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** Runs the installation under a lock of the kernel's; without `flock` (not Linux) without one. */
function lockedInstall() {
  const { HOMELAB_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  const base = XDG_CACHE_HOME && path.isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : path.join(homedir(), ".cache");
  const cache = HOMELAB_CACHE_DIR || path.join(base, "homelab");
  mkdirSync(cache, { recursive: true });
  const lock = path.join(cache, `npm-${hash(root).slice(0, 12)}.lock`);
  const command = [process.execPath, self, "--install-packages"];
  let result = spawnSync("flock", [lock, ...command], { stdio: "inherit" });
  if (result.error?.code === "ENOENT") result = spawnSync(command[0], command.slice(1), { stdio: "inherit" });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** Whether node_modules is what package-lock.json says. */
function isInstalled() {
  if (!existsSync(path.join(modules, "tsx"))) return false;
  const wanted = hash(readFileSync(lockFile));
  if (existsSync(stamp) && readFileSync(stamp, "utf8").trim() === wanted) return true;
  if (!matchesHiddenLock()) return false;
  writeFileSync(stamp, `${wanted}\n`);
  return true;
}

/** npm notes what it installed in node_modules/.package-lock.json: an `npm install` by hand is as good as ours. */
function matchesHiddenLock() {
  const hidden = path.join(modules, ".package-lock.json");
  if (!existsSync(hidden)) return false;
  const wanted = JSON.parse(readFileSync(lockFile, "utf8")).packages;
  const present = JSON.parse(readFileSync(hidden, "utf8")).packages;
  const missing = Object.entries(wanted).filter(
    ([name, entry]) => name !== "" && !entry.optional && !entry.link && present[name]?.version !== entry.version,
  );
  const surplus = Object.keys(present).filter((name) => wanted[name] === undefined);
  return missing.length === 0 && surplus.length === 0;
}

function installPackages() {
  if (isInstalled()) return; // another run did it while this one waited for the lock
  const start = Date.now();
  console.error("installing the npm packages of package-lock.json …");
  // Not `npm ci`: it refuses a lock file that was made where some packages for other platforms can't be had.
  const args = ["install", "--no-save", "--no-fund", "--no-audit", "--loglevel=error"];
  const npm = spawnSync("npm", args, { cwd: root, stdio: "inherit" });
  if (npm.error) fail(`Unable to install the npm packages: ${npm.error.message}. Install npm, which comes with Node.`);
  if (npm.status !== 0) {
    fail(
      "Unable to install the npm packages: npm install failed (see above). Check that the npm registry is reachable.",
    );
  }
  if (!matchesHiddenLock()) {
    fail(
      "Unable to install the npm packages: package-lock.json doesn't fit package.json. Run `npm install` and commit it.",
    );
  }
  writeFileSync(stamp, `${hash(readFileSync(lockFile))}\n`);
  console.error(`installing the npm packages: done in ${Math.round((Date.now() - start) / 1000)} s`);
}

function hash(content) {
  return createHash("sha256").update(content).digest("hex");
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
