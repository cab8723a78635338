/** (De)compression of archives: zstd and lzop by the system's tools, gzip by zlib. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { availableParallelism } from "node:os";
import { PassThrough, type Readable, Transform, type TransformCallback, type Writable } from "node:stream";
import { createGunzip, createGzip } from "node:zlib";

/** How an archive is compressed, by its file extension. */
export type Compression = "none" | "zst" | "gz" | "lzo";

/** Compression of an archive by its name. Throws for other names. */
export function compressionOf(archivePath: string): Compression {
  const extension = /\.vma(?:\.(zst|gz|lzo))?$/.exec(archivePath);
  if (extension === null) {
    throw new Error(
      `Unable to read the archive ${archivePath}: its name ends in none of .vma, .vma.zst, .vma.gz, .vma.lzo.`,
    );
  }
  return (extension[1] ?? "none") as Compression;
}

/** A compressor or decompressor: bytes in, bytes out, and a verdict. */
export interface Pipe {
  readonly input: Writable;
  readonly output: Readable;
  /** Resolves when it has ended well. Rejects with the reason, for example `zstd … failed - wrong exit status 1`. */
  readonly finished: Promise<void>;
  /** Lines that the tool wrote to standard error so far. */
  readonly messages: readonly string[];
  /** Ends it at once; harmless when it has ended. `finished` then rejects. */
  kill(): void;
}

function toolPipe(command: string, args: readonly string[]): Pipe {
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const messages: string[] = [];
  let rest = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    messages.push(...lines.filter((line) => line !== ""));
  });
  child.stdin.on("error", () => undefined); // EPIPE: the exit status says more
  const finished = new Promise<void>((resolve, reject) => {
    child.on("error", (cause) => {
      child.stdout.destroy();
      reject(new Error(`Unable to run ${command}: ${cause.message}. Install the package '${command}'.`, { cause }));
    });
    child.on("close", (code, signal) => {
      if (rest !== "") messages.push(rest);
      if (code === 0) resolve();
      else {
        const detail = signal === null ? `${code ?? 0}` : `0 (signal ${signal})`;
        reject(new Error(`${[command, ...args].join(" ")} failed - wrong exit status ${detail}`));
      }
    });
  });
  finished.catch(() => undefined); // callers await it last
  const kill = (): void => {
    child.kill("SIGKILL");
    child.stdout.destroy(); // unread output would keep the child from closing
  };
  return { input: child.stdin, output: child.stdout, finished, messages, kill };
}

function transformPipe(stream: NodeJS.ReadWriteStream & { destroy(error?: Error): unknown }): Pipe {
  const finished = new Promise<void>((resolve, reject) => {
    stream.on("error", reject).on("end", resolve);
    stream.on("close", () => reject(new Error("the stream was closed before its end")));
  });
  finished.catch(() => undefined);
  return {
    input: stream as unknown as Writable,
    output: stream as unknown as Readable,
    finished,
    messages: [],
    kill: () => void stream.destroy(new Error("interrupted by signal")),
  };
}

/** Passes copies on, since a writer may reuse its buffer as soon as its write has been taken. */
class CopyThrough extends Transform {
  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    callback(null, Buffer.from(chunk));
  }
}

/** The command that PVE would name in its messages; empty without compression. */
export function compressCommand(compression: Compression, zstdThreads: number): string[] {
  switch (compression) {
    case "none":
      return [];
    case "zst": {
      const threads = zstdThreads === 0 ? Math.floor((availableParallelism() + 1) / 2) : zstdThreads;
      return ["zstd", "--rsyncable", `--threads=${threads}`];
    }
    case "gz":
      return ["gzip", "--rsyncable"];
    case "lzo":
      return ["lzop"];
    default:
      return compression satisfies never;
  }
}

/** Starts a compressor. `zstdThreads` 0 is half of the processors. */
export function compress(compression: Compression, zstdThreads: number): Pipe {
  switch (compression) {
    case "none":
      return transformPipe(new CopyThrough());
    case "gz":
      return transformPipe(createGzip());
    case "zst":
    case "lzo": {
      const [command = "", ...args] = compressCommand(compression, zstdThreads);
      return toolPipe(command, args);
    }
    default:
      return compression satisfies never;
  }
}

/** The command with which PVE reads such an archive; empty without compression. */
export function decompressCommand(compression: Compression): string[] {
  switch (compression) {
    case "none":
      return [];
    case "zst":
      return ["zstd", "-q", "-d", "-c"];
    case "gz":
      return ["zcat"];
    case "lzo":
      return ["lzop", "-d", "-c"];
    default:
      return compression satisfies never;
  }
}

/** Opens an archive for reading; `output` gives its decompressed bytes. A damaged archive rejects `finished`. */
export function decompress(archivePath: string, compression: Compression): Pipe {
  switch (compression) {
    case "none":
    case "gz": {
      const file = createReadStream(archivePath, { highWaterMark: 1024 * 1024 });
      const pipe = transformPipe(compression === "gz" ? createGunzip() : new PassThrough());
      file.on("error", (error) => (pipe.output as Readable & { destroy(e: Error): void }).destroy(error));
      file.pipe(pipe.input);
      return {
        ...pipe,
        kill: () => {
          file.destroy();
          pipe.kill();
        },
      };
    }
    case "zst":
    case "lzo": {
      const [command = "", ...args] = decompressCommand(compression);
      const pipe = toolPipe(command, [...args, archivePath]);
      pipe.input.end();
      return pipe;
    }
    default:
      return compression satisfies never;
  }
}
