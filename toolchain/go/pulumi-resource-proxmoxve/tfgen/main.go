// Command tfgen writes the Pulumi schema and the bridge's metadata that the plugin embeds.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"

	"homelab.local/toolchain/pulumi-resource-proxmoxve/bridge"
)

func main() {
	tfgen.MainWithMuxer(bridge.Package, bridge.Provider([]byte("{}")))
}
