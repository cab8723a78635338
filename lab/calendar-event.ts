/**
 * Calendar events as backup jobs have them: `02:00`, `sun 03:30`, `mon..fri 22:00`, `*:00`, `22,23:00/15`. Node-local time.
 * Source: proxmox-time `parse_calendar_event`. The date part (`2026-*-01`) is not emulated.
 */
import { notEmulated } from "./errors";

const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
const ALIASES: Readonly<Record<string, string>> = {
  minutely: "*:*",
  hourly: "*:00",
  daily: "00:00",
  weekly: "mon 00:00",
};

/** The minutes at which something is due. */
export interface CalendarEvent {
  /** 0 is Sunday. */
  readonly weekdays: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly minutes: ReadonlySet<number>;
}

/** @throws Error for a text that is no calendar event; ApiError 501 for one that the lab cannot follow. */
export function parseCalendarEvent(text: string): CalendarEvent {
  const words = (ALIASES[text.trim().toLowerCase()] ?? text.trim().toLowerCase())
    .split(/\s+/)
    .filter((word) => word !== "");
  const weekdayWord = words[0] !== undefined && /^[a-z]/.test(words[0]) ? words.shift() : undefined;
  if (words.length > 1 || words.some((word) => word.includes("-")))
    throw notEmulated(`dates in calendar events ('${text}')`);
  if (weekdayWord === undefined && words.length === 0) throw new Error(`unable to parse calendar event '${text}'`);
  const parts = (words[0] ?? "00:00").split(":");
  if (parts.length === 3) throw notEmulated(`seconds in calendar events ('${text}')`);
  if (parts.length > 3) throw new Error(`unable to parse calendar event '${text}'`);
  const [hours, minutes] = parts.length === 1 ? ["*", parts[0] ?? ""] : parts;
  try {
    return {
      weekdays: weekdayWord === undefined ? range(0, 6) : parseWeekdays(weekdayWord),
      hours: parseList(hours ?? "", 23),
      minutes: parseList(minutes ?? "", 59),
    };
  } catch (error) {
    throw new Error(`unable to parse calendar event '${text}'`, { cause: error });
  }
}

/** The first due time after `after`. */
export function nextEvent(event: CalendarEvent, after: Date): Date {
  const next = new Date(after);
  next.setSeconds(0, 0);
  next.setMinutes(next.getMinutes() + 1);
  // A week and a day holds every combination, also around a change to summer time.
  const end = after.getTime() + 8 * 24 * 3600 * 1000;
  while (next.getTime() <= end) {
    if (!event.weekdays.has(next.getDay()) || !event.hours.has(next.getHours())) {
      next.setMinutes(0);
      next.setHours(next.getHours() + 1);
    } else if (event.minutes.has(next.getMinutes())) {
      return next;
    } else {
      next.setMinutes(next.getMinutes() + 1);
    }
  }
  throw new Error(`Unable to find the next time of a calendar event after ${after.toISOString()}: it never occurs.`);
}

function parseWeekdays(text: string): Set<number> {
  const days = new Set<number>();
  for (const item of text.split(",")) {
    const [from = "", to = from] = item.split("..");
    const first = weekday(from);
    const last = weekday(to);
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return days;
}

function weekday(text: string): number {
  const index = WEEKDAYS.findIndex((day) => day === text.slice(0, 3));
  if (index < 0) throw new Error(`'${text}' is no weekday`);
  return index;
}

function parseList(text: string, maximum: number): Set<number> {
  const values = new Set<number>();
  for (const item of text.split(",")) {
    const match = /^(?:(\*)|(\d+)(?:\.\.(\d+))?)(?:\/(\d+))?$/.exec(item);
    if (match === null) throw new Error(`'${item}' is no number, range or step`);
    const [, star, first, last, step] = match;
    const from = star === undefined ? Number(first) : 0;
    const to = last === undefined ? (star !== undefined || step !== undefined ? maximum : from) : Number(last);
    const by = Number(step ?? "1");
    if (from > maximum || to > maximum || to < from || by === 0) throw new Error(`'${item}' is out of range`);
    for (let value = from; value <= to; value += by) values.add(value);
  }
  return values;
}

function range(from: number, to: number): Set<number> {
  return new Set(Array.from({ length: to - from + 1 }, (_, index) => from + index));
}
