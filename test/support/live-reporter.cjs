/** Prints each test when it ends, so that a person who waits minutes for machines sees where it is. */
class LiveReporter {
  onTestFileStart(test) {
    console.log(`  ${relative(test)}`);
  }

  onTestCaseStart(_test, { ancestorTitles, title, startedAt }) {
    if (process.env.HOMELAB_SHOW_TEST_STARTS === "1") {
      const time = new Date(startedAt ?? Date.now()).toISOString().slice(11, 19);
      console.log(`    … ${[...ancestorTitles, title].join(" › ")} (since ${time})`);
    }
  }

  onTestCaseResult(_test, { ancestorTitles, title, status, duration, failureMessages }) {
    const mark = { passed: "✓", failed: "✗" }[status] ?? "○";
    const seconds = (duration ?? 0) >= 1000 ? ` (${Math.round(duration / 1000)} s)` : "";
    console.log(`    ${mark} ${[...ancestorTitles, title].join(" › ")}${seconds}`);
    for (const message of failureMessages) console.log(message.replace(/^/gm, "        "));
  }

  onTestFileResult(_test, { testExecError, testFilePath }) {
    if (testExecError)
      console.log(`    ✗ ${testFilePath} can't be run\n${testExecError.stack ?? testExecError.message}`);
  }
}

function relative(test) {
  return test.path.slice(test.context.config.rootDir.length + 1);
}

module.exports = LiveReporter;
