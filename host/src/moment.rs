//! Moments as records, bundles and people are told them.

/// RFC 3339 with milliseconds, UTC, of milliseconds since 1970-01-01 UTC. What no calendar has is 1970.
pub(crate) fn rfc3339(milliseconds: impl TryInto<i64>) -> String {
    let moment = milliseconds.try_into().ok().and_then(chrono::DateTime::from_timestamp_millis);
    moment.unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_milliseconds_and_takes_what_is_no_moment() {
        assert_eq!(rfc3339(1_772_445_600_123_u64), "2026-03-02T10:00:00.123Z");
        assert_eq!(rfc3339(-1_i64), "1969-12-31T23:59:59.999Z");
        for none in [u64::MAX, i64::MAX as u64] {
            assert_eq!(rfc3339(none), "1970-01-01T00:00:00.000Z");
        }
    }
}
