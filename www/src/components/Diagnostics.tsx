/** Copies what a bug report needs. */
import { useState } from 'preact/hooks';
import { diagnostics } from '../state/diagnostics.ts';
import { texts } from '../texts.ts';

/** How long the button says that it worked. */
const COPIED_MS = 2_000;

export function Diagnostics() {
  const [copied, setCopied] = useState(false);
  const [manual, setManual] = useState<string | null>(null);
  const copy = async (): Promise<void> => {
    const text = diagnostics();
    try {
      await navigator.clipboard.writeText(text);
      setManual(null);
      setCopied(true);
      setTimeout(() => setCopied(false), COPIED_MS);
    } catch {
      // No permission, or the page is not served securely: the text is shown instead.
      setManual(text);
    }
  };
  return (
    <div class="diagnostics">
      <button
        type="button"
        class="button plain"
        data-testid="copy-diagnostics"
        aria-describedby="diagnostics-help"
        onClick={() => void copy()}
      >
        {copied ? texts.diagnostics.copied : texts.diagnostics.copy}
      </button>
      <span class="fine" id="diagnostics-help" role="status">
        {manual === null ? texts.diagnostics.help : texts.diagnostics.manual}
      </span>
      {manual !== null && (
        <textarea
          readOnly
          rows={8}
          aria-label={texts.diagnostics.copy}
          value={manual}
          onFocus={(event) => event.currentTarget.select()}
        />
      )}
    </div>
  );
}
