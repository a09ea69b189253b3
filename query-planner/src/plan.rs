//! The joint plan: our own versioned form of a query. Its canonical bytes are what every site derives for itself,
//! compares and approves; the DataFusion plans beside it never travel.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use datafusion_expr::LogicalPlan;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::disclosure::Disclosure;
pub use crate::order::{Encoding, Fraction, Number, Order, Path, Point};
pub use crate::relate::{Detail, Margin};
pub use crate::supports::Support;

use crate::catalog::{Link, SiteName};
use crate::error::PlanError;
use crate::intersection::Intersection;
use crate::matched::Matching;
use crate::noise::{Noise, Noised};
use crate::notes::Note;
use crate::released_tables::ReleasedTables;
use crate::site_policy::Class;
use crate::uses::Use;
use crate::value::Value;

/// Version of the canonical form.
pub const PLAN_VERSION: u16 = 8;

/// Everything the planner makes of one query.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What is agreed, approved and digested.
    pub joint: JointPlan,
    /// The work of each site, one entry for each of `joint.sums`; of an intersection one entry with its two relations.
    pub local: Vec<LocalStage>,
    /// The analyst's plain SQL over revealed rows: scans named `revealed_0`, `revealed_1`… stand for `joint.sums`, with
    /// the schema that [`crate::decode::decode`] returns. Where small cells are hidden, each column of the answer is
    /// followed, behind all of them, by a truth value that says whether its cell derives from a hidden one
    /// ([`crate::hidden`]).
    pub finish: LogicalPlan,
    /// The schema of the revealed rows, one for each of `joint.sums`.
    pub revealed: Vec<SchemaRef>,
}

/// The rows a site contributes to one secure sum, before they are grouped: first the group keys in order, then the
/// arguments named by [`Slot`]s.
#[derive(Debug, Clone)]
pub struct LocalStage {
    /// One plan for each contributing site; its scans are of [`crate::bind::SiteTable`] sources.
    pub fragments: BTreeMap<SiteName, LogicalPlan>,
    /// The same for each of the sum's [`Matching::relations`].
    pub relations: Vec<BTreeMap<SiteName, LogicalPlan>>,
    /// Whose rows the figures are made of, where cells are hidden and patients are not matched anyway.
    pub cohort: Option<Cohort>,
}

/// The patients behind a sum, for a site's own ledger: nothing of it is computed with others.
#[derive(Debug, Clone)]
pub struct Cohort {
    /// Features that are bits, by the sum's keys where they have keys.
    pub matching: Matching,
    /// What each site runs, one entry for each of the matching's relations.
    pub relations: Vec<BTreeMap<SiteName, LogicalPlan>>,
}

/// The agreed plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JointPlan {
    /// [`PLAN_VERSION`].
    pub version: u16,
    /// This crate's version and DataFusion's: the wording of local work depends on both.
    pub planner: String,
    /// The question as parsed and printed again, with `now` frozen.
    pub query: String,
    /// Milliseconds since 1970-01-01 that `now()` means; 0 where the question does not ask for it, so that it is the same plan
    /// whenever it is asked.
    pub now_ms: i64,
    /// SHA-256 of the catalogue, hexadecimal.
    pub catalog: String,
    /// All computing sites, in party order.
    pub sites: Vec<SiteName>,
    /// Who receives the answer.
    pub audience: Audience,
    /// How work on shares is done.
    pub link: Link,
    /// A cell with fewer rows behind it is hidden before anything is opened; 1 hides none.
    pub min_patients: u32,
    /// May a cell of exactly zero be shown all the same?
    pub zero_allowed: bool,
    /// Does the answer say where all or none of a group have something?
    pub flag_extreme_shares: bool,
    /// What tables with group keys must be to be shown.
    #[serde(default, skip_serializing_if = "ReleasedTables::is_silent")]
    pub released_tables: ReleasedTables,
    /// What kinds of questions it is, sorted.
    pub classes: Vec<Class>,
    /// What every column is used for that influences anything, sorted.
    pub uses: Vec<Use>,
    /// The tables that are read, whether or not any of their columns is used.
    pub tables: Vec<TableRead>,
    /// What is added to every figure, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// The secure sums, revealed together.
    pub sums: Vec<SecureSum>,
    /// Or instead of sums, patients that two sites have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intersection: Option<Intersection>,
    /// How the groups of one sum add up to those of another, where cells are hidden.
    pub margins: Vec<Margin>,
    /// Pairs of sums over rows of different tables, sites or conditions, or that add up one column of different rows, where answers are held
    /// against earlier ones: no figure of the one may be of patients that differ from those of a figure of the other by 1 to k − 1. A sum with
    /// itself where the question may make its groups of the same patients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub side_by_side: Vec<(usize, usize)>,
    /// Pairs of sums over other rows whose groups are both agreed, where answers are held against earlier ones: the two lists of keys may not even
    /// be of the same patients. A row that is in one table alone may put a key into one list alone, and be of a patient who is in both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists_apart: Vec<(usize, usize)>,
    /// The analyst's work on revealed rows, as text.
    pub finish: String,
    /// Everything that is revealed, and to whom.
    pub disclosures: Vec<Disclosure>,
    /// Things the analyst should know (integer division, null order, bounds checked at the site).
    pub notes: Vec<Note>,
}

/// A table that is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRead {
    /// In lower case.
    pub table: String,
    /// The sites whose rows are meant, in party order.
    pub sites: Vec<SiteName>,
}

/// Who receives an opened value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Sealed: only the analyst.
    Analyst,
    /// The analyst and every site.
    Everyone,
}

/// One grouped vector of sums over the contributing sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecureSum {
    /// The sites whose rows count; the others contribute zeros.
    pub contributors: Vec<SiteName>,
    /// What every contributor runs on its own rows, as text.
    pub local_work: String,
    /// Public bound on the rows of one contributor.
    pub row_bound: u64,
    /// The local stage's columns in words: the keys, then what slots name.
    pub columns: Vec<String>,
    /// The group keys.
    pub keys: Vec<Key>,
    /// How the groups are known.
    pub groups: Groups,
    /// The sums of each group. Slot 0 counts the rows of the group, or its patients where they are matched.
    pub slots: Vec<Slot>,
    /// The slots whose totals are numbers of rows that may be too few to show, slot 0 first; empty where nothing is
    /// hidden.
    pub cells: Vec<usize>,
    /// Sets of `cells` that count different rows of a group each.
    pub disjoint: Vec<Exclusive>,
    /// The order statistics of each group.
    pub orders: Vec<Order>,
    /// The approximate numbers of distinct values of each group.
    pub sketches: Vec<SketchOf>,
    /// Only so many groups are revealed, if any.
    pub top: Option<Top>,
    /// The columns of the revealed rows: keys first, then aggregates.
    pub outputs: Vec<Output>,
    /// For each of `cells`, the slot that counts the distinct patients behind it: a cell of too few patients is hidden
    /// before anything else, whatever its rows. Empty where cells are judged by their rows.
    pub patients: Vec<usize>,
    /// Numbers of patients by which two shown cells of a group differ, whatever their rows: too few hide one of the two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<Between>,
    /// The cells that figures of value are shown with, besides the counts behind them. Empty where these say the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supports: Vec<Support>,
    /// The patients behind [`Summand::Patients`] slots.
    pub matching: Option<Matching>,
    /// Positions in `keys` that tell something about a sensitive column; empty where [`JointPlan::released_tables`] asks for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitive: Vec<usize>,
    /// The slots that noise is added to: all that are compared or opened. Empty where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noised: Vec<Noised>,
}

/// Cells of which no two count the same row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusive {
    /// Their slots.
    pub cells: Vec<usize>,
    /// Are they looked at as parts of one total? A cell is in one such set at most.
    pub parts: bool,
    /// The slot of a count that is shown beside them and chooses nothing, if there is one.
    pub total: Option<usize>,
    /// May they add up to more than that? A patient may be counted by several of them, or the total count patients and they rows.
    pub overlap: bool,
}

impl Exclusive {
    /// Two cells that are parts of nothing together.
    pub(crate) fn pair(a: usize, b: usize) -> Self {
        Self { cells: vec![a, b], parts: false, total: None, overlap: false }
    }
}

/// The patients of rows that one of two cells counts and the other does not, or those who are behind one of them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// The slot that is hidden where they are 1 to k − 1: the part where one cell is a part of the other, else the later one.
    pub cell: usize,
    /// The slot that counts them.
    pub patients: usize,
}

/// One group key: an expression of GROUP BY, public like the whole plan, so that it may print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The expression, as text.
    pub expression: String,
    /// Its public domain (with `Value::Null` if it can be NULL), or none when only its rows know it. A key with a
    /// domain keeps it in an agreed tuple too: no site may offer another value.
    pub domain: Option<Vec<Value>>,
}

/// How the groups of a sum are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Groups {
    /// No GROUP BY: one row, also over no rows.
    Whole,
    /// The product of the keys' domains, in order, the last key fastest.
    Declared,
    /// The union of the sites' keys, agreed without showing which site holds one.
    Agreed {
        /// Most distinct keys the exchange can carry.
        max_groups: u32,
        /// Most bytes of an encoded key tuple.
        max_key_bytes: u32,
        /// 0: every key becomes known, and with it a count that is released. Else only keys of at least so many rows
        /// over all contributors become known, and nothing about the others.
        threshold: u32,
    },
}

/// Which groups are revealed: those with the largest (or smallest) totals. Hidden totals and groups without rows come
/// behind all others, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// The slot that is compared.
    pub slot: usize,
    /// The largest first?
    pub descending: bool,
    /// How many groups.
    pub limit: u64,
    /// Which of two groups with equal totals comes first: by these keys, then in the order of the groups.
    pub ties: Vec<Tie>,
}

/// A key that decides between equal totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tie {
    /// Position in `keys`.
    pub key: usize,
    /// The largest first?
    pub descending: bool,
    /// NULL before all values?
    pub nulls_first: bool,
}

/// One number per group and site, summed in the open ring over all sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// What is summed.
    pub what: Summand,
    /// Column of the local stage that must be true for a row to count (FILTER).
    pub filter: Option<usize>,
    /// The ring of the sum.
    pub ring: Ring,
    /// How a value becomes an integer.
    pub scale: Scale,
    /// log2 of the bound on one site's partial sum; with `log2(sites)` and a sign bit it fits the ring.
    pub partial_bits: u32,
    /// True: follows from declared ranges. False: each site checks its own partial before it shares anything.
    pub proven: bool,
}

/// What a slot adds up. Column numbers are positions in the local stage's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Summand {
    /// 1 for each row.
    Rows,
    /// 1 for each row whose column is not NULL.
    NotNull(usize),
    /// The column; NULL adds nothing.
    Value(usize),
    /// The column's square; NULL adds nothing.
    Square(usize),
    /// The product of two columns; NULL in either adds nothing.
    Product(usize, usize),
    /// 1 for each row where neither column is NULL.
    BothNotNull(usize, usize),
    /// Over patients instead of rows: a node of [`SecureSum::matching`], where a bit counts 1.
    Patients(usize),
}

/// A sketch of the distinct values of a column, united over all sites ([`crate::approximate`]). Column numbers are
/// positions in the local stage's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SketchOf {
    /// What is counted; NULL is no value.
    pub column: usize,
    /// Column that must be true for a row to count (FILTER).
    pub filter: Option<usize>,
}

/// The ring of a secure sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ring {
    /// Integers mod 2^64, read as signed.
    Z64,
    /// Integers mod 2^128, read as signed.
    Z128,
}

/// How a column's values map to integers in a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Exact: the integer is the value times 10^digits.
    Decimal(u8),
    /// The site's partial sum is rounded once to this many fractional bits.
    Binary(u8),
}

/// A column of the revealed rows, computed from a group's totals. Numbers are positions in `slots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// The i-th group key.
    Key(usize),
    /// A count.
    Count(usize),
    /// A sum; NULL when `count` is 0, unless it stands alone ([`SecureSum::shows_sums_alone`]).
    Sum {
        /// Slot of the sum.
        sum: usize,
        /// Slot of the non-NULL count.
        count: usize,
    },
    /// sum / count; NULL when `count` is 0 (or, with noise, below).
    Avg {
        /// Slot of the sum.
        sum: usize,
        /// Slot of the non-NULL count.
        count: usize,
    },
    /// Variance or standard deviation from n, Σx and Σx².
    Variance {
        /// Slot of the sum.
        sum: usize,
        /// Slot of the sum of squares.
        squares: usize,
        /// Slot of the non-NULL count.
        count: usize,
        /// n or n − 1.
        form: Form,
        /// Take the square root?
        root: bool,
    },
    /// An order statistic; NULL when there are no values.
    Point {
        /// Position in `orders`.
        order: usize,
        /// Position in its `points`.
        point: usize,
    },
    /// An approximate number of distinct values, rounded; 0 for none. Position in `sketches`.
    Approximate(usize),
}

impl Output {
    /// The slots that must be known to show it, counts first; none for keys.
    pub fn slots(&self, sum: &SecureSum) -> Vec<usize> {
        match self {
            // A sketch is not a slot, and there is none where cells are hidden.
            Output::Key(_) | Output::Approximate(_) => Vec::new(),
            Output::Count(slot) => vec![*slot],
            Output::Sum { sum: of, .. } if sum.shows_sums_alone() => vec![*of],
            Output::Sum { sum, count } | Output::Avg { sum, count } => vec![*count, *sum],
            Output::Variance { sum, squares, count, .. } => vec![*count, *sum, *squares],
            Output::Point { order, .. } => sum.orders.get(*order).map(|o| o.count).into_iter().collect(),
        }
    }

    /// The slot that counts what it is of; none for keys and sketches.
    pub(crate) fn count(&self, orders: &[Order]) -> Option<usize> {
        match self {
            Output::Key(_) | Output::Approximate(_) => None,
            Output::Count(slot) => Some(*slot),
            Output::Sum { count, .. } | Output::Avg { count, .. } | Output::Variance { count, .. } => Some(*count),
            Output::Point { order, .. } => Some(orders[*order].count),
        }
    }

    /// The cells it is made of: it is shown only if all of them are.
    pub fn cells(&self, sum: &SecureSum) -> Vec<usize> {
        let slots = self.slots(sum);
        let supports: Vec<usize> = slots.iter().flat_map(|slot| sum.supports_of(*slot)).collect();
        let mut cells: Vec<usize> = slots.into_iter().filter(|slot| sum.cells.contains(slot)).collect();
        supports.into_iter().for_each(|cell| {
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        });
        cells
    }
}

/// Which denominator a variance has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// n
    Population,
    /// n − 1
    Sample,
}

impl SecureSum {
    /// Are sums shown without the count beside them? It would be noised too, say nothing certain, and cost a part of ε.
    pub fn shows_sums_alone(&self) -> bool {
        !self.noised.is_empty() && self.cells.is_empty()
    }

    /// Is everything it tells over matched patients?
    pub fn is_over_matched(&self) -> bool {
        let is_matched = |slot: &Slot| matches!(slot.what, Summand::Patients(_));
        self.matching.is_some()
            && self.orders.is_empty()
            && self.sketches.is_empty()
            && self.slots.iter().all(is_matched)
    }

    /// Has this slot noise?
    pub fn is_noised(&self, slot: usize) -> bool {
        self.noised.iter().any(|noised| noised.slot == slot)
    }
}

impl JointPlan {
    /// Are small cells hidden? An intersection has no cells: it tells single patients, or is not granted.
    pub fn hides(&self) -> bool {
        self.min_patients > 1 && self.intersection.is_none()
    }

    /// Between two cells, or two releases, are so many patients at least, or none.
    pub fn least_between(&self) -> u32 {
        self.min_patients.max(self.released_tables.k_anonymous)
    }

    /// Is it held against earlier answers? Not figures with noise: the ledger would look at what they are without, for no ε at all; and what
    /// several of them tell together is bounded by the sum of their ε.
    pub fn is_ledgered(&self) -> bool {
        self.hides() && self.noise.is_none()
    }

    /// Are figures of it held against each other, too?
    pub fn compares_own(&self) -> bool {
        !self.side_by_side.is_empty() || !self.lists_apart.is_empty()
    }

    /// Is it held against them twice: the sets that need no agreed key before keys are agreed, and the others after? Who counts over matched
    /// patients in agreed groups follows from the keys; whose keys come out does not.
    pub fn is_asked_twice(&self) -> bool {
        self.is_ledgered() && self.sums.iter().any(|sum| matches!(sum.groups, Groups::Agreed { .. }))
    }

    /// Are only those totals opened that something shown needs? Any other would tell more, or take a part of ε.
    pub fn opens_needed(&self) -> bool {
        self.hides() || self.noise.is_some()
    }

    /// Is it sums alone, which need no work on shares but adding and opening?
    pub fn is_linear(&self) -> bool {
        let is_linear = |sum: &SecureSum| {
            sum.orders.is_empty() && sum.sketches.is_empty() && sum.top.is_none() && sum.matching.is_none()
        };
        !self.hides() && self.sums.iter().all(is_linear)
    }

    /// The one encoding of this plan: JSON without blanks, fields in the order of the struct, no maps, no floats.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("the plan's types hold no maps and no floats")
    }

    /// What sites compare and approve.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new().chain_update(DIGEST_DOMAIN).chain_update(self.canonical_bytes()).finalize().into()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// `PLAN_VERSION` for another version; `BAD_PLAN` for anything that [`JointPlan::canonical_bytes`] would not write:
    /// unknown fields, blanks, trailing bytes.
    pub fn from_canonical(bytes: &[u8]) -> Result<JointPlan, PlanError> {
        let bad = |why: &str| PlanError::new("BAD_PLAN", format!("the bytes are not a joint plan: {why}"));
        let head: Head = serde_json::from_slice(bytes).map_err(|_| bad("not JSON with a version"))?;
        if head.version != PLAN_VERSION {
            let text = format!("the plan has version {}, this node knows {PLAN_VERSION}", head.version);
            return Err(PlanError::new("PLAN_VERSION", text));
        }
        let plan: JointPlan = serde_json::from_slice(bytes).map_err(|_| bad("a field is missing or malformed"))?;
        if plan.canonical_bytes() == bytes { Ok(plan) } else { Err(bad("not in canonical form")) }
    }
}

#[derive(Deserialize)]
struct Head {
    version: u16,
}

const DIGEST_DOMAIN: &[u8] = b"consilium joint plan v1\0";
