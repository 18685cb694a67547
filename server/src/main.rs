//! The binary `tabswarm`.

fn main() -> std::process::ExitCode {
    tabswarm_server::cli::main()
}
