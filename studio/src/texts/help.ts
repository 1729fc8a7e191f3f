/** What fields are, where it is not told in the API's own words. */

import type { Language } from ".";

/** By the names of fields; those that are missing are told in English. */
export const HELP: Record<Language, Readonly<Record<string, string>>> = {
  en: {},
  de: {
    negative_prompt: "Was nicht zu sehen sein soll.",
    prompt_syntax:
      "Wie beide Sätze gelesen werden: weighted, mit Klammern wie (Wörter:1.3) und BREAK, in bis zu vier Stücken von 75 Token, oder plain, bis 75 Token ohne besondere Zeichen.",
    style_filter: "Schlagwörter, die ein Stil alle haben muss, der zum Satz gesucht wird; mit Komma.",
    num_inference_steps: "Schritte der Entrauschung; manche Sampler nehmen weniger.",
    guidance_scale: "Zug des Satzes; bei 1 oder weniger gilt nicht, wie es nicht aussehen soll.",
    guidance_start: "Anteil der Schritte, bevor der Satz zieht; unter dem Ende. Ein Schritt außerhalb dauert halb so lang.",
    guidance_end: "Anteil der Schritte, nach dem er nicht mehr zieht.",
    controlnet_conditioning_scale: "Wie stark die Kanten der Skizze gelten.",
    control_guidance_start: "Anteil der Schritte, bevor die Kanten gelten; unter dem Ende.",
    control_guidance_end: "Anteil der Schritte, nach dem sie nicht mehr gelten.",
    sketch_kind:
      "Was die Skizze ist: clean, inverted (helle Linien auf dunklem Grund), photo (einer Zeichnung auf Papier; auch blasser Bleistift) oder transparent; auto sieht nach.",
    control_mode: "Was von der Skizze gilt: canny, ihre Kanten, oder lines, die geraden davon; fast waagrechte und senkrechte werden es.",
    canny_low_threshold: "Schwächere Kanten fallen weg; höchstens so viel wie die sichere.",
    canny_high_threshold: "Stärkere Kanten bleiben.",
    scheduler: "Das Verfahren der Schritte.",
    num_images: "Bilder, mit Startwerten in Folge.",
    versions: "Der Netze; sonst wählt der Dienst, in der Regel den Champion.",
    variation_strength:
      "Wie weit das Rauschen zu dem des Startwerts der Variante gedreht wird; über 0 haben mehrere Bilder einen Startwert und Startwerte der Variante in Folge.",
    structure_min:
      "Der mindeste Wert structure_f1 eines Bildes: eines darunter wird noch einmal gemalt, und das beste kommt zurück. 0 nimmt jedes.",
    max_attempts: "Wie oft ein Bild gemalt wird, um das zu erreichen: mit anderen Startwerten, vom dritten Mal an mit stärkeren Kanten.",
    style_count: "Stile, die zum Satz gesucht und gemischt werden; je näher einer liegt, desto mehr zählt er.",
    style_mode: "Was vom Bild des Stils zu sehen ist: style, seine Farben und Stoffe, composition, was wo steht, oder both.",
    style_start: "Anteil der Schritte, bevor der Stil gilt; unter dem Ende.",
    style_end: "Anteil der Schritte, nach dem er nicht mehr gilt.",
    upscale: "Wievielmal so breit und hoch das Bild am Ende wird, in Kacheln gemalt.",
    upscale_strength: "Wie viel sich am Bild ändert, während es vergrößert wird: der Anteil der Schritte, die getan werden.",
    variation_seed: "Startwert des Rauschens, das beigemischt wird; leer: jedes Mal neu.",
  },
};
