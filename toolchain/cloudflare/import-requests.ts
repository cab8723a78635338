import { Struct } from "google-protobuf/google/protobuf/struct_pb";

import { CheckRequest, ReadRequest } from "@pulumi/pulumi/proto/provider_pb";

/**
 * Makes `pulumi import` work: there the engine sends a read without properties and a check without old inputs, and
 * `@pulumi/pulumi/provider` (3.270) calls `toJavaScript()` on what is missing. After this call they are empty instead.
 */
export function acceptImportRequests(): void {
  /* eslint-disable @typescript-eslint/unbound-method -- both are called with their own object below */
  const { getProperties } = ReadRequest.prototype;
  const { getOlds } = CheckRequest.prototype;
  /* eslint-enable @typescript-eslint/unbound-method */
  ReadRequest.prototype.getProperties = function (this: ReadRequest) {
    return getProperties.call(this) ?? new Struct();
  };
  CheckRequest.prototype.getOlds = function (this: CheckRequest) {
    return getOlds.call(this) ?? new Struct();
  };
}
