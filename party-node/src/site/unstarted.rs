//! Words of readiness that no run followed. Each says something of the site's rows, if only that an expression fails on none of them; so each
//! that may say something new is charged.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Plans that this site was ready for and that were not begun, each with the digest of the data that it was last ready over.
#[derive(Debug, Default)]
pub(super) struct Unstarted(Mutex<HashMap<[u8; 32], [u8; 32]>>);

impl Unstarted {
    /// Is this another word than the plan's last? The same plan over the same data is not: it may wait for another site's steward. Where
    /// no digest of the data is known, nobody can tell, and it is.
    pub fn is_new(&self, plan: &[u8; 32], data: Option<[u8; 32]>) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match data {
            Some(data) => last.insert(*plan, data) != Some(data),
            None => true,
        }
    }

    /// Its work has failed since: that it does not any more is a new word.
    pub fn forget(&self, plan: &[u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(plan);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_new_with_every_change_of_the_data_and_after_every_failure() {
        let (words, [plan, other], [before, after]) = (Unstarted::default(), [[1; 32], [2; 32]], [[3; 32], [4; 32]]);
        assert!(words.is_new(&plan, Some(before)));
        assert!(!words.is_new(&plan, Some(before)), "it waits for somebody else");
        assert!(words.is_new(&other, Some(before)), "another plan");
        assert!(words.is_new(&plan, Some(after)));
        assert!(words.is_new(&plan, Some(before)), "the data are as they were: that is a change too");
        words.forget(&plan);
        assert!(words.is_new(&plan, Some(before)) && !words.is_new(&other, Some(before)));
        assert!(words.is_new(&plan, None) && words.is_new(&plan, None), "who knows whether they changed");
    }
}
