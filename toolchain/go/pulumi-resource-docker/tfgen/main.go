// Command tfgen writes the Pulumi schema and the bridge's metadata that the plugin embeds.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"

	"homelab.local/toolchain/pulumi-resource-docker/bridge"
)

func main() {
	tfgen.Main(bridge.Package, bridge.Version, bridge.Provider([]byte("{}")))
}
