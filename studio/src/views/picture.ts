/** A kept picture in a view. */

import { useEffect, useState } from "preact/hooks";
import { urlOf } from "../files";
import * as database from "../keep/database";
import type { Which } from "../keep/database";

const TRIES = 25;
const RETRY_MS = 200;

/** The URL of a kept picture, once it is read. */
export function usePicture(id: string, which: Which): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    let wanted = true;
    setUrl(undefined);
    const read = async (tries: number): Promise<void> => {
      const blob = await database.picture(id, which);
      if (blob && wanted) setUrl(urlOf(blob));
      // A render is shown while its pictures are still being written.
      if (!blob && wanted && tries > 1) setTimeout(() => void read(tries - 1), RETRY_MS);
    };
    if (id) void read(TRIES);
    return () => {
      wanted = false;
    };
  }, [id, which]);
  return url;
}
