//! `tabswarm events` and `tabswarm credits`.

use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{ClientArgs, parse};
use super::run::checked_name;
use super::table::{Align, grouped, or_dash, plain, table};
use super::time::utc;
use super::{more, print, print_lines};

/// `--follow` asks so often.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Which events.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tabswarm events --run mnist-mlp\n  tabswarm events --follow\n\n\
    With --follow, --json prints an event a line."
)]
pub(super) struct EventsArgs {
    /// Those of one run.
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// So many, the newest ones; at most 1,000.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Print them as they come, until interrupted.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Whose credits.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tabswarm credits --run mnist-mlp")]
pub(super) struct CreditsArgs {
    /// Those of one run; of all runs together if left out.
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// So many identities, those with the most samples; at most 1,000.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Those behind this place, which a list told that was not whole.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct EventsAnswer {
    events: Vec<EventRow>,
    newest: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct EventRow {
    id: u64,
    at_ms: u64,
    kind: String,
    run_id: Option<u32>,
    run: Option<String>,
    detail: Value,
}

#[derive(Debug, Deserialize)]
struct CreditsAnswer {
    samples: u64,
    credits: Vec<CreditRow>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CreditRow {
    identity: String,
    samples: u64,
    kind: Option<String>,
    software: Option<String>,
    last_seen_ms: Option<u64>,
}

impl EventsArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let client = self.client.client()?;
        let of_run = of_run(self.run.as_deref())?;
        let answer = client.get(&format!("/admin/events?limit={}{of_run}", self.limit))?;
        if self.client.json && !self.follow {
            return print(&answer);
        }
        let EventsAnswer { events, mut newest } = parse(&answer)?;
        if events.is_empty() && !self.follow {
            return print("There are no events.");
        }
        let mut is_read = self.print(&events)?;
        while self.follow && is_read {
            sleep(FOLLOW_INTERVAL);
            let path = format!("/admin/events?limit={}&after={newest}{of_run}", self.limit);
            let answer: EventsAnswer = parse(&client.get(&path)?)?;
            newest = answer.newest;
            is_read = self.print(&answer.events)?;
        }
        Ok(())
    }

    fn print(&self, events: &[EventRow]) -> anyhow::Result<bool> {
        let line = |event: &EventRow| {
            if self.client.json {
                return Ok(serde_json::to_string(event)?);
            }
            let of = match (&event.run, event.run_id) {
                (Some(run), _) => run.clone(),
                (None, Some(id)) => format!("run {id}"),
                (None, None) => "-".to_owned(),
            };
            let (at, kind) = (utc(event.at_ms), &event.kind);
            Ok(plain(&format!(
                "{at}  {kind:<20}  {of:<20}  {}",
                event.words()
            )))
        };
        let lines: anyhow::Result<Vec<String>> = events.iter().map(line).collect();
        print_lines(&lines?)
    }
}

impl EventRow {
    /// The detail as words: keys without values are left out.
    fn words(&self) -> String {
        let Value::Object(detail) = &self.detail else {
            return self.detail.to_string();
        };
        let known = detail.iter().filter(|(_, value)| !value.is_null());
        let words = known.map(|(key, value)| match value {
            Value::String(text) => format!("{key}: {text}"),
            value => format!("{key} {value}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

impl CreditsArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let of_run = of_run(self.run.as_deref())?;
        let behind = behind(self.after.as_deref())?;
        let path = format!("/admin/credits?limit={}{of_run}{behind}", self.limit);
        let answer = self.client.client()?.get(&path)?;
        if self.client.json {
            return print(&answer);
        }
        let CreditsAnswer {
            samples,
            credits,
            next,
        } = parse(&answer)?;
        if credits.is_empty() {
            return print(match self.after {
                Some(_) => "Nobody stands behind this place.",
                None => "Nobody has been credited yet.",
            });
        }
        let columns = [
            ("IDENTITY", Align::Left),
            ("SAMPLES", Align::Right),
            ("SHARE", Align::Right),
            ("KIND", Align::Left),
            ("LAST SEEN", Align::Left),
            ("SOFTWARE", Align::Left),
        ];
        let row = |row: CreditRow| {
            let share = row.samples as f64 * 100.0 / samples.max(1) as f64;
            vec![
                row.identity.chars().take(16).collect(),
                grouped(row.samples),
                format!("{share:.1} %"),
                or_dash(row.kind),
                or_dash(row.last_seen_ms.map(utc)),
                plain(&or_dash(row.software)),
            ]
        };
        let rows: Vec<_> = credits.into_iter().map(row).collect();
        print(&format!("{}{}", table(&columns, &rows), more(next)))
    }
}

/// The part of an address for a place; what else would change the address is refused.
fn behind(place: Option<&str>) -> anyhow::Result<String> {
    let Some(place) = place else {
        return Ok(String::new());
    };
    let fits = !place.is_empty()
        && place
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    anyhow::ensure!(
        fits,
        "{place:?} is no place; a list that is not whole says where it goes on"
    );
    Ok(format!("&after={place}"))
}

fn of_run(run: Option<&str>) -> anyhow::Result<String> {
    let Some(name) = run else {
        return Ok(String::new());
    };
    checked_name(name)?;
    Ok(format!("&run={name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn details_become_words() {
        let words = |detail| {
            EventRow {
                id: 1,
                at_ms: 0,
                kind: "run-paused".to_owned(),
                run_id: None,
                run: None,
                detail,
            }
            .words()
        };
        assert_eq!(words(json!({})), "");
        assert_eq!(
            words(json!({ "reason": null, "version": 7, "problem": "no space" })),
            "problem: no space, version 7"
        );
        assert_eq!(words(json!(3)), "3");
        assert_eq!(plain("a\u{1b}[31mb\n"), "a[31mb");
    }
}
