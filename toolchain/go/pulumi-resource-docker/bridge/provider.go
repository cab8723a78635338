// Package bridge describes how the Terraform provider's resources are named in Pulumi. The names must equal those of the
// npm package @pulumi/docker; test/toolchain/parity.test.ts compares them.
package bridge

import (
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	docker "github.com/terraform-providers/terraform-provider-docker/shim"
)

// Package is the Pulumi package name.
const Package = "docker"

// Version is the npm package's version. It is set by the build (-ldflags -X) and needed by the generator too.
var Version = ""

const (
	module = "index"
	prefix = "docker_"
)

// Two resources have another name in Pulumi than the words of their Terraform name.
var resourceNames = map[string]string{
	"docker_config": "ServiceConfig",
	"docker_image":  "RemoteImage",
}

// Fields whose default Pulumi name would be wrong: the bridge makes lists plural.
var resources = map[string]*tfbridge.ResourceInfo{
	"docker_container": {
		// The container's name and ports are unique on the host: the old one must go first.
		DeleteBeforeReplace: true,
		Fields: map[string]*tfbridge.SchemaInfo{
			"command":           {Name: "command"},
			"networks_advanced": {Name: "networksAdvanced"},
		},
	},
	"docker_image": {Fields: map[string]*tfbridge.SchemaInfo{"name": {Name: "name"}}},
}

// Provider describes the bridged provider; metadata is what the generator wrote, or "{}" for the generator itself.
func Provider(metadata []byte) tfbridge.ProviderInfo {
	p := shimv2.NewProvider(docker.NewProvider(Version))
	info := tfbridge.ProviderInfo{
		P:            p,
		Name:         Package,
		GitHubOrg:    "kreuzwerker",
		Repository:   "https://github.com/pulumi/pulumi-docker",
		License:      "Apache-2.0",
		Version:      Version,
		MetadataInfo: tfbridge.NewProviderMetadata(metadata),
		Config: map[string]*tfbridge.SchemaInfo{
			"host":          {Default: &tfbridge.DefaultInfo{Value: "unix:///var/run/docker.sock", EnvVars: []string{"DOCKER_HOST"}}},
			"registry_auth": {Name: "registryAuth", MaxItemsOne: tfbridge.False()},
		},
		Resources:   map[string]*tfbridge.ResourceInfo{},
		DataSources: map[string]*tfbridge.DataSourceInfo{},
	}
	p.ResourcesMap().Range(func(name string, _ shim.Resource) bool {
		r := resources[name]
		if r == nil {
			r = &tfbridge.ResourceInfo{}
		}
		r.Tok = tfbridge.MakeResource(Package, module, pulumiName(name))
		info.Resources[name] = r
		return true
	})
	p.DataSourcesMap().Range(func(name string, _ shim.Resource) bool {
		token := tfbridge.MakeDataSource(Package, module, "get"+pulumiName(name))
		info.DataSources[name] = &tfbridge.DataSourceInfo{Tok: token}
		return true
	})
	info.SetAutonaming(255, "-")
	return info
}

func pulumiName(name string) string {
	if other, ok := resourceNames[name]; ok {
		return other
	}
	class := ""
	for _, word := range strings.Split(strings.TrimPrefix(name, prefix), "_") {
		class += strings.ToUpper(word[:1]) + word[1:]
	}
	return class
}
