import { missingPackages } from "../../toolchain/packages";

it("names the packages that dpkg doesn't have", async () => {
  const missing = { name: "no-such-package-anywhere", why: "nothing" };
  expect(await missingPackages([{ name: "dpkg", why: "itself" }, missing])).toEqual([missing]);
});
