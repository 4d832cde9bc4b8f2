//! Versions of what can be edited, as HTTP has them: `ETag` and `If-Match` (RFC 9110, 13.1.1).

use super::error::Problem;

/// The entity tag of a version.
pub(super) fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Checks that whoever changes something has seen its present version. Returns that version, for the
/// database to check again.
pub(super) fn expected(if_match: Option<&str>, present: i64) -> Result<i64, Problem> {
    let Some(if_match) = if_match else { return Err(Problem::version_required()) };
    let present_tag = etag(present);
    let matches = |tag: &str| tag == "*" || tag == present_tag;
    if if_match.split(',').map(str::trim).any(matches) { Ok(present) } else { Err(Problem::changed(present)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_present_version_may_be_changed() {
        assert!(matches!(expected(Some("\"3\""), 3), Ok(3)));
        assert!(matches!(expected(Some("*"), 3), Ok(3)));
        assert!(matches!(expected(Some("\"1\", \"3\""), 3), Ok(3)));
        assert!(matches!(expected(Some("\"2\""), 3), Err(Problem::Changed(_))));
        // A weak tag never matches (RFC 9110, 8.8.3.2), nor does one without its quotes.
        assert!(matches!(expected(Some("W/\"3\""), 3), Err(Problem::Changed(_))));
        assert!(matches!(expected(Some("3"), 3), Err(Problem::Changed(_))));
        assert!(matches!(expected(None, 3), Err(Problem::VersionRequired(_))));
    }
}
