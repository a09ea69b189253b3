//! Times as people read them.

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

/// Milliseconds since 1970 as `2026-11-22 13:20:05 UTC`.
pub fn utc(ms: u64) -> String {
    let second = i64::try_from(ms / 1000).ok();
    let text = ScalarValue::TimestampSecond(second, None).cast_to(&DataType::Utf8);
    match text {
        Ok(ScalarValue::Utf8(Some(text))) => format!("{} UTC", text.replace('T', " ")),
        _ => format!("{ms} ms after 1970"),
    }
}

/// The same to the millisecond, as machines read it: `2026-11-22T13:20:05.007Z`.
pub fn rfc3339(ms: u64) -> String {
    let text = utc(ms);
    match text.strip_suffix(" UTC") {
        Some(second) => format!("{}.{:03}Z", second.replace(' ', "T"), ms % 1000),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, utc};

    #[test]
    fn a_time_is_told_in_utc_to_the_second() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399_999), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(u64::MAX), format!("{} ms after 1970", u64::MAX));
        assert_eq!(rfc3339(951_782_399_999), "2000-02-28T23:59:59.999Z");
    }
}
