/** Inline icons: decoration beside a label, so hidden from assistive technology. */
import type { ComponentChildren } from 'preact';

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

export const PlayIcon = () => (
  <Icon>
    <path d="M4.5 2.6v10.8a.6.6 0 0 0 .92.5l8.3-5.4a.6.6 0 0 0 0-1L5.42 2.1a.6.6 0 0 0-.92.5Z" />
  </Icon>
);

export const PauseIcon = () => (
  <Icon>
    <rect x="3" y="2.5" width="3.4" height="11" rx="0.8" />
    <rect x="9.6" y="2.5" width="3.4" height="11" rx="0.8" />
  </Icon>
);

export const ReloadIcon = () => (
  <Icon>
    <path d="M8 2.2a5.8 5.8 0 1 0 5.7 7 .8.8 0 0 0-1.57-.34A4.2 4.2 0 1 1 8 3.8c1.1 0 2.1.42 2.85 1.12L9.4 6.4a.5.5 0 0 0 .36.85h3.74a.5.5 0 0 0 .5-.5V3.02a.5.5 0 0 0-.85-.36l-1.16 1.15A5.8 5.8 0 0 0 8 2.2Z" />
  </Icon>
);

export const MoonIcon = () => (
  <Icon>
    <path d="M6.2 1.9a6.3 6.3 0 1 0 7.9 7.9.5.5 0 0 0-.72-.56A5 5 0 0 1 6.76 2.6a.5.5 0 0 0-.56-.7Z" />
  </Icon>
);

export const SunIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="3.2" />
    <path
      d="M8 .8v2M8 13.2v2M15.2 8h-2M2.8 8h-2M13.1 2.9l-1.4 1.4M4.3 11.7l-1.4 1.4M13.1 13.1l-1.4-1.4M4.3 4.3 2.9 2.9"
      fill="none"
      stroke="currentColor"
      stroke-width="1.4"
      stroke-linecap="round"
    />
  </Icon>
);

/** The mark: tabs around one that is yours. */
export const Mark = () => (
  <svg class="mark" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
    <g fill="var(--night-swarm)">
      <circle cx="3" cy="3.4" r="1.9" />
      <circle cx="10" cy="2.2" r="1.9" />
      <circle cx="17" cy="3.4" r="1.9" />
      <circle cx="2.4" cy="16" r="1.9" />
      <circle cx="10" cy="18" r="1.9" />
      <circle cx="17.6" cy="16" r="1.9" />
    </g>
    <circle cx="10" cy="10" r="3.6" fill="var(--mine)" />
  </svg>
);
