//! What a text about an incident says. Pure.

use crate::{
    modem::pdu::{Text, Width},
    store::{Content, MessageKind},
};

/// Characters of a summary, at most: nobody reads more on a telephone at night.
const SUMMARY: usize = 600;

/// What a text of this kind says, in at most so many messages. `code` stands for the incident in answers.
pub(super) fn body(kind: MessageKind, content: &Content, code: Option<u32>, segments: u8) -> String {
    let whole: String = content.summary.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut most = SUMMARY;
    loop {
        let text = text(kind, content, &shortened(&whole, most), code);
        // How to answer stands at the end, and must not be what is cut.
        if most == 0 || !Text::split(&text, segments.into(), Width::Short).is_cut() {
            return text;
        }
        most = most.min(whole.chars().count()) * 9 / 10;
    }
}

fn text(kind: MessageKind, content: &Content, summary: &str, code: Option<u32>) -> String {
    let summary = if summary.is_empty() { "An alert without words" } else { summary };
    let mark = code.map_or_else(String::new, |code| format!(" #{code}"));
    let severity = content.severity.trim();
    let severity = if severity.is_empty() { String::new() } else { format!("{}: ", severity.to_uppercase()) };
    let firing = content.members.iter().filter(|member| member.firing).count() + content.truncated as usize;
    let more = if firing > 1 { format!(" ({firing} alerts)") } else { String::new() };
    let how = code.map_or_else(String::new, |code| {
        format!("\nAnswer 4 {code} to take it, 5 {code} to pass it on, 6 {code} if it is over.")
    });
    match kind {
        MessageKind::Over => format!("It is over: {summary}{mark}"),
        MessageKind::MissedCall => format!("You missed a call. {severity}{summary}{more}{mark}{how}"),
        MessageKind::Page | MessageKind::Direct | MessageKind::Answer => {
            format!("{severity}{summary}{more}{mark}{how}")
        }
    }
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::Member;

    fn about(severity: &str, summary: &str, alerts: usize) -> Content {
        let member = |_| Member {
            fingerprint: String::new(),
            summary: String::new(),
            severity: String::new(),
            firing: true,
            labels: BTreeMap::new(),
        };
        let members = (0..alerts).map(member).collect();
        Content { severity: severity.into(), summary: summary.into(), members, ..Content::default() }
    }

    #[test]
    fn a_page_says_what_it_is_about_its_code_and_how_to_answer() {
        let said = body(MessageKind::Page, &about("critical", "disk full\n on db-01", 1), Some(17), 3);
        assert_eq!(
            said,
            "CRITICAL: disk full on db-01 #17\nAnswer 4 17 to take it, 5 17 to pass it on, 6 17 if it is over."
        );
        assert_eq!(body(MessageKind::Page, &about("", "disk full", 3), None, 3), "disk full (3 alerts)");
        let missed = body(MessageKind::MissedCall, &about("", "disk full", 1), Some(2), 3);
        assert!(missed.starts_with("You missed a call. disk full #2\nAnswer 4 2"), "{missed}");
        assert_eq!(body(MessageKind::Over, &about("critical", "disk full", 2), Some(2), 3), "It is over: disk full #2");
        assert_eq!(body(MessageKind::Page, &about("", "", 1), None, 3), "An alert without words");
    }

    #[test]
    fn a_summary_is_cut_so_that_how_to_answer_still_fits() {
        for (summary, segments) in [("x".repeat(5000), 1), ("x".repeat(5000), 3), ("ж".repeat(500), 2)] {
            let said = body(MessageKind::Page, &about("critical", &summary, 1), Some(999), segments);
            assert!(!Text::split(&said, segments.into(), Width::Short).is_cut(), "{segments}");
            assert!(said.contains("... #999\n") && said.ends_with("if it is over."), "{said}");
        }
    }
}
