//! Network files: no text panics, and what is read is valid by the file's own rules when it is set value by value.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use query_planner::Settings;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    match Settings::from_toml(text) {
        Ok(mut settings) => {
            // An override of what already stands changes nothing, so the settings survive their own encoding.
            let before = settings.clone();
            let same = format!("min_sites={}", settings.min_sites);
            settings.set(&same).expect("a value that was read can be set");
            assert_eq!(format!("{settings:?}"), format!("{before:?}"));
        }
        Err(error) => assert_eq!(error.code, "BAD_SETTINGS"),
    }
    // The same text as an override: `key=value`.
    let mut settings = Settings::default();
    if settings.set(text).is_err() {
        assert_eq!(settings, Settings::default(), "a refused override changes nothing");
    }
    Corpus::Keep
});
