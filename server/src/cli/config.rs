//! Where the values of flags come from: defaults, a file, the environment, the command line, each over those before it.
//!
//! The file's values take the place of the flags' defaults before the command line is read, so that one parser checks
//! them all and the environment and the command line go over them as ever.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, Subcommand};
use serde_json::{Value, json};
use thiserror::Error;
use toml::Table;

use super::client::ClientArgs;
use super::print;
use super::table::{Align, table};

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "tabswarm.toml";
/// Names the file.
const FILE_VARIABLE: &str = "TABSWARM_CONFIG";
/// A configuration is a few lines.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// What must not be shown.
const SECRETS: [&str; 2] = ["admin_token", "token"];

/// Flags that say nothing about the server or the way to it.
const COMMON: [&str; 4] = ["help", "version", "config", "json"];

/// A value that can't be used.
#[derive(Debug, Error)]
#[error("{problem}")]
pub(super) struct Unfit {
    problem: String,
}

impl Unfit {
    fn new(error: &clap::Error) -> Self {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let problem = first.trim_start_matches("error: ").to_owned();
        Self { problem }
    }
}

/// Verbs about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the file, the environment and flags without starting anything.
    #[command(after_help = "Example:\n  tabswarm config check --config /etc/tabswarm.toml")]
    Check(ConfigArgs),
    /// Print every value and where it comes from.
    #[command(
        after_help = "Examples:\n  tabswarm config print\n  tabswarm config print -- --listen 0.0.0.0:8080\n\n\
            A file has the flags' names, with underscores:\n\n  [serve]\n  listen = \"0.0.0.0:8080\"\n  \
            allow_origin = [\"https://blog.example\"]\n\n  [client]\n  admin = \"http://127.0.0.1:8081\""
    )]
    Print(ConfigArgs),
}

/// Flags of `config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Flags of `serve` to look at, too.
    #[arg(last = true)]
    flags: Vec<OsString>,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    path: Option<PathBuf>,
    /// Values as they would be written on the command line, by section and flag.
    sections: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl ConfigFile {
    /// Reads the file that the arguments or the environment name, or the usual one if it is there.
    pub(super) fn load(args: &[OsString]) -> anyhow::Result<Self> {
        let named = named_in(args).or_else(|| std::env::var_os(FILE_VARIABLE));
        let path = match named {
            Some(path) => PathBuf::from(path),
            None if Path::new(DEFAULT_FILE).is_file() => PathBuf::from(DEFAULT_FILE),
            None => return Ok(Self::default()),
        };
        let unreadable = || format!("the configuration {} can't be read", path.display());
        let length = std::fs::metadata(&path).with_context(unreadable)?.len();
        if length > MAX_FILE_BYTES {
            bail!(
                "{}: it has {length} bytes, at most {MAX_FILE_BYTES} are allowed",
                unreadable()
            );
        }
        let text = std::fs::read_to_string(&path).with_context(unreadable)?;
        let sections = parse(&text)
            .with_context(|| format!("the configuration {} is not valid", path.display()))?;
        Ok(Self {
            path: Some(path),
            sections,
        })
    }

    /// Puts the file's values in the place of defaults; keys that are no flags are refused.
    pub(super) fn apply(&self, command: Command) -> anyhow::Result<Command> {
        let serve = command.find_subcommand("serve");
        let serve = serve.map(known_flags).unwrap_or_default();
        let client = known_flags(&ClientArgs::augment_args(Command::new("client")));
        for (section, values) in &self.sections {
            let known = match section.as_str() {
                "serve" => &serve,
                "client" => &client,
                other => bail!(
                    "{}: there is no section [{other}]; there are [serve] and [client]",
                    self.name()
                ),
            };
            if let Some(unknown) = values.keys().find(|key| !known.contains(key)) {
                bail!(
                    "{}: [{section}] has no {unknown}; it can have {}",
                    self.name(),
                    known.join(", ")
                );
            }
        }
        Ok(self.applied(command, "client"))
    }

    fn applied(&self, command: Command, section: &str) -> Command {
        let names: Vec<String> = command
            .get_subcommands()
            .map(|sub| sub.get_name().to_owned())
            .collect();
        let mut command = command;
        for name in names {
            let section = if name == "serve" { "serve" } else { section };
            command = command.mut_subcommand(name, |sub| self.applied(sub, section));
        }
        let Some(values) = self.sections.get(section) else {
            return command;
        };
        for (key, values) in values {
            if command
                .get_arguments()
                .any(|arg| arg.get_id() == key.as_str())
            {
                command = command.mut_arg(key, |arg| with_default(arg, values));
            }
        }
        command
    }

    /// What to say under a message about a value that may be the file's; nothing without a file.
    pub(super) fn hint(&self) -> Option<String> {
        let path = self.path.as_ref()?.display();
        Some(format!(
            "The file {path} was read, too; `tabswarm config print` says where each value comes from."
        ))
    }

    fn name(&self) -> String {
        self.path
            .as_ref()
            .map_or(String::new(), |path| path.display().to_string())
    }

    fn has(&self, section: &str, key: &str) -> bool {
        self.sections
            .get(section)
            .is_some_and(|values| values.contains_key(key))
    }
}

/// The parser takes texts that live as long as the program does.
fn with_default(arg: Arg, values: &[String]) -> Arg {
    let values: Vec<&'static str> = values.iter().map(|value| &*value.clone().leak()).collect();
    arg.default_values(values)
}

fn named_in(args: &[OsString]) -> Option<OsString> {
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        let text = arg.to_str()?;
        if text == "--config" {
            return args.next().cloned();
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    None
}

fn known_flags(command: &Command) -> Vec<String> {
    let ids = command.get_arguments().map(|arg| arg.get_id().to_string());
    ids.filter(|id| !COMMON.contains(&id.as_str())).collect()
}

fn parse(text: &str) -> anyhow::Result<BTreeMap<String, BTreeMap<String, Vec<String>>>> {
    let all: Table = text.parse()?;
    let mut sections = BTreeMap::new();
    for (section, content) in all {
        let toml::Value::Table(content) = content else {
            bail!("{section} stands outside of a section; write it below [serve] or [client]");
        };
        let mut values = BTreeMap::new();
        for (key, value) in content {
            let words = words_of(&value).with_context(|| format!("{section}.{key}"))?;
            values.insert(key, words);
        }
        sections.insert(section, values);
    }
    Ok(sections)
}

/// A value as words of the command line.
fn words_of(value: &toml::Value) -> anyhow::Result<Vec<String>> {
    match value {
        toml::Value::String(text) => Ok(vec![text.clone()]),
        toml::Value::Integer(number) => Ok(vec![number.to_string()]),
        toml::Value::Array(all) => {
            let words: anyhow::Result<Vec<Vec<String>>> = all.iter().map(words_of).collect();
            Ok(words?.concat())
        }
        other => bail!(
            "a value of the type {} can't be used: write a text, a whole number, or a list of those",
            other.type_str()
        ),
    }
}

impl ConfigCommand {
    pub(super) fn run(self, file: &ConfigFile, command: &Command) -> anyhow::Result<()> {
        let (args, prints) = match self {
            Self::Check(args) => (args, false),
            Self::Print(args) => (args, true),
        };
        let rows = rows(file, command, &args.flags)?;
        if args.json {
            return print(&Value::from(rows.iter().map(Row::json).collect::<Vec<_>>()).to_string());
        }
        if !prints {
            return print(&match &file.path {
                Some(path) => format!("{} is valid, and so is the environment.", path.display()),
                None => format!("There is no {DEFAULT_FILE}; the environment is valid."),
            });
        }
        let columns = [
            ("KEY", Align::Left),
            ("VALUE", Align::Left),
            ("FROM", Align::Left),
        ];
        let rows: Vec<_> = rows.into_iter().map(Row::cells).collect();
        print(&table(&columns, &rows))
    }
}

/// A value.
struct Row {
    key: String,
    value: Option<String>,
    source: String,
}

impl Row {
    fn json(&self) -> Value {
        json!({ "key": self.key, "value": self.value, "from": self.source })
    }

    fn cells(self) -> Vec<String> {
        vec![
            self.key,
            self.value.unwrap_or_else(|| "-".to_owned()),
            self.source,
        ]
    }
}

/// All values of the server's flags and of those that verbs share.
fn rows(file: &ConfigFile, command: &Command, flags: &[OsString]) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (section, words) in [("serve", &["serve"][..]), ("client", &["run", "list"][..])] {
        let flags = flags.iter().filter(|_| section == "serve").cloned();
        let line = ["tabswarm"]
            .iter()
            .chain(words)
            .map(OsString::from)
            .chain(flags);
        let matches = command.clone().try_get_matches_from(line);
        let matches = matches.map_err(|error| Unfit::new(&error))?;
        let (mut own, mut at) = (&matches, command);
        for word in words {
            let (Some(inner), Some(sub)) = (own.subcommand_matches(word), at.find_subcommand(word))
            else {
                bail!("there is no verb {word}");
            };
            (own, at) = (inner, sub);
        }
        // Flags with a value of the file have moved behind the others.
        let mut of_section: Vec<Row> = at
            .get_arguments()
            .filter(|arg| !COMMON.contains(&arg.get_id().as_str()))
            .map(|arg| row(file, section, arg, own))
            .collect();
        of_section.sort_by(|a, b| a.key.cmp(&b.key));
        rows.extend(of_section);
    }
    Ok(rows)
}

fn row(file: &ConfigFile, section: &str, arg: &Arg, matches: &ArgMatches) -> Row {
    let id = arg.get_id().as_str();
    let source = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "flag".to_owned(),
        Some(ValueSource::EnvVariable) => {
            let variable = arg.get_env().unwrap_or_default();
            format!("environment, {}", variable.to_string_lossy())
        }
        Some(_) if file.has(section, id) => format!("file {}", file.name()),
        _ => "default".to_owned(),
    };
    let values = matches.get_raw(id).into_iter().flatten();
    let values: Vec<_> = values
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    let value = match values.len() {
        0 => None,
        _ if SECRETS.contains(&id) => Some("(hidden)".to_owned()),
        _ => Some(values.join(", ")),
    };
    Row {
        key: format!("{section}.{id}"),
        value,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_before_the_flags_of_others() {
        let named = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            named_in(&args).map(|path| path.into_string().unwrap())
        };
        assert_eq!(
            named(&["tabswarm", "serve", "--config", "a.toml"]).as_deref(),
            Some("a.toml")
        );
        assert_eq!(
            named(&["tabswarm", "--config=b.toml", "serve"]).as_deref(),
            Some("b.toml")
        );
        assert_eq!(
            named(&["tabswarm", "config", "print", "--", "--config", "c"]),
            None
        );
        assert_eq!(named(&["tabswarm", "serve", "--config"]), None);
    }

    #[test]
    fn files_have_sections_with_plain_values() {
        let read = parse("[serve]\nlisten = \"a\"\nmax_workers = 3\nallow_origin = [\"x\", \"y\"]")
            .unwrap();
        assert_eq!(read["serve"]["listen"], ["a"]);
        assert_eq!(read["serve"]["max_workers"], ["3"]);
        assert_eq!(read["serve"]["allow_origin"], ["x", "y"]);
        for wrong in [
            "listen = \"a\"",
            "[serve]\nx = { y = 1 }",
            "[serve]\nx = 1.5",
            "no toml",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
