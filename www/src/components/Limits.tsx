/** What the volunteer allows: share, lanes and rules. */
import { formatBytes, formatPercent } from '../format.ts';
import { canStayAwake } from '../state/awake.ts';
import {
  BATTERY_FLOORS,
  DATA_CAPS_MB,
  DUTY_MAX,
  DUTY_MIN,
  DUTY_STEP,
} from '../state/preferences.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function Limits() {
  return (
    <section class="limits" aria-labelledby="limits-heading">
      <h2 id="limits-heading">{texts.limits.heading}</h2>
      <div class="limits-grid">
        <Duty />
        <Lanes />
        <HiddenRule />
        <BatteryRule />
        <Floor />
        <Cap />
        <GpuRule />
        <AwakeRule />
      </div>
      {!store.remembers.value && (
        <p class="fine memory" role="status" data-testid="no-memory">
          {texts.limits.memory}
        </p>
      )}
    </section>
  );
}

function Duty() {
  const { settings } = store.preferences.value;
  const { phase, status } = store.session.value;
  const measured =
    phase === 'live' && status !== null
      ? texts.limits.dutyHelp(formatPercent(status.busy_ratio))
      : texts.limits.dutyUnmeasured;
  const change = (value: string): void =>
    store.setSettings({ ...settings, duty_percent: Number(value) });
  return (
    <div class="limit">
      <label for="duty">{texts.limits.duty}</label>
      <div class="limit-control">
        <input
          id="duty"
          type="range"
          data-testid="duty"
          min={DUTY_MIN}
          max={DUTY_MAX}
          step={DUTY_STEP}
          value={settings.duty_percent}
          aria-valuetext={formatPercent(settings.duty_percent / 100)}
          aria-describedby="duty-help"
          onInput={(event) => change(event.currentTarget.value)}
        />
        <output class="limit-value" for="duty" aria-live="off">
          {formatPercent(settings.duty_percent / 100)}
        </output>
      </div>
      <p class="fine" id="duty-help" data-testid="busy">
        {measured}
      </p>
    </div>
  );
}

function Lanes() {
  const { settings } = store.preferences.value;
  return (
    <div class="limit">
      <label for="lanes">{texts.limits.lanes}</label>
      <div class="limit-control">
        <select
          id="lanes"
          data-testid="lanes"
          aria-describedby="lanes-help"
          value={settings.lanes}
          onChange={(event) =>
            store.setSettings({ ...settings, lanes: Number(event.currentTarget.value) })
          }
        >
          {Array.from({ length: store.cores }, (_, idx) => (
            <option key={idx} value={idx + 1}>
              {idx + 1}
            </option>
          ))}
        </select>
      </div>
      <p class="fine" id="lanes-help">
        {texts.limits.lanesHelp(store.cores)}
      </p>
    </div>
  );
}

function HiddenRule() {
  const { pauseWhenHidden } = store.preferences.value;
  return (
    <Rule
      id="rule-hidden"
      label={texts.limits.hidden}
      help={texts.limits.hiddenHelp}
      checked={pauseWhenHidden}
      onChange={(checked) => store.setPreferences({ pauseWhenHidden: checked })}
    />
  );
}

function BatteryRule() {
  const { pauseOnBattery } = store.preferences.value;
  const known = store.page.battery.value !== null;
  return (
    <Rule
      id="rule-battery"
      label={texts.limits.battery}
      help={known ? texts.limits.batteryHelp : texts.limits.batteryUnknown}
      checked={known && pauseOnBattery}
      disabled={!known}
      onChange={(checked) => store.setPreferences({ pauseOnBattery: checked })}
    />
  );
}

interface ChoiceProps {
  id: string;
  label: string;
  help: string;
  value: number;
  options: readonly number[];
  show(value: number): string;
  /** The figure in the help, as read by tests. */
  raw?: { testId: string; value: number };
  disabled?: boolean;
  onChange(value: number): void;
}

function Choice({ id, label, help, value, options, show, raw, disabled = false, onChange }: ChoiceProps) {
  return (
    <div class="limit">
      <label for={id}>{label}</label>
      <div class="limit-control">
        <select
          id={id}
          data-testid={id}
          value={value}
          disabled={disabled}
          aria-describedby={`${id}-help`}
          onChange={(event) => onChange(Number(event.currentTarget.value))}
        >
          {options.map((option) => (
            <option key={option} value={option}>
              {show(option)}
            </option>
          ))}
        </select>
      </div>
      <p class="fine" id={`${id}-help`} data-testid={raw?.testId} data-value={raw?.value}>
        {help}
      </p>
    </div>
  );
}

function Floor() {
  const words = texts.limits;
  const known = store.page.battery.value !== null;
  return (
    <Choice
      id="battery-floor"
      label={words.floor}
      help={known ? words.floorHelp : words.batteryUnknown}
      value={store.preferences.value.batteryFloor}
      options={BATTERY_FLOORS}
      show={(percent) => formatPercent(percent / 100)}
      disabled={!known}
      onChange={(batteryFloor) => store.setPreferences({ batteryFloor })}
    />
  );
}

function Cap() {
  const words = texts.limits;
  return (
    <Choice
      id="data-cap"
      label={words.cap}
      help={words.capHelp(formatBytes(store.usage.today.value))}
      value={store.preferences.value.dataCapMb}
      options={DATA_CAPS_MB}
      raw={{ testId: 'data-used', value: store.usage.today.value }}
      show={(mb) => (mb === 0 ? words.capNone : formatBytes(mb * 1_000_000))}
      onChange={(dataCapMb) => store.setPreferences({ dataCapMb })}
    />
  );
}

/** Says what came of it; explained while there is nothing to switch on. */
function GpuRule() {
  const { settings } = store.preferences.value;
  const { backend } = store.session.value.status ?? {};
  const words = texts.limits;
  const isThere = store.gpu.value === 'ready' || settings.gpu === 'always';
  const help =
    isThere && settings.gpu !== 'off' && backend
      ? words.gpuChosen[backend.kind](backend.reason)
      : words.gpuReasons[store.gpu.value];
  return (
    <Rule
      id="rule-gpu"
      label={words.gpu}
      help={help}
      checked={isThere && settings.gpu !== 'off'}
      disabled={!isThere}
      onChange={(checked) => store.setSettings({ ...settings, gpu: checked ? 'auto' : 'off' })}
    />
  );
}

function AwakeRule() {
  const words = texts.limits;
  return (
    <Rule
      id="rule-awake"
      label={words.awake}
      help={canStayAwake ? words.awakeHelp : words.awakeUnknown}
      checked={canStayAwake && store.preferences.value.keepAwake}
      disabled={!canStayAwake}
      onChange={(keepAwake) => store.setPreferences({ keepAwake })}
    />
  );
}

interface RuleProps {
  id: string;
  label: string;
  help: string;
  checked: boolean;
  disabled?: boolean;
  onChange(checked: boolean): void;
}

function Rule({ id, label, help, checked, disabled = false, onChange }: RuleProps) {
  return (
    <div class="limit rule">
      <input
        id={id}
        type="checkbox"
        role="switch"
        data-testid={id}
        checked={checked}
        disabled={disabled}
        aria-describedby={`${id}-help`}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <div>
        <label for={id}>{label}</label>
        <p class="fine" id={`${id}-help`}>
          {help}
        </p>
      </div>
    </div>
  );
}
