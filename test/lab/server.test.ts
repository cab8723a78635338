/** How the server reads and refuses requests: PVE's oddities, over real TLS. */
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { ApiLab } from "./api-lab";

const FORM = { "content-type": "application/x-www-form-urlencoded" };

describe("the API server", () => {
  let api: ApiLab;
  beforeAll(async () => {
    api = await ApiLab.start();
  });
  afterAll(async () => api[Symbol.asyncDispose]());

  test("speaks TLS 1.3 only, with a certificate for its address", async () => {
    const { hostname, port } = new URL(api.endpoint);
    const handshake = (maxVersion: "TLSv1.2" | "TLSv1.3") =>
      new Promise<string | null>((resolve, reject) => {
        const socket = connect({ host: hostname, port: Number(port), maxVersion, rejectUnauthorized: false }, () => {
          resolve(socket.getProtocol());
          socket.end();
        });
        socket.on("error", reject);
      });
    await expect(handshake("TLSv1.3")).resolves.toBe("TLSv1.3");
    await expect(handshake("TLSv1.2")).rejects.toThrow(/protocol version/i);
  });

  test("answers as PVE does", async () => {
    const answer = await api.call("GET", "/version");
    expect(answer.body).toEqual({ data: { release: "9.1", repoid: "0000000000000000", version: "9.1.1" } });
    expect(answer.headers["content-type"]).toBe("application/json;charset=UTF-8");
    expect(answer.headers["server"]).toBe("pve-api-daemon/3.0");
  });

  test.each(["/api2/json/version/", "/api2/json//version", "//api2/json/%76ersion"])("finds %s", async (path) => {
    expect((await api.send("GET", path)).status).toBe(200);
  });

  test("refuses without a token, without a body", async () => {
    const answer = await api.send("GET", "/api2/json/version", { token: null });
    expect([answer.status, answer.reason, answer.text]).toEqual([401, "No ticket", ""]);
  });

  test("refuses a wrong token", async () => {
    const answer = await api.send("GET", "/api2/json/version", { token: "root@pam!lab=wrong" });
    expect([answer.status, answer.reason]).toEqual([401, "Authentication failed!"]);
  });

  test("says that it has no tickets", async () => {
    const answer = await api.send("POST", "/api2/json/access/ticket", {
      token: null,
      body: "username=x",
      headers: FORM,
    });
    expect([answer.status, answer.reason]).toEqual([501, "The lab does not emulate tickets; use an API token."]);
  });

  test("accepts a blank in place of the first equals sign", async () => {
    const authorization = "PVEAPIToken root@pam!lab=11111111-2222-3333-4444-555555555555";
    expect((await api.send("GET", "/api2/json/version", { token: null, headers: { authorization } })).status).toBe(200);
  });

  test("closes the connection after an error, with the reason in status line and body", async () => {
    const answer = await api.send("GET", "/api2/json/nope");
    expect(answer.status).toBe(501);
    expect(answer.reason).toBe("Method 'GET /nope' not implemented");
    expect(answer.headers["connection"]).toBe("close");
    expect(answer.body).toEqual({ data: null, message: "Method 'GET /nope' not implemented\n" });
  });

  test("names every wrong parameter at once", async () => {
    const answer = await api.call("POST", "/nodes/pve/qemu", { vmid: 7, cores: "many", onboot: "perhaps", bogus: 1 });
    expect(answer.status).toBe(400);
    expect(answer.reason).toBe("Parameter verification failed.");
    expect(answer.body.errors).toEqual({
      vmid: "value must have a minimum value of 100",
      cores: "type check ('integer') failed - got 'many'",
      onboot: "type check ('boolean') failed - got 'perhaps'",
      bogus: "property is not defined in schema and the schema does not allow additional properties",
    });
  });

  test("refuses parameters that it does not emulate instead of ignoring them", async () => {
    const answer = await api.call("POST", "/nodes/pve/qemu", { vmid: 300, hostpci0: "0000:01:00.0", args: "-s" });
    expect(answer.status).toBe(501);
    expect(answer.body.message).toContain("parameter 'hostpci0', 'args'");
  });

  test("takes the query before the body, and the path before both", async () => {
    const answer = await api.send("POST", "/api2/json/pools?poolid=query", {
      body: "poolid=body&_dc=1",
      headers: FORM,
    });
    expect(answer.status).toBe(200);
    expect(await api.ok("GET", "/pools")).toContainEqual({ poolid: "query" });
    expect(await api.ok("GET", "/pools")).not.toContainEqual({ poolid: "body" });
    expect((await api.send("GET", "/api2/json/nodes/pve/status?node=other")).status).toBe(200);
  });

  test("reads JSON bodies", async () => {
    const body = JSON.stringify({ poolid: "json", comment: "a b" });
    const headers = { "content-type": "application/json" };
    expect((await api.send("POST", "/api2/json/pools", { body, headers })).status).toBe(200);
    expect(await api.ok("GET", "/pools")).toContainEqual({ poolid: "json", comment: "a b" });
  });

  test("refuses a body with DELETE, chunked bodies, other content types and too much", async () => {
    const send = async (method: string, options: Parameters<ApiLab["send"]>[2]) =>
      api.send(method, "/api2/json/pools", options).then(({ status, reason }) => [status, reason]);
    expect(await send("DELETE", { body: "poolid=x", headers: FORM })).toEqual([
      501,
      "Unexpected content for method 'DELETE'",
    ]);
    expect(await send("POST", { body: new Blob(["poolid=x"]).stream(), headers: FORM })).toEqual([
      501,
      "chunked transfer encoding not supported",
    ]);
    expect(await send("POST", { body: "<a/>", headers: { "content-type": "text/xml" } })).toEqual([
      506,
      "got unsupported content type 'text/xml'",
    ]);
    expect(await send("POST", { body: `comment=${"x".repeat(600_000)}`, headers: FORM })).toEqual([
      501,
      "for data too large",
    ]);
  });

  test("knows one node", async () => {
    const answer = await api.call("GET", "/nodes/other/qemu");
    expect(answer.status).toBe(500);
    expect(answer.reason).toContain("hostname lookup 'other' failed");
  });

  test("logs requests without secrets", async () => {
    await api.call("POST", "/nodes/pve/qemu", { vmid: 300, cipassword: "hunter2", bogus: 1 });
    const entries = readFileSync(api.requestLog, "utf8").trim().split("\n");
    expect(JSON.parse(entries.at(-1) ?? "")).toEqual({
      at: expect.any(String) as string,
      method: "POST",
      path: "/nodes/pve/qemu",
      params: { vmid: "300", cipassword: "[secret]", bogus: "1" },
      status: 400,
      user: "root@pam!lab",
    });
    expect(entries.join("\n")).not.toContain("hunter2");
  });
});
