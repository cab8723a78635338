// Package shim reaches the Docker provider, whose package is internal to the module path that this one is nested in.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// NewProvider returns the SDKv2 half of the provider: containers, networks, volumes, images.
func NewProvider(version string) *schema.Provider {
	return provider.New(version)()
}
