//! The command line.

use clap::{Args, Parser, Subcommand};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::Token;
use tabswarm_protocol::limits::{MAX_LANES, MAX_RUN_NAME_BYTES};

use crate::address::ServerAddress;
use crate::bench::BenchArgs;
use crate::config::{WorkerConfig, default_lanes, memory_mib};
use crate::gpu::BackendWish;
use crate::probe::ProbeArgs;
use crate::telemetry::LogFormat;

/// Compute for a Tabswarm server without a browser.
///
/// Ctrl-C finishes the work in progress and leaves; a second one leaves at once.
#[derive(Debug, Parser)]
#[command(
    name = "tabswarm-worker",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// Something else than to work.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What to work on.
    #[command(flatten)]
    pub work: WorkArgs,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure how fast this machine computes.
    Bench(BenchArgs),
    /// Show what this machine has to compute with, and what a worker would choose.
    Probe(ProbeArgs),
}

/// Options of a worker.
#[derive(Debug, Args)]
pub struct WorkArgs {
    /// URL of the server, with http or https. None only beside a [`Command`].
    #[arg(long, value_name = "URL", required = true)]
    pub server: Option<ServerAddress>,

    /// Work for this run only.
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub run: Option<String>,

    /// Threads that compute [default: one for each CPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LANES)))]
    pub lanes: Option<u16>,

    /// Share of the time in which threads may compute, in percent.
    #[arg(long, value_name = "PCT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub duty: u8,

    /// Memory that runs may count on, in MiB [default: this machine's].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub memory_mib: Option<u32>,

    /// What to compute with; auto measures and takes the faster one. Runs that are reproducible, or whose codec is
    /// exact, compute on the CPU.
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t = BackendWish::Auto)]
    pub backend: BackendWish,

    /// Leave when the run is finished.
    #[arg(long)]
    pub exit_when_done: bool,

    /// For closed servers: 64 hexadecimal digits.
    #[arg(long, value_name = "T", env = "TABSWARM_JOIN_TOKEN", hide_env_values = true, value_parser = join_token)]
    pub join_token: Option<Token>,

    /// How log lines look; `json` also replaces the progress bar.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl WorkArgs {
    /// The worker's settings.
    pub fn config(&self) -> WorkerConfig {
        WorkerConfig {
            server: (self.server.clone()).expect("required wherever there is no command"),
            run: self.run.clone(),
            lanes: self.lanes.unwrap_or_else(default_lanes),
            duty_percent: self.duty,
            exit_when_done: self.exit_when_done,
            join_token: self.join_token,
            memory_mib: self.memory_mib.unwrap_or_else(memory_mib),
            backend: self.backend,
        }
    }
}

fn run_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_RUN_NAME_BYTES {
        return Err(format!(
            "a run's name has 1 to {MAX_RUN_NAME_BYTES} characters"
        ));
    }
    Ok(text.to_owned())
}

fn join_token(text: &str) -> Result<Token, String> {
    let bytes =
        Digest::from_hex(text.trim()).ok_or("a join token is 64 lower-case hexadecimal digits")?;
    Ok(Token(bytes.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{ClassName, Work};
    use clap::CommandFactory as _;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["tabswarm-worker"], args].concat())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn all_options() {
        let token = "ab".repeat(32);
        let args = [
            "--server",
            "http://127.0.0.1:8080",
            "--run",
            "mnist-mlp",
            "--lanes",
            "3",
            "--duty",
            "50",
            "--memory-mib",
            "512",
            "--backend",
            "gpu",
            "--exit-when-done",
            "--join-token",
            &token,
            "--log-format",
            "json",
        ];
        let config = parse(&args).unwrap().work.config();
        assert_eq!(config.server.to_string(), "http://127.0.0.1:8080");
        assert_eq!(config.run.as_deref(), Some("mnist-mlp"));
        assert_eq!((config.lanes, config.duty_percent), (3, 50));
        assert_eq!(config.memory_mib, 512);
        assert_eq!(config.backend, BackendWish::Gpu);
        assert!(config.exit_when_done);
        assert_eq!(config.join_token, Some(Token([0xab; 32])));
    }

    #[test]
    fn a_measurement_needs_no_server() {
        let cli = parse(&["bench", "--work", "gpt", "--lanes", "1", "--class", "fused"]).unwrap();
        let Some(Command::Bench(bench)) = cli.command else {
            panic!("no measurement: {cli:?}");
        };
        assert_eq!(bench.work, Work::Gpt);
        assert_eq!(
            (bench.lanes, bench.class),
            (Some(1), Some(ClassName::Fused))
        );
        let cli = parse(&["probe", "--work", "cnn"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Probe(_))), "{cli:?}");
        let both = parse(&["--server", "http://a", "bench"]).unwrap_err();
        assert_eq!(both.exit_code(), 2);
    }

    #[test]
    fn mistakes_are_usage_errors() {
        let server = ["--server", "http://a"];
        let cases: [&[&str]; 8] = [
            &["--backend", "tpu"],
            &[],
            &["--server", "localhost:8080"],
            &["--lanes", "0"],
            &["--duty", "101"],
            &["--run", ""],
            &["--memory-mib", "0"],
            &["--join-token", "secret"],
        ];
        for case in cases {
            let args = if case.is_empty() || case[0] == "--server" {
                case.to_vec()
            } else {
                [&server, case].concat()
            };
            assert_eq!(parse(&args).unwrap_err().exit_code(), 2, "{case:?}");
        }
    }
}
