// Command pulumi-resource-proxmoxve serves bpg/terraform-provider-proxmox as the Pulumi provider "proxmoxve".
package main

import (
	"context"
	_ "embed"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"homelab.local/toolchain/pulumi-resource-proxmoxve/bridge"
)

// Both files are written by ./tfgen before this program is compiled.
var (
	//go:embed schema.json
	schema []byte
	//go:embed bridge-metadata.json
	metadata []byte
)

func main() {
	tfbridge.MainWithMuxer(context.Background(), bridge.Package, bridge.Provider(metadata), schema)
}
