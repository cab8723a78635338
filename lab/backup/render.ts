/** Numbers and times as vzdump and pve-common print them in task logs. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `2.5 GiB`. Source: pve-common `PVE::Format::render_bytes`. */
export function renderBytes(bytes: number, digits = 2): string {
  const unit = bytes > 1023 ? Math.min(UNITS.length - 1, Math.floor(Math.log(bytes) / Math.log(1024))) : 0;
  return `${(bytes / 1024 ** unit).toFixed(digits)} ${UNITS[unit] ?? "B"}`;
}

/** `4.1 MiB/s` */
export function renderRate(bytes: number, seconds: number): string {
  return bytes <= 0 ? "0 B/s" : `${renderBytes(Math.floor(bytes / Math.max(seconds, 1)), 1)}/s`;
}

/** `1m 5s`. Source: pve-common `PVE::Format::render_duration`. */
export function renderDuration(seconds: number): string {
  let rest = Math.round(seconds);
  if (rest === 0) return "0s";
  const parts: string[] = [];
  for (const [unit, length] of [
    ["w", 604_800],
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
    ["s", 1],
  ] as const) {
    const count = Math.floor(rest / length);
    if (count > 0) parts.push(`${count}${unit}`);
    rest -= count * length;
  }
  return parts.join(" ");
}

/** `412MB`. Source: pve-manager `PVE::VZDump::format_size`. */
export function renderArchiveSize(bytes: number): string {
  const kib = bytes / 1024;
  if (kib < 1024) return `${Math.floor(kib)}KB`;
  const mib = kib / 1024;
  if (mib < 1024) return `${Math.floor(mib)}MB`;
  const gib = mib / 1024;
  return gib < 1024 ? `${gib.toFixed(2)}GB` : `${(gib / 1024).toFixed(2)}TB`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** `00:01:05` */
export function renderClock(seconds: number): string {
  const whole = Math.floor(seconds);
  return [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60].map(two).join(":");
}

/** `2025-11-20 10:00:00`, local time. */
export function renderTime(date: Date): string {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `Wed Jul 26 01:23:50 2023`, local time, as C's `ctime`. */
export function renderCtime(date: Date): string {
  const [weekday, month] = date.toDateString().split(" ");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${weekday ?? ""} ${month ?? ""} ${String(date.getDate()).padStart(2)} ${clock} ${date.getFullYear()}`;
}

/** C's `%.3g` for percentages. */
export function renderPercent(value: number): string {
  return String(Number(value.toPrecision(3)));
}
