/** Space starts, pauses and resumes, unless it already means something where the focus is. */

const CONTROLS = 'a[href], button, input, select, textarea, summary, [contenteditable], [tabindex="0"]';

/** Listens for as long as the page lives. */
export function listenForSpace(toggle: () => void): void {
  document.addEventListener('keydown', (event) => {
    if (event.code !== 'Space' || event.repeat || event.defaultPrevented) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.target instanceof Element && event.target.closest(CONTROLS) !== null) return;
    event.preventDefault(); // It would scroll the page.
    toggle();
  });
}
