//! What a table's columns hold.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tabswarm_model::dataset::{Column, ColumnKind, Preparation};
use tabswarm_model::run_file::{Missing, TableSpec};

use super::Cell;
use crate::dataset::fault::{Fault, quoted};
use crate::dataset::statistics::Statistics;

/// Most different words of a column.
const MAX_WORDS: usize = 1_024;
/// Most classes.
const MAX_CLASSES: usize = 65_536;
/// Longest word of a column or name of a class.
const MAX_WORD_CHARS: usize = 200;

/// What a column is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Role {
    /// Nothing.
    Ignored,
    /// It holds the class.
    Label,
    /// Inputs follow from it.
    Input(Content),
}

/// What an input column holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// Numbers, with those of the training rows.
    Numbers(Statistics),
    /// Words.
    Words(BTreeSet<String>),
}

/// What is known of a table.
#[derive(Debug)]
pub(super) struct Profile<'a> {
    path: PathBuf,
    spec: &'a TableSpec,
    names: Vec<String>,
    roles: Vec<Role>,
    classes: BTreeMap<ClassName, u16>,
    rows: u64,
}

/// Whole numbers in their order, then words in theirs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum ClassName {
    Number(i64),
    Word(String),
}

impl ClassName {
    fn of(word: &str) -> Self {
        match word.parse::<i64>() {
            Ok(number) if number.to_string() == word => Self::Number(number),
            _ => Self::Word(word.to_owned()),
        }
    }
}

impl<'a> Profile<'a> {
    /// The columns' roles.
    pub(super) fn of(path: &Path, spec: &'a TableSpec, names: &[String]) -> Result<Self, Fault> {
        let known = |name: &String| names.contains(name);
        let wanted = [&spec.label]
            .into_iter()
            .chain(&spec.categorical)
            .chain(&spec.ignore);
        if let Some(unknown) = wanted.into_iter().find(|name| !known(name)) {
            let problem = format!("there is no column {}", quoted(unknown));
            let first: Vec<String> = names.iter().take(20).map(|name| quoted(name)).collect();
            let remedy = format!("write one of its columns: {}", first.join(", "));
            return Err(Fault::new(path.display(), problem, remedy));
        }
        for (at, name) in names.iter().enumerate() {
            if name.is_empty() || names[..at].contains(name) {
                let problem = format!("column {} is called {}", at + 1, quoted(name));
                let remedy = "give each column a name of its own, or write header = false";
                return Err(Fault::new(path.display(), problem, remedy));
            }
        }
        let role = |name: &String| {
            if *name == spec.label {
                Role::Label
            } else if spec.ignore.contains(name) {
                Role::Ignored
            } else if spec.categorical.contains(name) {
                Role::Input(Content::Words(BTreeSet::new()))
            } else {
                Role::Input(Content::Numbers(Statistics::default()))
            }
        };
        Ok(Self {
            path: path.to_owned(),
            spec,
            names: names.to_vec(),
            roles: names.iter().map(role).collect(),
            classes: BTreeMap::new(),
            rows: 0,
        })
    }

    /// Rows learned from.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// One a column.
    pub(super) fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Takes a row's words and class up, and checks every cell.
    pub(super) fn learn(&mut self, place: &str, cells: &[Cell<'_>]) -> Result<(), Fault> {
        for (at, (cell, role)) in cells.iter().zip(&mut self.roles).enumerate() {
            let place = || format!("{place}, column {}", quoted(&self.names[at]));
            let is_missing = *cell == Cell::Missing;
            match role {
                Role::Ignored => {}
                Role::Label if is_missing => {
                    let remedy = "give the row a class, or take it out";
                    return Err(Fault::new(place(), "there is no class", remedy));
                }
                Role::Label => {
                    let word = word(*cell).unwrap_or_default();
                    check_word(&word, place)?;
                    if self.classes.len() < MAX_CLASSES {
                        self.classes.entry(ClassName::of(&word)).or_default();
                    }
                }
                Role::Input(_) if is_missing => {
                    if self.spec.missing == Missing::Refuse {
                        let remedy = "fill it in, or write data.missing = \"mean\" or \"zero\"";
                        return Err(Fault::new(place(), "there is no value", remedy));
                    }
                }
                Role::Input(Content::Numbers(_)) => {
                    if let Cell::Text(text) = cell {
                        let problem = format!("{} is no number", quoted(text));
                        let remedy =
                            "correct it, or write the column in data.categorical or data.ignore";
                        return Err(Fault::new(place(), problem, remedy));
                    }
                }
                Role::Input(Content::Words(words)) => {
                    let word = word(*cell).unwrap_or_default();
                    check_word(&word, place)?;
                    if words.insert(word.into_owned()) && words.len() > MAX_WORDS {
                        let problem =
                            format!("the column has more than {MAX_WORDS} different words");
                        let remedy = "write it in data.ignore, or join rare words";
                        return Err(Fault::new(place(), problem, remedy));
                    }
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Numbers the classes, and checks that a model takes what the columns make.
    pub(super) fn check(&mut self, features: usize, classes: usize) -> Result<(), Fault> {
        if self.rows == 0 {
            let remedy = "put at least a few rows below the names of the columns";
            return Err(Fault::new(self.path.display(), "it has no rows", remedy));
        }
        for (class, number) in self.classes.values_mut().zip(0..) {
            *class = number;
        }
        let got = self.classes.len();
        if got > classes || got < 2 {
            let problem = format!(
                "the column {} has {got} different classes, but the model has {classes} outputs",
                quoted(&self.spec.label)
            );
            let remedy = if got < 2 {
                "choose a column with at least two".to_owned()
            } else {
                format!("write units = {got} in the last layer, or choose another data.label")
            };
            return Err(Fault::new(self.path.display(), problem, remedy));
        }
        let made: usize = self
            .preparation()
            .columns
            .iter()
            .map(Column::features)
            .sum();
        if made != features {
            let problem = format!("its columns make {made} inputs, but the model takes {features}");
            let remedy = format!("write model.input = [{made}], or other columns in data.ignore");
            return Err(Fault::new(self.path.display(), problem, remedy));
        }
        Ok(())
    }

    /// Takes a training row's numbers up.
    pub(super) fn measure(&mut self, cells: &[Cell<'_>]) {
        for (cell, role) in cells.iter().zip(&mut self.roles) {
            if let (Cell::Number(number), Role::Input(Content::Numbers(statistics))) = (cell, role)
            {
                statistics.add(*number);
            }
        }
    }

    /// What cells become.
    pub(super) fn preparation(&self) -> Preparation {
        let columns = self
            .names
            .iter()
            .zip(&self.roles)
            .filter_map(|(name, role)| {
                let kind = match role {
                    Role::Ignored | Role::Label => return None,
                    Role::Input(Content::Numbers(statistics)) => self.number(statistics),
                    Role::Input(Content::Words(words)) => {
                        ColumnKind::Words(words.iter().cloned().collect())
                    }
                };
                let name = name.clone();
                Some(Column { name, kind })
            });
        let class = |name: &ClassName| match name {
            ClassName::Number(number) => number.to_string(),
            ClassName::Word(word) => word.clone(),
        };
        Preparation {
            columns: columns.collect(),
            classes: self.classes.keys().map(class).collect(),
            held_out: None,
        }
    }

    fn number(&self, statistics: &Statistics) -> ColumnKind {
        let [shift, scale] = statistics.scaling(self.spec.scaling);
        let fill = match self.spec.missing {
            Missing::Refuse => None,
            Missing::Mean => Some(statistics.mean()),
            Missing::Zero => Some(0.0),
        };
        ColumnKind::Number { shift, scale, fill }
    }

    /// The number of a cell's class.
    pub(super) fn class(&self, cell: Cell<'_>) -> Option<u16> {
        let word = word(cell)?;
        self.classes.get(&ClassName::of(&word)).copied()
    }

    /// The file is not what it was when it was read before.
    pub(super) fn changed(&self) -> Fault {
        let remedy = "do not change the file while a run is created";
        Fault::new(self.path.display(), "it changed while it was read", remedy)
    }
}

fn check_word(word: &str, place: impl Fn() -> String) -> Result<(), Fault> {
    if word.chars().count() <= MAX_WORD_CHARS {
        return Ok(());
    }
    let problem = format!(
        "{} is longer than {MAX_WORD_CHARS} characters",
        quoted(word)
    );
    Err(Fault::new(
        place(),
        problem,
        "write the column in data.ignore",
    ))
}

/// A cell as a word; none where there is no value.
pub(in crate::dataset) fn word(cell: Cell<'_>) -> Option<Cow<'_, str>> {
    match cell {
        Cell::Missing => None,
        Cell::Number(number) => Some(Cow::Owned(number.to_string())),
        Cell::Text(text) => Some(Cow::Borrowed(text)),
    }
}
