import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";

/** One name that must resolve. */
export interface NamedRoute {
  /** Service behind the name; part of the logical name. */
  readonly service: string;
  /** Full host name. */
  readonly hostName: string;
  readonly exposure: "lan" | "public";
}

export interface DnsRecordsArgs {
  /** Cloudflare's id of the zone. */
  zoneId: pulumi.Input<string>;
  routes: readonly NamedRoute[];
  /** Address of the Docker VM, for routes of the LAN. */
  lanAddress: pulumi.Input<string>;
  /** IPv6 address of the Docker VM; absent: routes of the LAN get no AAAA record. */
  lanAddress6?: pulumi.Input<string>;
  /** Address that public routes point to; needed as soon as there is one. */
  publicAddress?: pulumi.Input<string>;
}

const TOKEN = "homelab:components:DnsRecords";

/** Cloudflare's "automatic", the only value that it accepts for proxied records. */
const AUTOMATIC_TTL = 1;
const LAN_TTL_SECONDS = 300;

/**
 * One address record for each route: the VM itself for the LAN, the public address behind Cloudflare's proxy else. A VM with an
 * IPv6 address gets an AAAA record for each route of the LAN; Cloudflare's proxy speaks IPv6 by itself.
 */
export class DnsRecords extends pulumi.ComponentResource {
  constructor(name: string, args: DnsRecordsArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    for (const route of args.routes) {
      const isPublic = route.exposure === "public";
      const content = isPublic ? args.publicAddress : args.lanAddress;
      if (content === undefined) {
        throw new pulumi.ResourceError(
          `Unable to declare the record ${route.hostName}: no public address is given. Set dns.publicAddress.`,
          this,
          true,
        );
      }
      const record = (suffix: string, type: string, address: pulumi.Input<string>): void => {
        new cloudflare.DnsRecord(
          `${name}-${route.service}${suffix}`,
          {
            zoneId: args.zoneId,
            name: route.hostName,
            type,
            content: address,
            ttl: isPublic ? AUTOMATIC_TTL : LAN_TTL_SECONDS,
            proxied: isPublic,
            comment: `Service ${route.service} of the homelab. Managed by Pulumi.`,
          },
          { parent: this },
        );
      };
      record("", "A", content);
      if (!isPublic && args.lanAddress6 !== undefined) record("-ipv6", "AAAA", args.lanAddress6);
    }
    this.registerOutputs({});
  }
}
