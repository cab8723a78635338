const common = {
  testEnvironment: "node",
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { target: "es2022", parser: { syntax: "typescript" } }, module: { type: "commonjs" } },
    ],
  },
  rootDir: __dirname,
};

/** `unit`: pure code and mocks, no network, seconds. `lab`: real machines in one shared lab, in one process. */
module.exports = {
  projects: [
    {
      ...common,
      displayName: "unit",
      testMatch: ["<rootDir>/test/**/*.test.ts"],
      testPathIgnorePatterns: ["\\.lab\\.test\\.ts$"],
    },
    { ...common, displayName: "lab", testMatch: ["<rootDir>/test/**/*.lab.test.ts"] },
  ],
};
