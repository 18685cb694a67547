//! `tabswarm token …`.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::client::{ClientArgs, parse};
use super::duration::parse_duration;
use super::table::{Align, or_dash, plain, table};
use super::time::utc;
use super::{more, print};
use crate::auth::Scope;

/// Verbs about tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Issue a token for the admin listener. It is printed once and stored nowhere.
    #[command(
        after_help = "Examples:\n  tabswarm token issue Grafana --scope metrics\n  \
            tabswarm token issue \"night shift\" --scope operate --expires 12h"
    )]
    Issue(IssueArgs),
    /// List tokens, also those that are void.
    #[command(after_help = "Example:\n  tabswarm token list --json")]
    List {
        /// Those with larger ids.
        #[arg(long, value_name = "ID", default_value_t = 0)]
        after: u64,
        /// At most so many; at most 1,000.
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        limit: u32,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Revoke a token: it opens nothing from then on.
    #[command(after_help = "Example:\n  tabswarm token revoke 3")]
    Revoke {
        /// The token's id, as the list has it.
        id: u64,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// A token to issue.
#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    /// For whom or what it is.
    label: String,
    /// What it is good for; each scope includes those before it.
    #[arg(long, value_enum)]
    scope: Scope,
    /// It is void after so long, such as 90m, 12h or 30d; never if left out.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Issued {
    token: String,
    #[serde(flatten)]
    about: TokenRow,
}

#[derive(Debug, Deserialize)]
struct Page {
    tokens: Vec<TokenRow>,
    next: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct TokenRow {
    id: u64,
    label: String,
    kind: String,
    scope: Option<String>,
    state: String,
    created_ms: u64,
    expires_ms: Option<u64>,
}

impl TokenCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Issue(args) => args.run(),
            Self::List {
                after,
                limit,
                client,
            } => list(after, limit, &client),
            Self::Revoke { id, client } => {
                let answer = client.client()?.delete(&format!("/admin/tokens/{id}"))?;
                if client.json {
                    return print(&answer);
                }
                let row: TokenRow = parse(&answer)?;
                print(&format!("Token {id} ({}) is revoked.", plain(&row.label)))
            }
        }
    }
}

impl IssueArgs {
    fn run(self) -> anyhow::Result<()> {
        let body = json!({
            "label": self.label,
            "scope": self.scope,
            "expires_in_s": self.expires,
        });
        let client = self.client.client()?;
        let answer = client.post("/admin/tokens", &body.to_string())?;
        if self.client.json {
            return print(&answer);
        }
        let Issued { token, about } = parse(&answer)?;
        let until = about
            .expires_ms
            .map_or("until it is revoked".to_owned(), |at| {
                format!("until {}", utc(at))
            });
        print(&format!(
            "{token}\n\nThis is token {}, of the scope {}, valid {until}. It is not shown again: keep it now.",
            about.id,
            or_dash(about.scope),
        ))
    }
}

fn list(after: u64, limit: u32, client: &ClientArgs) -> anyhow::Result<()> {
    let path = format!("/admin/tokens?after={after}&limit={limit}");
    let answer = client.client()?.get(&path)?;
    if client.json {
        return print(&answer);
    }
    let Page { tokens, next } = parse(&answer)?;
    if tokens.is_empty() {
        return print(
            "There are no tokens but the admin token; issue one with `tabswarm token issue`.",
        );
    }
    let columns = [
        ("ID", Align::Right),
        ("STATE", Align::Left),
        ("KIND", Align::Left),
        ("SCOPE", Align::Left),
        ("ISSUED", Align::Left),
        ("EXPIRES", Align::Left),
        ("LABEL", Align::Left),
    ];
    let rows: Vec<_> = tokens.into_iter().map(TokenRow::cells).collect();
    let more = more(next);
    print(&format!("{}{more}", table(&columns, &rows)))
}

impl TokenRow {
    fn cells(self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.state,
            self.kind,
            or_dash(self.scope),
            utc(self.created_ms),
            or_dash(self.expires_ms.map(utc)),
            plain(&self.label),
        ]
    }
}
