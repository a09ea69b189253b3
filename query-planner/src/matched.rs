//! Sums over the patients of several sites, each counted once: what every site says about each of its patients, and the
//! work on shares that turns it into one number for each patient and slot.
//!
//! A patient is known by the encoded value of the patient key, or where the catalogue has a linkage by the keys that this makes of
//! the patient's identifiers, one or more for each pass. Every site makes one row for each of its patients that has
//! a row in any of the relations, with the features below. Matching brings the rows of a patient together without anybody
//! seeing whose they are; nodes combine them. The total of a slot and group is the sum over all patients of its node.
//!
//! Sites come in the order of the catalogue. In the rows of site j stands f(what sites ≤ j know) − f(what sites < j know), which adds
//! up to f for each patient; so every node must be 0 for a patient that nobody has rows of (`Matching::is_grounded`).

use serde::{Deserialize, Serialize};

use crate::catalog::SiteName;
use crate::linkage::FurtherKeys;
use crate::matching::evaluate;
use crate::plan::{Encoding, Scale};

/// The patients behind a sum, and what is computed for each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matching {
    /// The sites whose patients are matched, in the order of the catalogue: all that contribute to a relation.
    pub sites: Vec<SiteName>,
    /// Each of them enters so many patients, dummies included.
    pub max_patients: u64,
    /// Ways to find a patient of another site, each with a key of its own.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub passes: u32,
    /// Patients of a site with several keys in a pass, at most; none where nobody has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further_keys: Option<FurtherKeys>,
    /// The rows that features look at.
    pub relations: Vec<Relation>,
    /// What a site knows of a patient.
    pub features: Vec<Feature>,
    /// The work on shares; a node names earlier nodes only.
    pub nodes: Vec<Step>,
    /// The sum's keys that are columns of relations, in order; features with keys have one number for each of their
    /// tuples (the last fastest), and so do nodes made of such features. All of them where groups are agreed.
    pub row_keys: Vec<usize>,
    /// Every other key of the sum: which of its values a patient has.
    pub patient_keys: Vec<PatientKey>,
    /// The relation whose rows say which keys there are, where groups are agreed.
    pub key_relation: Option<usize>,
}

fn one() -> u32 {
    1
}

fn is_one(passes: &u32) -> bool {
    *passes == 1
}

/// Rows of some sites, all with a patient key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// The sites that have such rows.
    pub contributors: Vec<SiteName>,
    /// What each of them runs, as text.
    pub local_work: String,
    /// Public bound on the rows of one site.
    pub row_bound: u64,
    /// The columns in words. Column 0 is the patient key; rows without one are dropped.
    pub columns: Vec<String>,
}

/// Something a site knows of each of its patients; nothing (no, 0, no value) of a patient without such rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Position in `relations`.
    pub relation: usize,
    /// Column that must be true for a row to count.
    pub filter: Option<usize>,
    /// Columns that hold `Matching::row_keys`, in that order; empty for one number for the whole patient.
    pub keys: Vec<usize>,
    /// What is known.
    pub what: What,
    /// Numbers and codes, over all sites together, are below 2^bits in absolute value.
    pub bits: u32,
}

/// What is known of the rows of one patient, and how sites' parts of it combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A bit: is there a row? At any site.
    Any,
    /// A number: how many rows, or rows where the column is not NULL. All sites' sum.
    Count(Option<usize>),
    /// A number: the sum of a column. All sites' sum.
    Sum(usize, Scale),
    /// A number: the smallest code of a column, at any site; 2^bits where there is none.
    Least(usize, Encoding),
    /// A number: the largest code of a column, at any site; −1 where there is none.
    Greatest(usize, Encoding),
    /// The codes of a column in ascending order, all sites' together. A site with more than so many rows of one patient refuses.
    Events {
        /// The column.
        column: usize,
        /// How its values become codes.
        encoding: Encoding,
        /// Most rows of one patient at one site.
        bound: u32,
    },
}

/// A node and what it can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is computed.
    pub node: Node,
    /// The number is below 2^bits in absolute value; 1 for bits.
    pub bits: u32,
}

/// One operation for every patient (and tuple of row keys: a node of one number is used for every tuple beside one with many). Operands
/// are positions in `Matching::nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Node {
    /// A feature that is a bit or a number.
    Feature(usize),
    /// A number that everybody knows.
    Constant(i64),
    /// Bit: not a.
    Not(usize),
    /// Bit: a and b.
    And(usize, usize),
    /// Bit: a or b.
    Or(usize, usize),
    /// Bit: a or b, and not both.
    Differ(usize, usize),
    /// Bit: a < b.
    Less(usize, usize),
    /// Bit: a = b.
    Equal(usize, usize),
    /// Number: a + b.
    Add(usize, usize),
    /// Number: a − b.
    Subtract(usize, usize),
    /// Number: a · b.
    Multiply(usize, usize),
    /// Number: 0 or 1.
    Number(usize),
    /// Number: the second where the bit (the first) is 1, else 0.
    Select(usize, usize),
    /// Number: of an `Events` feature, how many neighbours in its order differ by at least and at most so much.
    Gaps {
        /// Position in `Matching::features`.
        feature: usize,
        /// Smallest difference that counts.
        at_least: u64,
        /// Largest difference that counts, if there is a limit.
        at_most: Option<u64>,
    },
    /// Number: of an `Events` feature, the code at position n (from 0); 2^bits where there are fewer.
    Nth {
        /// Position in `Matching::features`.
        feature: usize,
        /// The position.
        n: u32,
    },
    /// Number: of an `Events` feature, how many there are.
    Length(usize),
}

/// A key of the sum that is computed from shares: positions in the plan, which is public and may print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientKey {
    /// Position in the sum's keys.
    pub key: usize,
    /// For each value of the key's domain, the bit that says whether the patient has it.
    pub values: Vec<usize>,
}

impl Matching {
    /// Is each of these nodes 0 for a patient that nobody has rows of?
    pub fn is_grounded(&self, slots: &[usize]) -> bool {
        let absent: Vec<_> = (0..self.features.len()).map(|feature| evaluate::absent(self, feature)).collect();
        let values = evaluate::nodes(self, &absent);
        slots.iter().all(|slot| values[*slot] == 0)
    }

    /// For each node: is there one for each tuple of row keys?
    pub fn is_wide(&self) -> Vec<bool> {
        let mut wide: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for step in &self.nodes {
            let feature = match &step.node {
                Node::Feature(feature)
                | Node::Gaps { feature, .. }
                | Node::Nth { feature, .. }
                | Node::Length(feature) => !self.features[*feature].keys.is_empty(),
                _ => false,
            };
            wide.push(feature || step.node.operands().into_iter().any(|at| wide[at]));
        }
        wide
    }

    /// Does bit `a` imply bit `b`, because it is a conjunction of more?
    pub fn implies(&self, a: usize, b: usize) -> bool {
        let needed = self.conjuncts(b);
        let given = self.conjuncts(a);
        self.nodes[a].bits == 1 && self.nodes[b].bits == 1 && needed.iter().all(|bit| given.contains(bit))
    }

    fn conjuncts(&self, at: usize) -> Vec<usize> {
        match self.nodes[at].node {
            Node::And(a, b) => [self.conjuncts(a), self.conjuncts(b)].concat(),
            _ => vec![at],
        }
    }
}

impl Node {
    /// The nodes it is computed from.
    pub fn operands(&self) -> Vec<usize> {
        match self {
            Node::Feature(_) | Node::Constant(_) | Node::Gaps { .. } | Node::Nth { .. } | Node::Length(_) => Vec::new(),
            Node::Not(a) | Node::Number(a) => vec![*a],
            Node::And(a, b)
            | Node::Or(a, b)
            | Node::Differ(a, b)
            | Node::Less(a, b)
            | Node::Equal(a, b)
            | Node::Add(a, b)
            | Node::Subtract(a, b)
            | Node::Multiply(a, b)
            | Node::Select(a, b) => vec![*a, *b],
        }
    }

    /// The same operation on operands at other positions.
    pub(crate) fn with_operands(&self, place: impl Fn(usize) -> usize) -> Node {
        match self.clone() {
            Node::Not(a) => Node::Not(place(a)),
            Node::Number(a) => Node::Number(place(a)),
            Node::And(a, b) => Node::And(place(a), place(b)),
            Node::Or(a, b) => Node::Or(place(a), place(b)),
            Node::Differ(a, b) => Node::Differ(place(a), place(b)),
            Node::Less(a, b) => Node::Less(place(a), place(b)),
            Node::Equal(a, b) => Node::Equal(place(a), place(b)),
            Node::Add(a, b) => Node::Add(place(a), place(b)),
            Node::Subtract(a, b) => Node::Subtract(place(a), place(b)),
            Node::Multiply(a, b) => Node::Multiply(place(a), place(b)),
            Node::Select(a, b) => Node::Select(place(a), place(b)),
            other => other,
        }
    }

    /// Is it a bit whatever it is computed from?
    pub fn is_bit(&self) -> bool {
        use Node::{And, Differ, Equal, Less, Not, Or};
        matches!(self, Not(_) | And(..) | Or(..) | Differ(..) | Less(..) | Equal(..))
    }
}
