/** An SSH server in this process, whose commands are answered by a function. */
import { type AddressInfo } from "node:net";
import { Server, utils } from "ssh2";

/** What a command gives. */
export interface ShellAnswer {
  exitCode: number;
  stdout?: string;
  stderr?: string;
}

export interface FakeSshServer extends AsyncDisposable {
  readonly port: number;
  /** `<type> <base64>` */
  readonly hostKey: string;
  /** Every command that was run. */
  readonly commands: string[];
}

/** A new key pair in OpenSSH's form. Not ed25519: of those that ssh2 makes, one in 300 is malformed. */
export function newKeyPair(): { private: string; public: string } {
  return utils.generateKeyPairSync("ecdsa", { bits: 256 });
}

export async function startSshServer(answer: (command: string, input: string) => ShellAnswer): Promise<FakeSshServer> {
  const key = newKeyPair();
  const commands: string[] = [];
  const server = new Server({ hostKeys: [key.private] }, (client) => {
    client.on("error", () => undefined); // clients that refuse the host key hang up
    client.on("authentication", (context) => (context.method === "publickey" ? context.accept() : context.reject()));
    client.on("ready", () =>
      client.on("session", (accept) =>
        accept().on("exec", (acceptExec, _reject, { command }) => {
          const channel = acceptExec();
          let input = "";
          channel.on("data", (chunk: Buffer) => (input += chunk.toString("utf8")));
          channel.on("end", () => {
            commands.push(command);
            const { exitCode, stdout = "", stderr = "" } = answer(command, input);
            channel.write(stdout);
            channel.stderr.write(stderr);
            channel.exit(exitCode);
            channel.end();
          });
        }),
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const [type, blob] = key.public.split(" ");
  return {
    port: (server.address() as AddressInfo).port,
    hostKey: `${type} ${blob}`,
    commands,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
