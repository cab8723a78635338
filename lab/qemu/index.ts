/** What the lab's other parts use of the hypervisor. */
export { AgentError, AgentTimeout } from "./agent";
export * from "./agent-commands";
export { setUpBridges } from "./bridges";
export { type NodeDns, cloudInitMetaData, cloudInitNetworkConfig, cloudInitUserData } from "./cloud-init";
export { agentEnabled } from "./command-line";
export { MachineGone, QmpError } from "./qmp";
export { type DisposableMachineRunner, type MachineRunnerArgs, createMachineRunner } from "./runner";
