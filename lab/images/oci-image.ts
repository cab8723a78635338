/**
 * Image manifests and configurations as the OCI image specification 1.1 has them. Nothing in them depends on when or where
 * they were made, so equal recipes give equal digests.
 */
import { sha256Of } from "./digest";
import type { ImageConfig } from "./recipe";

const EPOCH = "1970-01-01T00:00:00Z";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

/** A blob of a registry: content and its digest with the `sha256:` prefix. */
export interface Blob {
  digest: string;
  content: Buffer;
}

/** What an image consists of besides its layers' archives. */
export interface ImageDocuments {
  config: Blob;
  manifest: Blob;
}

/** One layer as a manifest names it; the archive isn't compressed, so its digest is also its diff id. */
export interface LayerReference {
  name: string;
  digest: string;
  sizeBytes: number;
}

/** Makes the configuration and the manifest of an image for linux/amd64, the layers from the bottom up. */
export function imageDocuments(config: ImageConfig, layers: readonly LayerReference[]): ImageDocuments {
  const configBlob = jsonBlob({
    created: EPOCH,
    architecture: "amd64",
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.digest) },
    history: layers.map((layer) => ({ created: EPOCH, created_by: `homelab image layer ${layer.name}` })),
  });
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: configBlob.digest, size: configBlob.content.length },
    layers: layers.map(({ digest, sizeBytes }) => ({ mediaType: LAYER_TYPE, digest, size: sizeBytes })),
  });
  return { config: configBlob, manifest };
}

/** The index of an OCI layout: all images by their reference. */
export function layoutIndex(images: Readonly<Record<string, Blob>>): string {
  const manifests = Object.entries(images).map(([reference, manifest]) => ({
    mediaType: MANIFEST_TYPE,
    digest: manifest.digest,
    size: manifest.content.length,
    annotations: { "org.opencontainers.image.ref.name": reference },
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests });
}

function jsonBlob(document: unknown): Blob {
  const content = Buffer.from(JSON.stringify(document));
  return { digest: `sha256:${sha256Of(content)}`, content };
}
