/** The newest model: as a safetensors file, written by the engine in this tab, or from the server as ONNX. */
import { useState } from 'preact/hooks';
import { exportPath, fetchParams, fetchRunJson } from '../api/client.ts';
import type { RunStatus, Snapshot } from '../api/types.ts';
import { PredictClient } from '../engine/client.ts';
import { save } from '../save.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

async function download(run: RunStatus, snapshot: Snapshot): Promise<void> {
  const client = new PredictClient();
  try {
    const [json, params] = await Promise.all([
      fetchRunJson(run.name),
      fetchParams(snapshot.params_digest),
    ]);
    const bytes = await client.file(json, snapshot.version, params);
    const content = new Blob([bytes], { type: 'application/octet-stream' });
    save(`${run.name}-step-${snapshot.version}.safetensors`, content);
  } finally {
    client.end();
  }
}

export function Download({ run }: { run: RunStatus }) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const snapshot = store.playground.snapshots.value[0];
  if (snapshot === undefined) return null;
  const begin = (): void => {
    setBusy(true);
    setFailure(null);
    download(run, snapshot)
      .catch((error: unknown) => setFailure(error instanceof Error ? error.message : String(error)))
      .finally(() => setBusy(false));
  };
  const words = texts.run;
  return (
    <span class="download">
      <button
        type="button"
        class="link-button"
        data-testid="download"
        disabled={busy}
        aria-describedby="download-help"
        onClick={begin}
      >
        {words.download}
      </button>
      <a href={exportPath(run.name, 'onnx')} download data-testid="download-onnx">
        {words.downloadOnnx}
      </a>
      <span class="fine" id="download-help" role="status">
        {failure ?? (busy ? words.downloading : words.downloadHelp(snapshot.version))}
      </span>
    </span>
  );
}
