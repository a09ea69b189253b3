//! What the pages read, field by field as in `console/src/api/`.

pub mod catalog;
pub mod job;
pub mod log;
pub mod plan;
pub mod steward;

use serde::Serialize;

use crate::govern::study::Study as Signed;
use crate::state::hex;

/// A study, as every site signed it.
#[derive(Serialize)]
pub struct Study {
    #[serde(flatten)]
    signed: Signed,
    digest: String,
}

impl Study {
    /// With its digest.
    pub fn of(study: &Signed) -> Self {
        Self { signed: study.clone(), digest: hex::text(&study.digest()) }
    }
}

/// A number that JavaScript holds exactly; bounds may be larger.
pub fn exact(number: u64) -> u64 {
    number.min((1 << 53) - 1)
}
