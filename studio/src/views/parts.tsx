/** Small pieces that views are made of. */

import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../texts";

const ICONS = {
  pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  line: "M5 19L19 5",
  rect: "M5 6h14v12H5z",
  arch: "M6 20V11a6 6 0 0 1 12 0v9z",
  erase: "M4 16l9-10 7 6-8 9H8zM9 11l7 6M12 21h8",
  pan: "M12 3v18M3 12h18M12 3l-2.5 2.5M12 3l2.5 2.5M12 21l-2.5-2.5M12 21l2.5-2.5M3 12l2.5-2.5M3 12l2.5 2.5M21 12l-2.5-2.5M21 12l-2.5 2.5",
  undo: "M9 6L4 11l5 5M4 11h10a6 6 0 0 1 0 9h-3",
  redo: "M15 6l5 5-5 5M20 11H10a6 6 0 0 0 0 9h3",
  clear: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  grid: "M4 9h16M4 15h16M9 4v16M15 4v16",
  vanishing: "M2 12h20M5 12l14-8M5 12l14 8M19 12a1 1 0 1 1 0-.01",
  invert: "M4 5h16v14H4zM12 5v14M15 9h2M15 12h2M15 15h2",
  camera: "M4 8h4l2-3h4l2 3h4v11H4zM12 10a3.5 3.5 0 1 0 .01 0",
  open: "M4 19V6h6l2 2h8v11zM12 11v6M9 14l3-3 3 3",
  png: "M5 4h14v16H5zM5 16l5-5 4 4 2-2 3 3",
  svg: "M12 4v10M8 10l4 4 4-4M5 19h14",
  help: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 18v.01",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  shelf: "M5 4h3v16H5zM10 4h3v16h-3zM15.5 5l3-1 3 15-3 1z",
  pulse: "M3 12h4l3-7 4 14 3-7h4",
  star: "M12 4l2.5 5.2 5.7.8-4.1 4 1 5.7L12 17l-5.1 2.7 1-5.7-4.1-4 5.7-.8z",
  lock: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z",
  unlock: "M7 11V8a5 5 0 0 1 9.5-2M6 11h12v9H6z",
  close: "M6 6l12 12M18 6L6 18",
  out: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
} as const;

export type IconName = keyof typeof ICONS;

export const Icon = ({ name }: { name: IconName }) => (
  <svg viewBox="0 0 24 24" class="icon" aria-hidden="true">
    <path d={ICONS[name]} />
  </svg>
);

interface ToolProps {
  icon: IconName;
  label: string;
  keys?: string;
  pressed?: boolean;
  disabled?: boolean;
  onClick: () => void;
}

/** A button that is an icon, with its name for whoever does not see it. */
export const IconButton = ({ icon, label, keys, pressed, disabled, onClick }: ToolProps) => (
  <button
    type="button"
    class="icon-button"
    aria-label={label}
    title={keys ? `${label} (${keys})` : label}
    aria-pressed={pressed}
    aria-keyshortcuts={keys}
    disabled={disabled}
    onClick={onClick}
  >
    <Icon name={icon} />
  </button>
);

interface SliderProps {
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  ends?: [string, string];
  shown?: string;
  hint?: string;
  onInput: (value: number) => void;
}

export const Slider = ({ label, value, min, max, step, ends, shown, hint, onInput }: SliderProps) => (
  <label class="field">
    <span class="field-head">
      <span>{label}</span>
      <output>{shown ?? value}</output>
    </span>
    <input
      type="range"
      min={min}
      max={max}
      step={step}
      value={value}
      aria-valuetext={shown}
      onInput={(event) => onInput(Number(event.currentTarget.value))}
    />
    {ends && (
      <span class="ends" aria-hidden="true">
        <span>{ends[0]}</span>
        <span>{ends[1]}</span>
      </span>
    )}
    {hint && <small>{hint}</small>}
  </label>
);

interface CheckProps {
  label: string;
  hint?: string;
  on: boolean;
  onChange: (on: boolean) => void;
}

export const Check = ({ label, hint, on, onChange }: CheckProps) => (
  <label class="switch" title={hint}>
    <input type="checkbox" role="switch" checked={on} onChange={(event) => onChange(event.currentTarget.checked)} />
    <span>{label}</span>
  </label>
);

export const Switch = ({ on, ...props }: { label: string; hint?: string; on: Signal<boolean> }) => (
  <Check {...props} on={on.value} onChange={(value) => (on.value = value)} />
);

interface DialogProps {
  title: string;
  onClose: () => void;
  wide?: boolean;
  children: ComponentChildren;
}

/** A dialog over the page; Escape closes it, and the focus goes back to where it was. */
export function Dialog({ title, onClose, wide, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
    return () => element.current?.close();
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? "wide" : undefined}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <header>
        <h2>{title}</h2>
        <IconButton icon="close" label={t("close")} onClick={onClose} />
      </header>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}
