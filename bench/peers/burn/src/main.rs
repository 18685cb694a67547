//! Burn natively, on one thread: answers each request line of standard input with a line.

use std::io::{BufRead as _, Write as _};

fn main() -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, r#"{{"version":"Burn {}"}}"#, bench_burn::VERSION)?;
    output.flush()?;
    for line in std::io::stdin().lock().lines() {
        writeln!(output, "{}", bench_burn::measure(&line?))?;
        output.flush()?;
    }
    Ok(())
}
