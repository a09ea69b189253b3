//! What columns are used for, and what kinds of questions there are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::nearest;

/// What a column is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Purpose {
    /// Decides which rows count: WHERE, FILTER, conditions of CASE and of joins, order of windows.
    Filter,
    /// Its values divide rows into groups.
    Group,
    /// Counted where it is not NULL, added up, averaged.
    Sum,
    /// Rows of a patient are brought together by it.
    Link,
    /// A value at a position is shown: smallest, largest, percentiles.
    Extreme,
    /// Its values become known as group keys without having been declared.
    Reveal,
}

/// What kind of question it is; one question may be of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Class {
    /// Shows a number of rows or patients.
    Count,
    /// Shows a sum, an average, a variance.
    Sum,
    /// Shows a row for each group.
    Table,
    /// Patients of several sites are matched.
    Matching,
    /// Shows values at positions.
    Extreme,
    /// Shows an estimate from sketches.
    Approximate,
    /// Shows which patients are at several sites.
    Intersection,
}

impl Purpose {
    /// All of them, in order.
    pub const ALL: [Purpose; 6] =
        [Purpose::Filter, Purpose::Group, Purpose::Sum, Purpose::Link, Purpose::Extreme, Purpose::Reveal];

    /// As written in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Filter => "filter",
            Purpose::Group => "group",
            Purpose::Sum => "sum",
            Purpose::Link => "link",
            Purpose::Extreme => "extreme",
            Purpose::Reveal => "reveal",
        }
    }

    /// What the analyst wants to do with the column.
    pub fn words(self) -> &'static str {
        match self {
            Purpose::Filter => "to choose rows (filter)",
            Purpose::Group => "to form groups (group)",
            Purpose::Sum => "to be counted or added up (sum)",
            Purpose::Link => "to bring the rows of a patient together (link)",
            Purpose::Extreme => "to show its smallest, largest or middle values (extreme)",
            Purpose::Reveal => "to show the values that occur (reveal)",
        }
    }
}

impl Class {
    /// All of them, in order.
    pub const ALL: [Class; 7] = [
        Class::Count,
        Class::Sum,
        Class::Table,
        Class::Matching,
        Class::Extreme,
        Class::Approximate,
        Class::Intersection,
    ];

    /// As written in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Class::Count => "count",
            Class::Sum => "sum",
            Class::Table => "table",
            Class::Matching => "matching",
            Class::Extreme => "extreme",
            Class::Approximate => "approximate",
            Class::Intersection => "intersection",
        }
    }
}

fn no_such(kind: &str, text: &str, names: &[&str]) -> String {
    match nearest(text, names.iter().copied()) {
        Some(near) => format!("'{text}' is not a {kind}: did you mean '{near}'?"),
        None => format!("'{text}' is not a {kind}: {}", names.join(", ")),
    }
}

impl FromStr for Purpose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Purpose::ALL.into_iter().find(|purpose| purpose.name() == text);
        found.ok_or_else(|| no_such("purpose", text, &Purpose::ALL.map(Purpose::name)))
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Class::ALL.into_iter().find(|class| class.name() == text);
        found.ok_or_else(|| no_such("class of questions", text, &Class::ALL.map(Class::name)))
    }
}

impl TryFrom<String> for Purpose {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<String> for Class {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Purpose> for String {
    fn from(purpose: Purpose) -> String {
        purpose.name().to_owned()
    }
}

impl From<Class> for String {
    fn from(class: Class) -> String {
        class.name().to_owned()
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
