/** A render's settings as a link to this page; the sketch and pictures of one's own stay here. */

import { at } from "./api/client";
import { type Wish, told, wishOf } from "./wish";

export const linkOf = (wish: Wish, page = at("")): string =>
  `${page}#${encodeURIComponent(JSON.stringify(Object.fromEntries(told(wish))))}`;

/** The settings in the fragment `hash` of a link; nothing when it is none, or damaged. */
export function wishIn(hash: string): Wish | undefined {
  try {
    const found: unknown = JSON.parse(decodeURIComponent(hash.slice(1)));
    return found && typeof found === "object" ? wishOf(found as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
