//! The run file of a fork.

/// A run file with another name in it, otherwise as it was written.
pub(super) fn renamed(run_toml: &str, name: &str) -> String {
    let is_name = |line: &str| {
        let key = line.split_once('=').map(|(key, _)| key.trim());
        matches!(key, Some("name" | "\"name\""))
    };
    let mut lines: Vec<String> = run_toml.lines().map(str::to_owned).collect();
    // Keys of the run itself come before the first table.
    let top = lines
        .iter_mut()
        .take_while(|line| !line.trim_start().starts_with('['));
    if let Some(line) = top.into_iter().find(|line| is_name(line)) {
        *line = format!("name = {name:?}");
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_run_is_another_one() {
        let text = "# A name\nname = \"old\" # here\nseed = 1\n[about]\nname = \"kept\"\n";
        let expected = "# A name\nname = \"new\"\nseed = 1\n[about]\nname = \"kept\"\n";
        assert_eq!(renamed(text, "new"), expected);
        assert_eq!(renamed("\"name\" = 'old'\n", "new"), "name = \"new\"\n");
    }
}
