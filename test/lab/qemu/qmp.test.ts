import { mkdtempSync, rmSync } from "node:fs";
import { type Server, type Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { MachineGone, QmpClient, QmpError } from "../../../lab/qemu/qmp";

/** A QMP server that answers as `answer` says; what comes in and out is QMP's own text. */
async function serve(answer: (message: { execute: string; id: number }, socket: Socket) => void): Promise<{
  client: QmpClient;
  close: () => Promise<void>;
}> {
  const folder = mkdtempSync(join(tmpdir(), "qmp-"));
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.write('{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": []}}\r\n');
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const message = JSON.parse(line) as { execute: string; id: number };
        if (message.execute === "qmp_capabilities") socket.write(`{"return": {}, "id": ${message.id}}\r\n`);
        else answer(message, socket);
      }
    });
  });
  const path = join(folder, "qmp");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const client = await QmpClient.connect(200, path, 5_000, () => true);
  return {
    client,
    close: async () => {
      client.close();
      sockets.forEach((socket) => socket.destroy());
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true });
    },
  };
}

it("matches answers to commands by id, whatever their order and their cuts", async () => {
  const held: number[] = [];
  const { client, close } = await serve(({ id }, socket) => {
    held.push(id);
    if (held.length < 2) return;
    const text = held.reverse().map((each) => `{"return": {"answer": ${each}}, "id": ${each}}\r\n`);
    const bytes = text.join("");
    socket.write(bytes.slice(0, 20));
    setImmediate(() => socket.write(bytes.slice(20)));
  });
  const [first, second] = await Promise.all([
    client.execute<{ answer: number }>("query-status"),
    client.execute<{ answer: number }>("query-block"),
  ]);
  expect(second.answer).toBe(first.answer + 1);
  await close();
});

it("rejects with QEMU's text and class", async () => {
  const { client, close } = await serve(({ id }, socket) =>
    socket.write(`{"error": {"class": "GenericError", "desc": "Device 'x' not found"}, "id": ${id}}\r\n`),
  );
  const error: unknown = await client.execute("eject", { device: "x" }).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(QmpError);
  expect(error).toMatchObject({
    message: "VM 200 qmp command 'eject' failed - Device 'x' not found",
    errorClass: "GenericError",
  });
  await close();
});

it("gives events to those who wait for them", async () => {
  const { client, close } = await serve(({ id }, socket) =>
    socket.write(
      `{"event": "BLOCK_JOB_COMPLETED", "data": {"device": "drive-scsi0"}, "timestamp": {}}\r\n` +
        `{"event": "BLOCK_JOB_COMPLETED", "data": {"device": "drive-scsi1"}, "timestamp": {}}\r\n{"return": {}, "id": ${id}}\r\n`,
    ),
  );
  const done = client.waitForEvent("BLOCK_JOB_COMPLETED", ({ device }) => device === "drive-scsi1", 1_000);
  await client.execute("drive-backup");
  await expect(done).resolves.toEqual({ device: "drive-scsi1" });
  await expect(client.waitForEvent("STOP", () => true, 20)).rejects.toThrow(
    "VM 200 wait for event STOP failed - got timeout",
  );
  await close();
});

it("rejects what is open when the machine ends, and all that comes after", async () => {
  const { client, close } = await serve((_, socket) => socket.destroy());
  const waiting = client.waitForEvent("STOP", () => true, 60_000);
  const rejected = expect(waiting).rejects.toThrow(MachineGone);
  await expect(client.execute("quit")).rejects.toThrow("VM 200 qmp command 'quit' failed - client closed connection");
  await rejected;
  await expect(client.execute("query-status")).rejects.toThrow(MachineGone);
  await close();
});

it("says which path is too long for a socket", async () => {
  await expect(QmpClient.connect(200, `/tmp/${"x".repeat(120)}`, 10, () => true)).rejects.toThrow(/shorter path/);
});
