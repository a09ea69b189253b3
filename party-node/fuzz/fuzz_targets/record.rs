//! Records of the ledger as they are once opened: what is accepted is the same when written and read again, and no length is believed before
//! its bytes are there. The first byte says of which kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_core::control;
use party_node::govern::sets::Sets;
use party_node::state::ledger::Release;

fuzz_target!(|data: &[u8]| {
    let Some((kind, record)) = data.split_first() else { return };
    if kind % 2 == 0 {
        if let Ok(sets) = control::decode_record::<Sets>(record) {
            let written = control::encode_record(&sets).expect("what was read is written");
            assert!(control::decode_record::<Sets>(&written).is_ok_and(|again| again == sets));
        }
    } else if let Ok(release) = serde_json::from_slice::<Release>(record) {
        let written = serde_json::to_vec(&release).expect("a release has no maps");
        assert!(serde_json::from_slice::<Release>(&written).is_ok_and(|again| again == release));
    }
});
