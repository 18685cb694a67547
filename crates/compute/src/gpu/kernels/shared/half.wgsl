// Buffers whose values may be in half precision: then two share a word, the first of them its lower half.

override HALF: bool = false;

fn word_of(i: u32) -> u32 {
    return select(i, i / 2, HALF);
}

// Value i, given the word that has it.
fn value_in(word: u32, i: u32) -> f32 {
    if HALF {
        return unpack2x16float(word >> (i % 2 * 16)).x;
    }
    return bitcast<f32>(word);
}
