//! Unknown keys of our TOML files, refused with the nearest known one and the place where they stand.

use toml::Value as Toml;
use toml::de::{DeTable, DeValue};

use crate::error::{PlanError, nearest};

/// A key that has no meaning where it stands.
#[derive(Debug)]
pub(crate) struct Unknown {
    path: Vec<String>,
    near: Option<String>,
    known: String,
}

/// Refuses the first key of a table that is not among `keys`. `place` is the path to the table.
pub(crate) fn known(table: &toml::Table, keys: &[&str], place: &[&str]) -> Result<(), Unknown> {
    let Some(key) = table.keys().find(|key| !keys.contains(&key.as_str())) else {
        return Ok(());
    };
    let path = place.iter().chain(&[key.as_str()]).map(|part| (*part).to_owned()).collect();
    Err(Unknown { path, near: nearest(key, keys.iter().copied()), known: keys.join(", ") })
}

impl Unknown {
    /// The refusal under a file's own code.
    pub fn refusal(self, code: &'static str) -> PlanError {
        let error = PlanError::new(code, format!("unknown key '{}'", self.path.join(".")));
        let place = self.path[..self.path.len() - 1].join(".");
        match self.near {
            Some(near) if place.is_empty() => error.hint(format!("did you mean '{near}'?")),
            Some(near) => error.hint(format!("did you mean '{place}.{near}'?")),
            None => error.hint(format!("known here: {}", self.known)),
        }
    }

    /// The same with line and column in `text`.
    pub fn refusal_in(self, text: &str, code: &'static str) -> PlanError {
        let place = place(text, &self.path);
        let error = self.refusal(code);
        PlanError { message: format!("{place}{}", error.message), ..error }
    }
}

/// `line 3, column 5: `, of the key at the end of a path or of the last part of it that is there; nothing where there is
/// none.
pub(crate) fn place<S: AsRef<str>>(text: &str, path: &[S]) -> String {
    let Ok(table) = DeTable::parse(text) else { return String::new() };
    let mut here = Some(table.get_ref());
    let mut start = None;
    for part in path {
        let found = here.and_then(|table| table.iter().find(|(key, _)| key.get_ref().as_ref() == part.as_ref()));
        let Some((key, value)) = found else { break };
        start = Some(key.span().start);
        here = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    let Some(before) = start.and_then(|start| text.get(..start)) else { return String::new() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    format!("line {line}, column {column}: ")
}

/// The members of a table; none of anything else.
pub(crate) fn members(entry: Option<&Toml>) -> impl Iterator<Item = (&String, &Toml)> {
    entry.and_then(Toml::as_table).into_iter().flatten()
}
