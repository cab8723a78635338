// Command pulumi-resource-docker serves kreuzwerker/terraform-provider-docker as the Pulumi provider "docker".
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"homelab.local/toolchain/pulumi-resource-docker/bridge"
)

// Both files are written by ./tfgen before this program is compiled.
var (
	//go:embed schema.json
	schema []byte
	//go:embed bridge-metadata.json
	metadata []byte
)

func main() {
	tfbridge.Main(bridge.Package, bridge.Version, bridge.Provider(metadata), schema)
}
