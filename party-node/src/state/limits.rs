//! Limits per period, and what of a budget is left.

use crate::fault::NodeError;

/// At most so many in the last so many days: of one analyst in one study, and of everybody in all studies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Of one analyst in one study.
    pub most: u32,
    /// Of everybody.
    pub total: u32,
    /// The period, which ends now.
    pub days: u32,
}

impl From<query_planner::site_policy::Limit> for Limit {
    fn from(limit: query_planner::site_policy::Limit) -> Self {
        let total = limit.total.unwrap_or_else(|| Self::total(limit.most));
        Self { most: limit.most, total, days: limit.days }
    }
}

/// How many analysts may use up their limit before the site's total is reached.
const TIMES: u32 = 4;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Limit {
    /// When the period began. What has a later time counts, even one that is to come: a clock put back frees nothing.
    pub fn since_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(u64::from(self.days) * DAY_MS)
    }

    /// Of everybody, where a policy does not say: one analyst who uses up a limit leaves most of it to the others.
    pub const fn total(most: u32) -> u32 {
        most.saturating_mul(TIMES)
    }

    /// May there be one more, besides these of the period: of the analyst in the study, and of everybody?
    ///
    /// # Errors
    /// `code`, with the limit.
    pub fn one_more(&self, own: usize, all: usize, code: &'static str, what: &str) -> Result<(), NodeError> {
        let (most, whose) = if own >= self.most as usize {
            (self.most, "of one analyst in one study")
        } else if all >= self.total as usize {
            (self.total, "in all")
        } else {
            return Ok(());
        };
        Err(NodeError::new(code, format!("{what}: at most {most} {whose} in {} day(s) at this site", self.days)))
    }
}

/// A part of a study's ε, and of the site's, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// What this release takes.
    pub millionths: u64,
    /// What the study may take.
    pub limit: u64,
    /// What all studies together may take, if there is a limit.
    pub in_all: Option<u64>,
}

/// What was taken of ε, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// In the study.
    pub in_study: u64,
    /// In all studies together.
    pub in_all: u64,
}

impl Spend {
    /// All that is spent with it.
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED`; `BAD_EPSILON` for nothing.
    pub fn after(&self, spent: Spent) -> Result<Spent, NodeError> {
        if self.millionths == 0 {
            return Err(NodeError::new("BAD_EPSILON", "a release takes more than no ε"));
        }
        Ok(Spent {
            in_study: self.within(self.limit, spent.in_study, "the study has")?,
            in_all: self.within(self.in_all.unwrap_or(u64::MAX), spent.in_all, "all studies together have")?,
        })
    }

    fn within(&self, limit: u64, spent: u64, whose: &str) -> Result<u64, NodeError> {
        let after = spent.checked_add(self.millionths).filter(|after| *after <= limit);
        after.ok_or_else(|| {
            let left = limit.saturating_sub(spent);
            let message = format!("{whose} {left} millionths of ε left, and this takes {}", self.millionths);
            NodeError::new("BUDGET_EXHAUSTED", message).hint("a budget is never refunded")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_allows_its_number_and_not_one_more() {
        let limit = Limit { most: 2, total: 3, days: 1 };
        let full = |own, all| limit.one_more(own, all, "TOO_MANY_RELEASES", "releases").is_err();
        assert_eq!([full(1, 2), full(2, 2), full(0, 2), full(0, 3)], [false, true, false, true]);
        assert_eq!((limit.since_ms(DAY_MS + 5), limit.since_ms(3)), (5, 0));
    }

    #[test]
    fn a_budget_is_spent_to_the_last_millionth_and_does_not_wrap() {
        let after = |millionths, limit, in_all, [study, all]: [u64; 2]| {
            let spent = Spend { millionths, limit, in_all }.after(Spent { in_study: study, in_all: all });
            spent.map(|spent| [spent.in_study, spent.in_all]).map_err(|refusal| refusal.code.into_owned())
        };
        let exhausted = || Err("BUDGET_EXHAUSTED".to_owned());
        assert_eq!(after(1, 10, None, [9, 70]), Ok([10, 71]));
        assert_eq!(after(2, 10, None, [9, 9]), exhausted());
        assert_eq!(after(u64::MAX, u64::MAX, None, [1, 0]), exhausted());
        assert_eq!(after(u64::MAX, u64::MAX, None, [0, 1]), exhausted());
        assert_eq!(after(0, 10, None, [0, 0]), Err("BAD_EPSILON".to_owned()));
        assert_eq!(after(1, 10, Some(20), [0, 19]), Ok([1, 20]));
        assert_eq!(after(2, 10, Some(20), [0, 19]), exhausted());
    }
}
