/** `/access` */
import { type Permissions, userOf } from "../privileges/access-control";
import { EVERYBODY } from "../privileges/permission-check";
import { optional, string } from "../params";
import { handler } from "../router";

export const accessHandlers = [
  handler({
    method: "GET",
    path: "/access/permissions",
    permissions: EVERYBODY,
    parameters: { path: optional(string()), userid: optional(string()) },
    returns: "object",
    authorize: ({ access, params: { userid = access.caller } }) => {
      // A user may look at its tokens, a token only at itself.
      if (userid !== access.caller && userOf(userid) !== access.caller) access.require("/access", "Sys.Audit");
    },
    handle: ({ access, params: { path, userid } }) => {
      if (path !== undefined) return { [path]: answer(access.permissions(path, userid)) };
      const effective = Object.entries(access.effective(userid));
      return Object.fromEntries(effective.map(([shown, granted]) => [shown, answer(granted)]));
    },
  }),
];

/** The value says whether a privilege reaches the paths below; that it stands there at all, that it is granted. */
function answer(granted: Permissions): Record<string, 0 | 1> {
  return Object.fromEntries([...granted].map(([privilege, propagates]) => [privilege, propagates ? 1 : 0]));
}
