import { createHash } from "node:crypto";

import { imageDocuments, layoutIndex } from "../../../lab/images/oci-image";

const LAYERS = [
  { name: "base", digest: `sha256:${"a".repeat(64)}`, sizeBytes: 10 },
  { name: "app", digest: `sha256:${"b".repeat(64)}`, sizeBytes: 20 },
];
const CONFIG = { Env: ["PATH=/bin"], Cmd: ["app"], ExposedPorts: { "80/tcp": {} } };

function digestOf(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

describe("imageDocuments", () => {
  const { config, manifest } = imageDocuments(CONFIG, LAYERS);

  it("names each document by the digest of its content", () => {
    expect(config.digest).toBe(digestOf(config.content));
    expect(manifest.digest).toBe(digestOf(manifest.content));
  });

  it("lists the layers from the bottom up in both documents", () => {
    expect(JSON.parse(manifest.content.toString())).toEqual({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: config.digest,
        size: config.content.length,
      },
      layers: [
        { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: LAYERS[0]?.digest, size: 10 },
        { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: LAYERS[1]?.digest, size: 20 },
      ],
    });
    expect(JSON.parse(config.content.toString())).toMatchObject({
      architecture: "amd64",
      os: "linux",
      config: CONFIG,
      rootfs: { type: "layers", diff_ids: LAYERS.map((layer) => layer.digest) },
    });
  });

  it("gives the same digest each time, and another for another configuration", () => {
    expect(imageDocuments(CONFIG, LAYERS).manifest.digest).toBe(manifest.digest);
    expect(imageDocuments({ ...CONFIG, User: "1" }, LAYERS).manifest.digest).not.toBe(manifest.digest);
  });

  it("indexes images by their reference", () => {
    const index = JSON.parse(layoutIndex({ "library/app:1": manifest })) as { manifests: unknown[] };
    expect(index.manifests).toEqual([
      expect.objectContaining({
        digest: manifest.digest,
        size: manifest.content.length,
        annotations: { "org.opencontainers.image.ref.name": "library/app:1" },
      }),
    ]);
  });
});
