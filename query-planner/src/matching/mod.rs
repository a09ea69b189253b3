//! Questions whose patients are matched between sites: a subplan is read patient by patient (`view`), its figures
//! become nodes over features of each patient (`tally`, `rollup`), and those a sum over matched patients (`release`).

mod beside;
mod between;
mod choices;
mod codes;
mod cohort;
mod condition;
mod describe;
pub mod evaluate;
mod expressions;
pub(crate) mod home;
mod intersection;
mod join;
mod keys;
mod layout;
mod nodes;
mod pairs;
mod release;
mod rolled_up;
mod rollup;
mod supports;
mod tally;
mod values;
mod view;
mod windows;

pub(crate) use beside::{beside, counts_distinct, key_column};
pub(crate) use codes::SUM_BITS;
pub(crate) use cohort::cohort;
pub(crate) use describe::{write_matching, write_relation};
pub(crate) use intersection::{Common, common};
pub(crate) use layout::{Laid, LaidOut};
pub(crate) use release::{Matched, matched};

use crate::error::PlanError;

/// A join, key or condition that cannot be followed patient by patient.
fn unmatchable(text: String) -> PlanError {
    PlanError::new("UNMATCHABLE", text)
}

fn not_yet(what: &str) -> PlanError {
    PlanError::new("NOT_YET", format!("{what} is not available yet"))
}

/// A subplan without the patient key: what stands around it says what to refuse.
pub(crate) const NO_PATIENT_KEY: &str = "NO_PATIENT_KEY";
