/**
 * Decides from the device's signals and the volunteer's rules whether the engine must hold,
 * and what to tell it. Pure: the store feeds it and sends what comes out.
 */
import type { PauseReason, ToDriver } from '../engine/contract.ts';

/** What the platform says about the battery; null where it says nothing. */
export interface Battery {
  charging: boolean;
  /** Charge, 0 to 1. */
  level: number;
}

/** Everything the decision depends on. */
export interface PauseInputs {
  userPaused: boolean;
  hidden: boolean;
  battery: Battery | null;
  pauseWhenHidden: boolean;
  pauseOnBattery: boolean;
  /** Charge in percent at which a discharging device is left alone, whatever the other rules say. */
  batteryFloor: number;
  /** Bytes used today, and how many may be; none for any number. */
  bytesToday: number;
  bytesMax: number | null;
  /** "Resume anyway" was pressed; holds until the device is plugged in again. */
  batteryOverride: boolean;
}

/** The strongest reason to hold, or null to compute. The volunteer's own word comes first. */
export function pauseReason(inputs: PauseInputs): PauseReason | null {
  if (inputs.userPaused) return 'user';
  const { battery } = inputs;
  if (battery !== null && !battery.charging && !inputs.batteryOverride) {
    if (battery.level * 100 <= inputs.batteryFloor) return 'battery_low';
    if (inputs.pauseOnBattery) return 'on_battery';
  }
  if (inputs.bytesMax !== null && inputs.bytesToday >= inputs.bytesMax) return 'data_cap';
  if (inputs.hidden && inputs.pauseWhenHidden) return 'hidden';
  return null;
}

/** The message that moves the engine from one decision to the next; null if nothing changed. */
export function pauseMessage(from: PauseReason | null, to: PauseReason | null): ToDriver | null {
  if (from === to) return null;
  return to === null ? { kind: 'resume' } : { kind: 'pause', reason: to };
}
