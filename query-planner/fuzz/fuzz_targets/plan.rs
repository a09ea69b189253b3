//! Bytes as a joint plan: what is accepted is the one canonical form of what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use query_planner::JointPlan;

fuzz_target!(|data: &[u8]| {
    if let Ok(plan) = JointPlan::from_canonical(data) {
        assert_eq!(plan.canonical_bytes(), data);
    }
});
