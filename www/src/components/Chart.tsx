/** One curve over steps. uPlot draws on a canvas; the heading carries the figures as text. */
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { formatCount } from '../format.ts';
import { texts } from '../texts.ts';
import { useTheme } from './theme.ts';

const HEIGHT_PX = 220;

interface ChartProps {
  label: string;
  testId: string;
  /** Name of the color token of the (last) line. */
  color: string;
  /** Name of the color token of the first of two lines. */
  faintColor?: string;
  data: { xs: number[]; lines: number[][] };
  latest: number | null;
  format(value: number): string;
  formatTick(value: number): string;
  empty: string;
  /** Draws a dot at each point. */
  marked?: boolean;
}

export function Chart(props: ChartProps) {
  const { label, testId, latest, format, data, empty } = props;
  const host = useRef<HTMLDivElement>(null);
  const [hovered, setHovered] = useState<number | null>(null);
  usePlot(host, props, setHovered);

  const line = data.lines.at(-1) ?? [];
  const hoveredValue = hovered === null ? undefined : line[hovered];
  const shown = hoveredValue ?? latest;
  const latestText = latest === null ? '–' : format(latest);
  const where =
    hovered !== null && hoveredValue !== undefined
      ? texts.charts.at(data.xs[hovered] ?? 0)
      : texts.charts.now;
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-label">{label}</span>
        <span class="chart-where">{where}</span>
        <span
          class="chart-value"
          data-testid={testId}
          data-value={latest ?? undefined}
          style={{ color: `var(${props.color})` }}
        >
          {shown === null ? '–' : format(shown)}
        </span>
      </figcaption>
      <div
        class="chart-plot"
        ref={host}
        role="img"
        aria-label={texts.charts.alternative(label, latestText)}
      />
      {data.xs.length === 0 && <p class="chart-empty">{empty}</p>}
    </figure>
  );
}

/** Keeps one plot in `host`: rebuilt with the theme, resized with the page, fed with the data. */
function usePlot(
  host: { current: HTMLDivElement | null },
  props: ChartProps,
  onHover: (idx: number | null) => void,
): void {
  const plot = useRef<uPlot | null>(null);
  const theme = useTheme();
  const data = [props.data.xs, ...props.data.lines] as uPlot.AlignedData;

  useEffect(() => {
    const parent = host.current;
    if (parent === null) return undefined;
    const made = new uPlot(plotOptions(parent, props, onHover), data, parent);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (parent.clientWidth > 0) made.setSize({ width: parent.clientWidth, height: HEIGHT_PX });
    });
    observer.observe(parent);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [theme]);

  useEffect(() => plot.current?.setData(data), [props.data]);
}

/** A canvas cannot read `var()` or `light-dark()`: the browser resolves them here. */
function resolveColor(parent: HTMLElement, token: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${token})`;
  parent.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function plotOptions(
  parent: HTMLElement,
  { color, faintColor, formatTick, marked = false }: ChartProps,
  onHover: (idx: number | null) => void,
): uPlot.Options {
  const soft = resolveColor(parent, '--ink-soft');
  const grid = resolveColor(parent, '--line');
  const strong = resolveColor(parent, color);
  const font = `12px ${getComputedStyle(parent).fontFamily}`;
  const axis = { stroke: soft, font, ticks: { show: false } };
  const points = marked ? { size: 6, fill: strong, stroke: strong } : { show: false };
  const line = { stroke: strong, width: 2, points };
  const faint = faintColor
    ? [{ stroke: resolveColor(parent, faintColor), width: 1, points: { show: false } }]
    : [];
  return {
    width: Math.max(parent.clientWidth, 1),
    height: HEIGHT_PX,
    // The last step's number may stand half beside the plot.
    padding: [8, 22, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 8, fill: strong } },
    scales: {
      x: { time: false, range: (_, __, max) => [0, max || 1] },
      y: { range: (_, min, max) => valueRange(min, max) },
    },
    axes: [
      {
        ...axis,
        size: 28,
        space: 64,
        grid: { show: false },
        values: (_, splits) => splits.map(formatCount),
      },
      {
        ...axis,
        size: 52,
        space: 40,
        grid: { stroke: grid, width: 1 },
        values: (_, splits) => splits.map(formatTick),
      },
    ],
    series: [{}, ...faint, line],
    hooks: { setCursor: [(plot) => onHover(plot.cursor.idx ?? null)] },
  };
}

/** Some air around the values, and room for a curve that is flat or not there yet. */
function valueRange(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return [0, 1];
  const pad = Math.max((max - min) * 0.08, Math.abs(max) * 0.02, 1e-4);
  return [Math.max(0, min - pad), max + pad];
}
