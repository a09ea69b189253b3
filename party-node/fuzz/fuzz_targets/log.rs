//! Lines of a log: whatever the bytes are, they are the lines of a key, or the first bad line is named.
#![no_main]

use libfuzzer_sys::fuzz_target;
use party_node::state::audit::verify_export;

fuzz_target!(|data: &[u8]| {
    // Nobody has a key that hashes to zeros: a log under it is refused at its first line that says who signed, at the latest.
    assert!(verify_export(data, &[mpc_core::identity::Pin([0; 32])]).is_err());
});
