/** How the Docker VM is reached. Pure. */
import type { SshTarget } from "../provider/contract/production";
import { dockerVmAddress, type StackConfig } from "./config";

/** The Docker VM by SSH, with the operator's key and the host keys that prod wrote down. */
export function sshTarget(config: StackConfig): SshTarget {
  const { user, sshPrivateKeyFile: privateKeyFile } = config.dockerVm;
  return { address: dockerVmAddress(config), user, privateKeyFile, knownHostsFile: config.files.knownHosts };
}
