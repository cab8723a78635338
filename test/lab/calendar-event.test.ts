import * as fc from "fast-check";
import { nextEvent, parseCalendarEvent } from "../../lab/calendar-event";

/** 2026-11-18 is a Wednesday. */
const NOON = new Date(2026, 10, 18, 12, 0, 30);

function next(schedule: string): string {
  const date = nextEvent(parseCalendarEvent(schedule), NOON);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

test.each([
  ["02:00", "11-19 02:00"],
  ["12:00", "11-19 12:00"],
  ["12:01", "11-18 12:01"],
  ["*/2:00", "11-18 14:00"],
  ["*:0/15", "11-18 12:15"],
  ["22,23:30", "11-18 22:30"],
  ["sun 03:30", "11-22 03:30"],
  ["mon..fri 22:00", "11-18 22:00"],
  ["sat..mon 01:00", "11-21 01:00"],
  ["mon,thu 8..10:05", "11-19 08:05"],
  ["wed", "11-25 00:00"],
  ["hourly", "11-18 13:00"],
  ["daily", "11-19 00:00"],
  ["weekly", "11-23 00:00"],
])("%s is next due at %s", (schedule, expected) => {
  expect(next(schedule)).toBe(expected);
});

test.each(["", "25:00", "12:60", "foo 02:00", "2:00:00:00", "*/0:00", "5..3:00"])(
  "'%s' is no calendar event",
  (text) => {
    expect(() => parseCalendarEvent(text)).toThrow(`unable to parse calendar event '${text}'`);
  },
);

test.each(["2026-11-01 02:00", "*-*-1 02:00", "02:00:30"])("'%s' is refused as not emulated", (text) => {
  expect(() => parseCalendarEvent(text)).toThrow("The lab does not emulate");
});

test("the next time is always later, at most a week away, and on the clock", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 23 }),
      fc.integer({ min: 0, max: 59 }),
      fc.date({ min: new Date(2026, 0, 1), max: new Date(2027, 11, 31), noInvalidDate: true }),
      (hour, minute, after) => {
        const due = nextEvent(parseCalendarEvent(`wed ${hour}:${minute}`), after);
        expect(due.getTime()).toBeGreaterThan(after.getTime());
        expect(due.getTime() - after.getTime()).toBeLessThanOrEqual((7 * 24 + 1) * 3600 * 1000);
        expect([due.getDay(), due.getMinutes(), due.getSeconds()]).toEqual([3, minute, 0]);
      },
    ),
  );
});
