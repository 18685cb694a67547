/** What the volunteer allows: share, lanes and rules. */
import { formatPercent } from '../format.ts';
import { DUTY_MAX, DUTY_MIN, DUTY_STEP } from '../state/preferences.ts';
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
      </div>
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
