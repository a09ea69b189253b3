//! Limits per period, and what of a budget is left.

use query_planner::noise::Delta;

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

/// What a release takes of a study's ε and δ, and of the site's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// Of ε, in millionths.
    pub epsilon: Part,
    /// Of δ, in units of 10⁻¹⁸.
    pub delta: Part,
}

/// A part of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What this release takes.
    pub takes: u64,
    /// What the study may take.
    pub limit: u64,
    /// What all studies together may take, if there is a limit.
    pub in_all: Option<u64>,
}

/// What was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Of ε, in millionths.
    pub epsilon: Taken,
    /// Of δ, in units of 10⁻¹⁸.
    pub delta: Taken,
}

/// What was taken of a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// In the study.
    pub in_study: u64,
    /// In all studies together.
    pub in_all: u64,
}

impl Spend {
    /// All that is spent with it: ε and δ of answers add up (basic composition; whatever mechanism each of them has).
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED`; `BAD_EPSILON` for nothing.
    pub fn after(&self, spent: Spent) -> Result<Spent, NodeError> {
        if self.epsilon.takes == 0 {
            return Err(NodeError::new("BAD_EPSILON", "a release takes more than no ε"));
        }
        let epsilon = self
            .epsilon
            .after(spent.epsilon, |left, takes| format!("{left} millionths of ε left, and this takes {takes}"))?;
        let delta = self.delta.after(spent.delta, |left, takes| {
            format!("a δ of {} left, and this takes {}", Delta(left), Delta(takes))
        })?;
        Ok(Spent { epsilon, delta })
    }
}

impl Part {
    fn after(&self, taken: Taken, words: impl Fn(u64, u64) -> String) -> Result<Taken, NodeError> {
        let within = |limit: u64, taken: u64, whose: &str| {
            let after = taken.checked_add(self.takes).filter(|after| *after <= limit || self.takes == 0);
            after.ok_or_else(|| {
                let message = format!("{whose} {}", words(limit.saturating_sub(taken), self.takes));
                NodeError::new("BUDGET_EXHAUSTED", message).hint("a budget is never refunded")
            })
        };
        Ok(Taken {
            in_study: within(self.limit, taken.in_study, "the study has")?,
            in_all: within(self.in_all.unwrap_or(u64::MAX), taken.in_all, "all studies together have")?,
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

    const NOTHING: Part = Part { takes: 0, limit: 0, in_all: None };

    #[test]
    fn a_budget_is_spent_to_the_last_millionth_and_does_not_wrap() {
        let after = |takes, limit, in_all, [in_study, all]: [u64; 2]| {
            let spend = Spend { epsilon: Part { takes, limit, in_all }, delta: NOTHING };
            let spent = spend.after(Spent { epsilon: Taken { in_study, in_all: all }, ..Spent::default() });
            spent
                .map(|spent| [spent.epsilon.in_study, spent.epsilon.in_all])
                .map_err(|refusal| refusal.code.into_owned())
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

    #[test]
    fn delta_is_spent_beside_epsilon_to_the_last_of_it() {
        let after = |takes: u64, limit, in_all, [in_study, all]: [u64; 2]| {
            let epsilon = Part { takes: 1, limit: 10, in_all: None };
            let spend = Spend { epsilon, delta: Part { takes, limit, in_all } };
            let spent = spend.after(Spent { delta: Taken { in_study, in_all: all }, ..Spent::default() });
            spent.map(|spent| [spent.delta.in_study, spent.delta.in_all]).map_err(|refusal| refusal.to_string())
        };
        let delta = |digits| Delta::of_digits(digits).0;
        let study = [7, 7, 8].map(delta).iter().sum::<u64>();
        assert_eq!(after(delta(8), delta(6), None, [9 * delta(7) + 9 * delta(8), 0]), Ok([delta(6), delta(8)]));
        let refused = after(delta(6), delta(6), None, [study, study]).unwrap_err();
        assert!(refused.contains("a δ of 79·10^-8 left, and this takes 10^-6"), "{refused}");
        assert!(after(delta(7), delta(6), Some(delta(6)), [0, 10 * delta(7)]).is_err());
        assert!(after(u64::MAX, u64::MAX, None, [1, 0]).is_err());
        // What takes no δ is not stopped by a policy that has none, or has less than it had.
        assert_eq!(after(0, 0, Some(0), [5, 5]), Ok([5, 5]));
    }
}
