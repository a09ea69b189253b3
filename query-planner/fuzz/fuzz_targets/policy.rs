//! Site policies: no text panics, and what is read survives being written and published.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use query_planner::site_policy::SitePolicy;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    match SitePolicy::from_toml(text) {
        Ok(policy) => {
            let again = SitePolicy::from_toml(&policy.to_toml()).expect("what was written is read");
            assert_eq!((&again, again.digest()), (&policy, policy.digest()));
            let published = policy.published();
            assert_eq!(published.published(), published, "what is published hides nothing more when published again");
        }
        Err(error) => assert_eq!(error.code, "BAD_POLICY"),
    }
    Corpus::Keep
});
