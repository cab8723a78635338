import { reductions } from "../../provider/restore-parameters";

describe("a VM that is drilled smaller than it is", () => {
  it("is a finding with both numbers", () => {
    expect(reductions({ memoryMiB: 2048, cores: 1 }, { memory: "current=8192", cores: "4" })).toEqual([
      "The VM was drilled with 2048 MiB of memory instead of the archive's 8192 MiB.",
      "The VM was drilled with 1 cores a socket instead of the archive's 4.",
    ]);
  });

  it("is none where it is as large, larger, or not changed", () => {
    expect(reductions({ memoryMiB: 512, cores: 1 }, {})).toEqual([]);
    expect(reductions({ memoryMiB: 4096, cores: 4 }, { memory: "2048", cores: "2" })).toEqual([]);
    expect(reductions({}, { memory: "2048", cores: "2" })).toEqual([]);
  });
});
