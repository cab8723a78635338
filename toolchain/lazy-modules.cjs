/**
 * Puts off what the SDKs load at each start and this project never uses: with it, loading them takes half the processor time.
 * The first use of such a module loads it, so that nothing is missing.
 */
"use strict";
const Module = require("node:module");

/** By the text of the `require`, which package it stands in. */
const LAZY = new Map([
  // Both only turn functions into text, for dynamic providers and callbacks that run in the cloud.
  ["../../typescript-shim", "@pulumi/pulumi"],
  ["@npmcli/arborist", "@pulumi/pulumi"],
  // Error texts in some forty languages.
  ["../locales/index.cjs", "zod"],
]);

const load = Module._load;
Module._load = function (request, parent, isMain) {
  const holder = LAZY.get(request);
  if (holder === undefined || !parent?.filename?.includes(`/node_modules/${holder}/`)) {
    return load(request, parent, isMain);
  }
  return lazy(() => load(request, parent, isMain));
};

function lazy(loadModule) {
  let loaded;
  const real = () => (loaded ??= loadModule());
  return new Proxy(
    {},
    {
      // Whoever compiled code asks this of takes the module as it is; else all of it would be copied, and so loaded.
      get: (_target, name) => (name === "__esModule" ? true : Reflect.get(real(), name)),
      has: (_target, name) => Reflect.has(real(), name),
      ownKeys: () => Reflect.ownKeys(real()),
      getOwnPropertyDescriptor: (_target, name) => {
        const property = Reflect.getOwnPropertyDescriptor(real(), name);
        return property && { ...property, configurable: true };
      },
    },
  );
}
