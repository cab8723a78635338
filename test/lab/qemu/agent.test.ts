import { mkdtempSync, rmSync } from "node:fs";
import { type Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { AgentClient, AgentError, AgentTimeout } from "../../../lab/qemu/agent";
import { agentExec, agentExecStatus, agentFileRead } from "../../../lab/qemu/agent-commands";

interface Message {
  execute: string;
  arguments: Record<string, unknown>;
}

/** The guest's end of the channel. It answers `guest-sync-delimited` unless `answer` says that it took care of it. */
async function serve(
  answer: (message: Message, socket: Socket) => boolean,
  isOpen: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<{ agent: AgentClient; received: string[]; close: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "qga-"));
  const received: string[] = [];
  const server = createServer((socket) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1").replaceAll("\xff", "");
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const message = JSON.parse(line) as Message;
        received.push(message.execute);
        if (answer(message, socket) || message.execute !== "guest-sync-delimited") continue;
        socket.write(
          Buffer.concat([Buffer.from([0xff]), Buffer.from(`{"return": ${String(message.arguments.id)}}\n`)]),
        );
      }
    });
  });
  const path = join(folder, "qga");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const agent = await AgentClient.connect(200, path, 5_000, isOpen);
  return {
    agent,
    received,
    close: async () => {
      agent.close();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true });
    },
  };
}

function reply(values: Record<string, unknown>): (message: Message, socket: Socket) => boolean {
  return ({ execute }, socket) => {
    if (!(execute in values)) return false;
    socket.write(`${JSON.stringify(values[execute])}\n`);
    return true;
  };
}

it("runs commands one after another, each after a synchronisation", async () => {
  const { agent, received, close } = await serve(
    reply({ "guest-ping": { return: {} }, "guest-get-time": { return: 42 } }),
  );
  const answers = await Promise.all([agent.execute("guest-ping"), agent.execute<number>("guest-get-time")]);
  expect(answers).toEqual([{}, 42]);
  expect(received).toEqual(["guest-sync-delimited", "guest-ping", "guest-sync-delimited", "guest-get-time"]);
  await close();
});

it("gives the agent's error", async () => {
  const error = { class: "GenericError", desc: "No such file or directory" };
  const { agent, close } = await serve(reply({ "guest-file-open": { error } }));
  const caught: unknown = await agent.execute("guest-file-open", { path: "/x" }).catch((each: unknown) => each);
  expect(caught).toBeInstanceOf(AgentError);
  expect(caught).toMatchObject({ message: "Agent error: No such file or directory", errorClass: "GenericError" });
  await close();
});

it("sends nothing to a port that nobody in the guest has open", async () => {
  const { agent, received, close } = await serve(reply({}), () => Promise.resolve(false));
  await expect(agent.execute("guest-exec", { path: "rm" }, 150)).rejects.toThrow(
    "VM 200 qga command 'guest-exec' failed - got timeout",
  );
  expect(received).toEqual([]);
  await close();
});

it("sends no command to an agent that doesn't answer, and none later", async () => {
  const { agent, received, close } = await serve(() => true);
  await expect(agent.execute("guest-exec", { path: "rm" }, 100)).rejects.toThrow(AgentTimeout);
  expect(received).toEqual(["guest-sync-delimited"]);
  await close();
});

it("never takes a late answer for another command's", async () => {
  let late: Socket | undefined;
  const { agent, close } = await serve(({ execute }, socket) => {
    if (execute === "guest-get-time" && !late) {
      late = socket;
      return true;
    }
    if (execute === "guest-sync-delimited" && late) late.write('{"return": "late"}\n');
    if (execute === "guest-get-host-name") socket.write('{"return": {"host-name": "docker"}}\n');
    return false;
  });
  await expect(agent.execute("guest-get-time", undefined, 50)).rejects.toThrow(AgentTimeout);
  await expect(agent.execute("guest-get-host-name")).resolves.toEqual({ "host-name": "docker" });
  await close();
});

it("ends what is open when the machine ends", async () => {
  const { agent, close } = await serve(({ execute }, socket) => {
    if (execute === "guest-ping") socket.destroy();
    return false;
  });
  await expect(agent.execute("guest-ping")).rejects.toThrow(
    "VM 200 qga command 'guest-ping' failed - client closed connection",
  );
  await close();
});

describe("calls as PVE's API gives them", () => {
  it("execute without a shell and decode the output", async () => {
    const sent: unknown[] = [];
    const { agent, close } = await serve((message, socket) => {
      sent.push(message.arguments);
      return reply({
        "guest-exec": { return: { pid: 7 } },
        "guest-exec-status": {
          return: {
            exited: true,
            exitcode: 3,
            "out-data": Buffer.from("grün\n").toString("base64"),
            "err-truncated": true,
          },
        },
      })(message, socket);
    });
    await expect(agentExec(agent, ["ls", "a b"], "in")).resolves.toEqual({ pid: 7 });
    expect(sent[1]).toEqual({ path: "ls", arg: ["a b"], "capture-output": true, "input-data": "aW4=" });
    await expect(agentExecStatus(agent, 7)).resolves.toEqual({
      exited: 1,
      exitcode: 3,
      "out-data": "grün\n",
      "err-truncated": 1,
    });
    await expect(agentExec(agent, [])).rejects.toThrow("command or input-data (or both) required");
    await close();
  });

  it("read a file to its end and close it", async () => {
    const parts = ["gr", "ün"];
    const { agent, received, close } = await serve(({ execute }, socket) => {
      if (execute === "guest-file-open") socket.write('{"return": 1000}\n');
      if (execute === "guest-file-close") socket.write('{"return": {}}\n');
      if (execute === "guest-file-read") {
        const bytes = Buffer.from(parts.shift() ?? "");
        const answer = { count: bytes.length, "buf-b64": bytes.toString("base64"), eof: parts.length === 0 };
        socket.write(`${JSON.stringify({ return: answer })}\n`);
      }
      return execute !== "guest-sync-delimited";
    });
    await expect(agentFileRead(agent, "/etc/motd")).resolves.toEqual({ content: "grün", "bytes-read": 5 });
    expect(received.filter((command) => command === "guest-file-close")).toHaveLength(1);
    await close();
  });
});
