//! What an analyst should know about the dialect and the answer before believing a number. A plan has it as facts, of which each language makes
//! words.

mod chinese;
mod english;

use std::fmt;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use serde::{Deserialize, Serialize};

use crate::catalog::SiteName;
use crate::disclosure::{Figure, Language};
use crate::plan::SecureSum;

/// Something to know of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// `/` of two whole numbers cuts.
    IntegersDivided,
    /// Where ORDER BY puts NULL.
    NullsLast,
    /// Of an ordered answer with a LIMIT the other rows stay unknown.
    FirstRows,
    /// Conditions on revealed rows hide nothing.
    AllGroups,
    /// An approximation was asked for and is exact.
    ExactPercentiles,
    /// Cells of fewer patients than this are hidden, and where.
    HiddenInside {
        /// `min_patients`.
        least: u32,
    },
    /// What a hidden cell is for the rest of the question.
    HiddenCells,
    /// As [`Note::HiddenInside`] without a site's own rows.
    LessOwnRows {
        /// `min_patients`.
        least: u32,
    },
    /// Undeclared keys are agreed by rows, and shown by patients.
    KeysByRows,
    /// A count counts rows of patients who may have several.
    RowsNotPatients {
        /// The column that tells patients apart.
        patient_key: String,
    },
    /// A patient may have several values of a sensitive key.
    SensitiveValues {
        /// `k_anonymous`.
        least: u32,
    },
    /// Small cells are judged by rows though patients are known.
    JudgedByRows,
    /// A figure that declared ranges do not bound.
    Unbounded(Figure),
    /// A sorted column without a declared range.
    SortedUnbounded {
        /// In words.
        column: String,
        /// How wide its values are.
        bits: u32,
    },
    /// An estimate of a number of values.
    Approximate {
        /// In words.
        column: String,
        /// Of which rows.
        filter: Option<String>,
    },
    /// Percentiles of reals have so many digits.
    NineDecimals,
    /// Sums of reals are rounded at each site.
    Rounded {
        /// How many add to them.
        sites: u32,
    },
    /// How patients are told apart.
    KnownBy {
        /// The column.
        patient_key: String,
    },
    /// Rows of nobody.
    WithoutKey {
        /// The column.
        patient_key: String,
    },
    /// A patient has at most so many rows that are ordered.
    MostEvents {
        /// `max_events`.
        most: u32,
    },
    /// Values beyond these are read as these.
    Clamped {
        /// Where the column is.
        table: String,
        /// Its name.
        column: String,
        /// The least, as written.
        lo: String,
        /// The greatest.
        hi: String,
    },
    /// Where the list of patients in common lies.
    ListInFile {
        /// Who has it.
        receiver: SiteName,
        /// The column.
        patient_key: String,
    },
    /// A list of patients in common has no least length.
    NoLeastList,
    /// Both sites of a list of patients keep whom they entered.
    EnteredKept,
}

impl Note {
    /// In words.
    pub fn words(&self, language: Language) -> String {
        match language {
            Language::English => english::words(self),
            Language::Chinese => chinese::words(self),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&english::words(self))
    }
}

/// Notes on integer division and the order of NULLs.
pub(crate) fn question(plan: &LogicalPlan, notes: &mut Vec<Note>) {
    let (mut sorts, mut divides) = (false, false);
    // The closures never fail.
    let _ = plan.apply_with_subqueries(|node| {
        sorts |= matches!(node, LogicalPlan::Sort(_));
        let _ = node.apply_expressions(|top| {
            top.apply(|expr| {
                divides |= divides_integers(expr, node);
                Ok(TreeNodeRecursion::Continue)
            })
        });
        Ok(TreeNodeRecursion::Continue)
    });
    if divides {
        notes.push(Note::IntegersDivided);
    }
    if sorts {
        notes.push(Note::NullsLast);
    }
}

/// What the analyst sees beyond the final answer, or does not.
pub(crate) fn finish(finish: &LogicalPlan, sums: &[SecureSum]) -> Option<Note> {
    if sums.iter().any(|sum| sum.top.is_some()) {
        return Some(Note::FirstRows);
    }
    let mut hides = false;
    // The closure never fails.
    let _ = finish.apply_with_subqueries(|node| {
        hides |= matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Limit(_));
        Ok(TreeNodeRecursion::Continue)
    });
    hides.then_some(Note::AllGroups)
}

fn divides_integers(expr: &Expr, node: &LogicalPlan) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) = expr else { return false };
    let whole = |e: &Expr| {
        let data_type = node.inputs().into_iter().find_map(|input| e.get_type(input.schema().as_ref()).ok());
        data_type.is_some_and(|t| t.is_integer())
    };
    whole(left) && whole(right)
}
