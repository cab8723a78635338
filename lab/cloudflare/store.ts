import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { refusal } from "./errors";
import { RECORD_TYPES, type RecordContent } from "./validate";

const recordSchema = z.object({
  id: z.string(),
  zone_id: z.string(),
  type: z.enum(RECORD_TYPES),
  name: z.string(),
  content: z.string(),
  ttl: z.number(),
  proxied: z.boolean(),
  comment: z.string().nullable(),
  tags: z.array(z.string()),
  settings: z.record(z.string(), z.unknown()),
  created_on: z.string(),
  modified_on: z.string(),
});
/** A record with the zone it belongs to, as it stands in the file. */
export type StoredRecord = z.infer<typeof recordSchema>;

/** The emulated account's DNS records, in one JSON file that is replaced as a whole after each change. */
export class RecordStore {
  private records: StoredRecord[];

  /** `onChange` sees all records after each change and once at the start. */
  constructor(
    private readonly file: string,
    private readonly onChange: (records: readonly StoredRecord[]) => void,
    private readonly now: () => Date = () => new Date(),
  ) {
    this.records = existsSync(file) ? z.array(recordSchema).parse(JSON.parse(readFileSync(file, "utf8"))) : [];
    onChange(this.records);
  }

  list(zoneId: string): StoredRecord[] {
    return this.records.filter((record) => record.zone_id === zoneId);
  }

  /** Throws Cloudflare's 81044 for a missing record. */
  get(zoneId: string, id: string): StoredRecord {
    const found = this.records.find((record) => record.zone_id === zoneId && record.id === id);
    if (found === undefined) throw refusal(404, 81044, "Record does not exist.");
    return found;
  }

  create(zoneId: string, content: RecordContent): StoredRecord {
    this.refuseConflict(zoneId, content, undefined);
    const at = this.now().toISOString();
    const record = {
      id: randomBytes(16).toString("hex"),
      zone_id: zoneId,
      ...content,
      created_on: at,
      modified_on: at,
    };
    this.save([...this.records, record]);
    return record;
  }

  replace(zoneId: string, id: string, content: RecordContent): StoredRecord {
    const old = this.get(zoneId, id);
    this.refuseConflict(zoneId, content, id);
    const record = { ...old, ...content, modified_on: this.now().toISOString() };
    this.save(this.records.map((other) => (other === old ? record : other)));
    return record;
  }

  delete(zoneId: string, id: string): void {
    const old = this.get(zoneId, id);
    this.save(this.records.filter((other) => other !== old));
  }

  /** A host has either one CNAME or other records, and no record twice. */
  private refuseConflict(zoneId: string, content: RecordContent, exceptId: string | undefined): void {
    const same = this.list(zoneId).filter((other) => other.name === content.name && other.id !== exceptId);
    if (same.some((other) => other.type === content.type && other.content === content.content)) {
      throw refusal(400, 81058, "An identical record already exists.");
    }
    if (content.type === "CNAME" && same.some((other) => other.type !== "TXT")) {
      throw refusal(400, 81053, "An A, AAAA, or CNAME record with that host already exists.");
    }
    if (content.type !== "TXT" && same.some((other) => other.type === "CNAME")) {
      throw refusal(400, 81054, "A CNAME record with that host already exists.");
    }
  }

  private save(records: StoredRecord[]): void {
    const draft = `${this.file}.new`;
    writeFileSync(draft, JSON.stringify(records, undefined, 2));
    renameSync(draft, this.file);
    this.records = records;
    this.onChange(records);
  }
}
