/** The browser reads a large file for a while after it was told to. */
const RELEASE_MS = 60_000;

/** Hands a file to the browser, as a link to it would. */
export function save(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), RELEASE_MS);
}
