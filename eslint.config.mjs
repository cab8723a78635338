import pulumi from "@pulumi/eslint-plugin";
import importX from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

/** Folders and what they must not import: the borders of the architecture (docs/adr/001-borders.md). */
const borders = [
  { target: "./provider", from: ["./stacks", "./components", "./services", "./lab", "./cli", "./toolchain"] },
  { target: "./lab", from: ["./stacks", "./components", "./services", "./provider", "./cli"] },
  { target: "./lab", from: "./toolchain", except: ["./cache.ts", "./process.ts"] },
  { target: "./pve", from: ["./stacks", "./components", "./services", "./provider", "./lab", "./cli", "./toolchain"] },
  { target: "./services", from: ["./stacks", "./components", "./provider", "./lab", "./cli", "./toolchain", "./pve"] },
  { target: "./components", from: ["./stacks", "./lab", "./cli", "./toolchain", "./pve", "./provider/resources"] },
  { target: "./stacks", from: ["./lab", "./cli", "./toolchain", "./pve", "./provider/resources"] },
  { target: "./policy", from: ["./components", "./services", "./provider", "./lab", "./cli", "./toolchain", "./pve"] },
  // The form of the operator's settings, and no program: the policies judge what the programs declare.
  { target: "./policy", from: "./stacks", except: ["./config-schema.ts", "./consent.ts"] },
  { target: ["./stacks", "./components", "./services", "./provider", "./lab", "./cli", "./pve"], from: "./policy" },
  { target: "./toolchain", from: ["./stacks", "./components", "./services", "./provider", "./lab", "./cli", "./pve"] },
];

export default tseslint.config(
  { ignores: ["node_modules/", "drills/", "coverage/", ".homelab/"] },
  ...tseslint.configs.strictTypeChecked,
  {
    files: ["**/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { "import-x": importX, "@pulumi": pulumi },
    rules: {
      "import-x/no-restricted-paths": ["error", { zones: borders }],
      "@pulumi/no-output-in-template-literal": "error",
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-unnecessary-type-parameters": "off", // QMP and agent answers are typed by the caller
      "@typescript-eslint/require-await": "off", // implementations of async interfaces
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "no-restricted-syntax": [
        "error",
        { selector: "ThrowStatement > Literal", message: "Throw an Error that says what could not be done." },
      ],
    },
  },
  { files: ["**/*.mjs", "**/*.js", "**/*.cjs"], ...tseslint.configs.disableTypeChecked },
  { files: ["**/*.cjs"], rules: { "@typescript-eslint/no-require-imports": "off" } },
);
