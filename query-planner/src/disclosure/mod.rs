//! What a plan discloses, as data: every disclosure has a name, a kind, what it says, to whom, and why. The words are in
//! `english` and `chinese`; who opens a number asks for it by its name.

mod chinese;
mod compared;
mod english;
mod figures;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use compared::Compared;
pub use figures::{Facts, Figure, Known, Operation, PointOf, Says};

use crate::catalog::SiteName;
use crate::linkage::FurtherKeys;
use crate::noise::Noise;
use crate::plan::{Audience, Groups, JointPlan, SecureSum};
use crate::released_tables::ReleasedTables;

/// Something that a plan reveals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclosure {
    /// Its name, which no other of the plan has.
    pub id: DisclosureId,
    /// What kind of thing it is.
    pub kind: Kind,
    /// What it is.
    pub what: Revealed,
    /// Who learns it.
    pub to: Recipient,
    /// Why it is revealed.
    pub why: Why,
}

/// The name of a disclosure: `answer/0/slot/2`, `keys/1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DisclosureId(String);

/// What kind of thing is disclosed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A figure.
    Value,
    /// How many there are of something.
    Size,
    /// Which come first.
    Order,
    /// Which values occur.
    Keys,
    /// Yes or no.
    Bit,
}

/// Who learns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// Only the analyst.
    Analyst,
    /// Every site, and the analyst.
    Everyone,
    /// Each of the two sites of a sum, of the other.
    EachOfTwo,
    /// A site that guesses, together with whoever receives the answer.
    Guesser,
    /// The site that receives an intersection, and nobody else.
    Receiver,
}

/// Why it is revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The answer shows it.
    Asked,
    /// The question asks for the patients themselves.
    Common,
    /// An average is computed from it.
    Average,
    /// A variance or standard deviation is computed from it.
    Variance,
    /// An approximate number is computed from it.
    Estimate,
    /// It tells a figure over nothing (NULL) from zero.
    Empty,
    /// It says which groups there are rows of.
    Present,
    /// No column of the answer needs it: it is opened with the others.
    Beside,
    /// Every site must know the groups to sum by them.
    Grouping,
    /// Rows are opened one by one after a shuffle, so that everybody sees how many.
    Listing,
    /// The question asks for the first rows only.
    Limit,
    /// A release that differs from an earlier one by few patients is refused.
    Differencing,
    /// It shows in the figures themselves, because small ones are not shown.
    SmallCells,
    /// A sum of values is shown only where enough patients have part in it.
    Enough,
    /// It is in the plan: lists are padded to one length.
    Padding,
    /// It follows from the figures by arithmetic.
    Follows,
    /// It follows from the figures, and policy wants it said.
    Warning,
    /// It bounds what the figures tell of one patient.
    Noise,
}

impl Why {
    /// Is something opened for it? If not, it follows from other disclosures or from the plan.
    pub fn is_opened(self) -> bool {
        match self {
            Why::Asked
            | Why::Common
            | Why::Average
            | Why::Variance
            | Why::Estimate
            | Why::Empty
            | Why::Present
            | Why::Beside
            | Why::Grouping
            | Why::Listing
            | Why::Limit
            | Why::Enough
            | Why::Differencing => true,
            Why::SmallCells | Why::Padding | Why::Follows | Why::Warning | Why::Noise => false,
        }
    }
}

/// What is revealed, with the data that a sentence on it needs. Expressions are SQL text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revealed {
    /// The values of group keys that occur.
    Keys {
        /// The key expressions.
        keys: Vec<String>,
        /// In at least so many rows over all these sites; 0 and 1: at any of them.
        least: u32,
        /// The sites whose rows they are.
        sites: Sites,
        /// In which rows.
        rows: Rows,
    },
    /// How many such values there are.
    KeyCount {
        /// The key expressions.
        keys: Vec<String>,
        /// In at least so many rows.
        least: u32,
    },
    /// Which values have the largest or smallest figure, in their order.
    First {
        /// How many.
        limit: u64,
        /// The largest?
        descending: bool,
        /// The key expressions.
        keys: Vec<String>,
        /// What they compete by.
        figure: Figure,
    },
    /// A sum or count.
    Figure {
        /// Of what.
        figure: Figure,
        /// Where.
        place: Place,
    },
    /// Whether a count is large enough for the sums over it to be shown.
    Enough {
        /// What is enough.
        least: u32,
        /// The count.
        figure: Figure,
        /// Where.
        place: Place,
    },
    /// An order statistic.
    Point {
        /// Of what.
        point: PointOf,
        /// Where.
        place: Place,
        /// Is it the exact value of one patient?
        of_one: bool,
    },
    /// The levels of a union sketch.
    Levels {
        /// The expression whose distinct values are counted.
        column: String,
        /// Which rows count.
        filter: Option<String>,
        /// Where.
        place: Place,
    },
    /// The most patients a site may have, to which all are padded.
    Patients {
        /// So many.
        most: u64,
        /// Some of them with several keys in a pass.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        further: Option<FurtherKeys>,
    },
    /// Which patients of one site another has too.
    Common {
        /// Whose patients.
        receiver: SiteName,
        /// Which of its rows are meant.
        own: Rows,
        /// Who else has them.
        sender: SiteName,
        /// In which of its rows.
        other: Rows,
    },
    /// The most patients two sites may enter, to which both are padded.
    Entered {
        /// The one, and so many.
        receiver: (SiteName, u64),
        /// The other, and so many.
        sender: (SiteName, u64),
    },
    /// What a guessed patient adds to the figures.
    Guess {
        /// The column that patients are known by.
        patient_key: String,
    },
    /// Which figures are hidden.
    Hidden {
        /// Fewer than so many are.
        least: u32,
        /// Are zeros shown all the same?
        zeros_shown: bool,
        /// How many of what.
        judged: Judged,
        /// What tables with group keys must be besides.
        #[serde(default, skip_serializing_if = "ReleasedTables::is_silent")]
        tables: ReleasedTables,
    },
    /// That all figures have noise.
    Noised {
        /// How it is distributed, and what it promises.
        noise: Noise,
        /// How many sites add it.
        sites: u32,
        /// Are small figures hidden?
        hides: bool,
        /// How far it takes each of them.
        figures: Vec<Spread>,
    },
    /// The other's part of a sum of two sites.
    Remainder,
    /// Whether a release differs from an earlier one by too few patients.
    Difference {
        /// Fewer than so many are too few.
        least: u32,
        /// The column by which patients are compared: every site's are matched with the others', whatever else it allows.
        key: String,
        /// Which of its figures.
        #[serde(default, skip_serializing_if = "Compared::is_all")]
        of: Compared,
        /// Are its own figures compared with each other, too?
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        own: bool,
    },
    /// That all or none of a group count.
    Share {
        /// All, or none?
        all: bool,
        /// Of the patients, or of the rows?
        patients: bool,
        /// The group: key expressions and their values.
        group: Vec<(String, String)>,
        /// For what they count.
        figure: Figure,
    },
}

/// What makes a cell small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// Few patients.
    Patients,
    /// Few rows.
    Rows,
    /// Some sums by their rows, others by their patients.
    RowsOrPatients,
}

/// How far noise takes a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The figure.
    pub figure: Figure,
    /// Its standard deviation with all sites' noise is at most so many tenths, in each group.
    pub tenths: u64,
}

/// Where a figure is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// For each value of these key expressions, if any.
    pub keys: Vec<String>,
    /// Over these sites.
    pub sites: Sites,
    /// In these rows.
    pub rows: Rows,
    /// Only for the groups that come first?
    pub first_only: bool,
}

/// Some sites of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sites {
    /// Their names.
    pub names: Vec<SiteName>,
    /// Are they all there are?
    pub all: bool,
}

/// The rows a site looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Their tables.
    pub tables: Vec<String>,
    /// The conditions they meet.
    pub conditions: Vec<String>,
    /// What they are first grouped by.
    pub grouped: Vec<String>,
}

impl DisclosureId {
    /// Of a slot of a sum.
    pub fn slot(sum: usize, slot: usize) -> Self {
        Self(format!("answer/{sum}/slot/{slot}"))
    }

    /// Of an order statistic.
    pub fn point(sum: usize, order: usize, point: usize) -> Self {
        Self(format!("answer/{sum}/order/{order}/point/{point}"))
    }

    /// Of a sketch.
    pub fn sketch(sum: usize, sketch: usize) -> Self {
        Self(format!("answer/{sum}/sketch/{sketch}"))
    }

    /// Of the choice of the first groups.
    pub fn top(sum: usize) -> Self {
        Self(format!("answer/{sum}/top"))
    }

    /// Of a sum's agreed keys.
    pub fn keys(sum: usize) -> Self {
        Self(format!("keys/{sum}"))
    }

    /// Of their number, where it is opened before them.
    pub fn key_count(sum: usize) -> Self {
        Self(format!("keys/{sum}/count"))
    }

    /// Of a sum's padded patients.
    pub fn patients(sum: usize) -> Self {
        Self(format!("patients/{sum}"))
    }

    /// Of the patients that two sites have in common.
    pub fn intersection() -> Self {
        Self("intersection/0".into())
    }

    /// Of how many keys they enter.
    pub fn entered() -> Self {
        Self("intersection/0/entered".into())
    }

    /// Of what a guess shows.
    pub fn guess() -> Self {
        Self("guess/0".into())
    }

    /// Of which cells are hidden.
    pub fn hidden() -> Self {
        Self("hidden/0".into())
    }

    /// Of the figures' noise.
    pub fn noise() -> Self {
        Self("noise/0".into())
    }

    /// Of a sum of two sites.
    pub fn remainder(sum: usize) -> Self {
        Self(format!("remainder/{sum}"))
    }

    /// Of an extreme share.
    pub fn share(sum: usize, slot: usize, group: usize) -> Self {
        Self(format!("share/{sum}/slot/{slot}/group/{group}"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisclosureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Audience> for Recipient {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::Analyst => Recipient::Analyst,
            Audience::Everyone => Recipient::Everyone,
        }
    }
}

/// The languages that disclosures are told in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, simplified.
    Chinese,
}

/// A disclosure in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// Who learns it.
    pub to: String,
    /// What it is.
    pub what: String,
    /// What kind of thing it is.
    pub kind: String,
    /// Why it is revealed.
    pub why: String,
}

/// A disclosure in words.
pub fn sentence(disclosure: &Disclosure, language: Language) -> Sentence {
    match language {
        Language::English => english::sentence(disclosure),
        Language::Chinese => chinese::sentence(disclosure),
    }
}

/// One line for each of these, with a heading; nothing but the heading for none.
pub(crate) fn list(disclosures: &[Disclosure], language: Language) -> String {
    let (heading, line): (&str, fn(&Sentence) -> String) = match language {
        Language::English => (english::HEADING, english::line),
        Language::Chinese => (chinese::HEADING, chinese::line),
    };
    let lines = disclosures.iter().map(|disclosure| format!("  - {}\n", line(&sentence(disclosure, language))));
    std::iter::once(format!("{heading}\n")).chain(lines).collect()
}

pub(crate) use chinese::{distinct as distinct_in_chinese, figure as figure_in_chinese};
pub(crate) use english::distinct as distinct_words;
pub(crate) use english::{
    feature as feature_words, figure as figure_words, point as point_words, recipient as to_words,
};

impl JointPlan {
    /// SHA-256 of everything that is disclosed; the plan's digest covers it too.
    pub fn disclosure_digest(&self) -> [u8; 32] {
        let bytes = serde_json::to_vec(&self.disclosures).expect("disclosures hold no maps and no floats");
        Sha256::new().chain_update(DIGEST_DOMAIN).chain_update(bytes).finalize().into()
    }
}

const DIGEST_DOMAIN: &[u8] = b"consilium disclosures v1\0";

impl SecureSum {
    /// The sites that have rows which say what keys there are.
    pub fn key_contributors(&self) -> &[SiteName] {
        let relation = self.matching.as_ref().and_then(|matching| matching.relations.get(matching.key_relation?));
        relation.map_or(&self.contributors, |relation| &relation.contributors)
    }

    /// Must several sites count together which keys may become known? One site alone counts by itself.
    pub fn counts_keys(&self) -> bool {
        matches!(self.groups, Groups::Agreed { threshold: 1.., .. }) && self.key_contributors().len() > 1
    }
}
