// Package bridge describes how the Terraform provider's resources are named in Pulumi. The names must equal those of the
// npm package @muhlba91/pulumi-proxmoxve; test/toolchain/parity.test.ts compares them.
package bridge

import (
	"context"
	"strings"

	"github.com/bpg/terraform-provider-proxmox/fwprovider"
	"github.com/bpg/terraform-provider-proxmox/proxmoxtf/provider"
	pfbridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Package is the Pulumi package name.
const Package = "proxmoxve"

// Version is the npm package's version. It is set by the build (-ldflags -X) and needed by the generator too.
var Version = ""

const (
	prefix       = "proxmox_"
	legacyPrefix = "proxmox_virtual_environment_"
	repository   = "https://github.com/muhlba91/pulumi-proxmoxve"
)

// Pulumi reserves "id". Where the operator chooses it, it is an input named resourceId, with one exception.
var idNames = map[string]string{"proxmox_sdn_controller_evpn": "sdnControllerEvpnId"}

// Provider describes the bridged provider; metadata is what the generator wrote, or "{}" for the generator itself.
func Provider(metadata []byte) tfbridge.ProviderInfo {
	p := pfbridge.MuxShimWithPF(
		context.Background(),
		shimv2.NewProvider(provider.ProxmoxVirtualEnvironment()),
		fwprovider.New(Version)(),
	)
	info := tfbridge.ProviderInfo{
		P:            p,
		Name:         "proxmox",
		DisplayName:  "Proxmox Virtual Environment",
		GitHubOrg:    "bpg",
		Repository:   repository,
		License:      "Apache-2.0",
		Version:      Version,
		MetadataInfo: tfbridge.NewProviderMetadata(metadata),
		Resources:    map[string]*tfbridge.ResourceInfo{},
		DataSources:  map[string]*tfbridge.DataSourceInfo{},
	}
	p.ResourcesMap().Range(func(name string, r shim.Resource) bool {
		module, class := pulumiName(name)
		bridged := &tfbridge.ResourceInfo{Tok: tfbridge.MakeResource(Package, module, class)}
		if id, ok := r.Schema().GetOk("id"); ok && (id.Required() || id.Optional()) {
			field := idNames[name]
			if field == "" {
				field = "resourceId"
			}
			bridged.Fields = map[string]*tfbridge.SchemaInfo{"id": {Name: field, Type: "string"}}
			bridged.ComputeID = tfbridge.DelegateIDField(resource.PropertyKey(field), Package, repository)
		}
		info.Resources[name] = bridged
		return true
	})
	p.DataSourcesMap().Range(func(name string, _ shim.Resource) bool {
		module, class := pulumiName(name)
		info.DataSources[name] = &tfbridge.DataSourceInfo{Tok: tfbridge.MakeDataSource(Package, module, "get"+class)}
		return true
	})
	info.SetAutonaming(255, "-")
	return info
}

// pulumiName splits a Terraform name: all words but the last are the module, and the older names, which say
// "virtual_environment", end in "Legacy".
func pulumiName(name string) (module, class string) {
	suffix := ""
	if strings.HasPrefix(name, legacyPrefix) {
		suffix = "Legacy"
		name = strings.TrimPrefix(name, legacyPrefix)
	} else {
		name = strings.TrimPrefix(name, prefix)
	}
	words := strings.Split(name, "_")
	last := words[len(words)-1]
	module = strings.Join(words[:len(words)-1], "/")
	if module == "" {
		module = "index"
	}
	return module, strings.ToUpper(last[:1]) + last[1:] + suffix
}
