//! Study files: no text panics, and what is read has one digest, whatever the layout of the file.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use party_node::govern::study::Study;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    match Study::from_toml(text) {
        Ok(study) => {
            let written = serde_json::to_vec(&study).expect("a study has no maps");
            let again: Study = serde_json::from_slice(&written).expect("what was written is read");
            assert_eq!((again.digest(), &again), (study.digest(), &study));
        }
        Err(error) => assert_eq!(error.code, "BAD_STUDY"),
    }
    Corpus::Keep
});
