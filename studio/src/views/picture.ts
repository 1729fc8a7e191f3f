/** A kept picture in a view. */

import { useEffect, useState } from "preact/hooks";
import { urlOf } from "../files";
import * as database from "../keep/database";
import type { Which } from "../keep/database";

/** The URL of a kept picture, once it is read. */
export function usePicture(id: string, which: Which): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    let wanted = true;
    setUrl(undefined);
    if (id)
      void database.picture(id, which).then((blob) => {
        if (wanted && blob) setUrl(urlOf(blob));
      });
    return () => {
      wanted = false;
    };
  }, [id, which]);
  return url;
}
