/**
 * The rehearsal as tests, in one lab and in this order, because each step stands on the one before: a machine that boots
 * takes a minute on an emulated CPU.
 *
 * What this does not prove: anything about a real Proxmox VE beyond its documented API.
 */
import { dayOneTests } from "./day-one";
import { drillTests } from "./drill";
import { failureTests } from "./failures";
import { productionTests } from "./production";
import { secretTests } from "./secrets";
import { ProcessWatch } from "../support/process-watch";

let watch: ProcessWatch;

beforeAll(() => {
  watch = new ProcessWatch();
});

afterAll(() => watch[Symbol.dispose]());

describe("production", productionTests);
describe("backup and drill", drillTests);
describe("drills that must fail", failureTests);
describe("day one", dayOneTests);
describe("secrets", () => secretTests(() => watch));
