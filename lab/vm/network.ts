/** Network card values (`net0: virtio=BC:24:11:…,bridge=vmbr0`), as PVE::QemuServer reads and prints them. */
import { randomBytes } from "node:crypto";
import { NETWORK_MODELS, parseNetworkCard, printNetworkCard, type NetworkCard } from "../../pve/vm-config";
import { messageOf, notEmulated, parameterError } from "../errors";

const OPTIONS: Readonly<Record<string, RegExp>> = {
  bridge: /^[a-zA-Z][\w.-]*$/,
  firewall: /^[01]$/,
  link_down: /^[01]$/,
  mtu: /^\d+$/,
  queues: /^\d+$/,
  tag: /^\d+$/,
};
const UNEMULATED = ["rate", "trunks"];
const EMULATED_MODELS = ["virtio", "e1000"];

/** An address with Proxmox's own prefix (PVE::Tools `random_ether_addr` with the default `mac_prefix`). */
export function randomMacAddress(): string {
  return [
    "BC",
    "24",
    "11",
    ...[...randomBytes(3)].map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")),
  ].join(":");
}

/** Checks a card and gives its stored form; a missing address is drawn. @throws ApiError 400 or 501 naming the key. */
export function normalizeNetwork(key: string, text: string): string {
  let card: NetworkCard;
  try {
    card = parseNetworkCard(text);
    if (!NETWORK_MODELS.has(card.model))
      throw new Error(`model: value '${card.model}' does not have a value in the enumeration`);
  } catch (error) {
    throw parameterError({ [key]: `invalid format - ${messageOf(error)}` });
  }
  if (!EMULATED_MODELS.includes(card.model)) throw notEmulated(`network card model '${card.model}' (${key})`);
  const macAddress = card.macAddress?.toUpperCase() ?? randomMacAddress();
  if (!/^([0-9A-F]{2}:){5}[0-9A-F]{2}$/.test(macAddress) || (parseInt(macAddress.slice(0, 2), 16) & 1) === 1)
    throw parameterError({ [key]: "invalid format - macaddr: value does not look like a valid unicast MAC address" });
  for (const [option, value] of Object.entries(card.options)) {
    if (UNEMULATED.includes(option)) throw notEmulated(`network option '${option}' (${key})`);
    const pattern = OPTIONS[option];
    if (pattern === undefined)
      throw parameterError({
        [key]: `invalid format - ${option}: property is not defined in schema and the schema does not allow additional properties`,
      });
    if (!pattern.test(value))
      throw parameterError({ [key]: `invalid format - ${option}: value '${value}' is not allowed` });
  }
  const options = Object.fromEntries(Object.entries(card.options).sort(([a], [b]) => (a < b ? -1 : 1)));
  return printNetworkCard({ model: card.model, macAddress, options });
}
