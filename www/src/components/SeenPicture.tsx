/** The 28 × 28 picture that the drawing becomes, pixel for pixel. */
import { useEffect, useRef } from 'preact/hooks';
import { SIDE } from '../digit/preprocess.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function SeenPicture() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = store.playground.image.value;
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context) return;
    const pixels = context.createImageData(SIDE, SIDE);
    picture.forEach((value, idx) => {
      // White on black, as the training set is.
      pixels.data.fill(Math.round(value * 255), idx * 4, idx * 4 + 3);
      pixels.data[idx * 4 + 3] = 255;
    });
    context.putImageData(pixels, 0, 0);
  }, [picture]);
  return (
    <figure class="seen">
      <canvas ref={canvas} width={SIDE} height={SIDE} aria-hidden="true" />
      <figcaption>{texts.digit.sees}</figcaption>
    </figure>
  );
}
