//! What a text about an incident says: in the language of whoever gets it, and no longer than it may be.

use std::sync::Arc;

use crate::{
    id::IncidentId,
    modem::pdu,
    script::{Text, Texts, Told},
    store::{Content, MessageKind},
};

/// Who has not said in which language they are written to.
pub(super) const LANGUAGE: &str = "en";
/// Characters of a summary, at most: nobody reads more on a telephone at night.
const SUMMARY: usize = 600;
/// Incidents that one text tells of, at most, and characters of each that it tells at least.
pub(super) const MOST: usize = 10;
const LEAST: usize = 25;
/// More parts than any text has.
const PARTS: usize = 255;

/// How texts are worded.
#[derive(Debug)]
pub struct Words {
    /// The templates.
    pub texts: Arc<Texts>,
    /// Messages that one text may take.
    pub segments: u8,
    /// Where more can be read about an incident, `{id}` for which; nowhere if it is not said.
    pub link: Option<String>,
}

impl Words {
    /// What a text of this kind says about an incident. `code` stands for it in answers.
    pub(super) fn about(
        &self,
        kind: MessageKind,
        language: &str,
        id: IncidentId,
        content: &Content,
        code: Option<u32>,
    ) -> String {
        let link = self.link.as_ref().map_or_else(String::new, |link| link.replace("{id}", &id.to_string()));
        let said = |link| {
            let told = told(content, code, link);
            match kind {
                MessageKind::Over => Text::Over(told),
                MessageKind::MissedCall => Text::MissedCall(told),
                _ => Text::Page(told),
            }
        };
        let (text, is_too_long) = self.fitted(language, &said(&link), self.segments);
        // What cannot be read to its end leads nowhere, and how to answer is worth more.
        if is_too_long { self.fitted(language, &said(""), self.segments).0 } else { text }
    }

    /// One text about as many of these as it can tell of so that they are recognised, two at least; and how many.
    /// Each has its code.
    pub(super) fn several(&self, language: &str, all: &[(Content, u32)]) -> Option<(String, usize)> {
        (2..=all.len().min(MOST)).rev().find_map(|count| {
            let whole: Vec<Told<'_>> =
                all[..count].iter().map(|(content, code)| told(content, Some(*code), "")).collect();
            let least: Vec<Told<'_>> =
                whole.iter().map(|told| Told { summary: beginning(told.summary, LEAST), ..*told }).collect();
            let says = |told| self.texts.fitted(language, &Text::Pages { told, more: 0 }, self.segments.into(), parts);
            let fits = says(&least).is_ok_and(|fitted| !fitted.is_cut && !fitted.is_too_long);
            fits.then(|| says(&whole).ok()).flatten().map(|fitted| (fitted.text, count))
        })
    }

    /// What is answered to a text.
    pub(super) fn says(&self, language: &str, text: &Text<'_>) -> String {
        self.fitted(language, text, self.segments).0
    }

    /// A text in one message, to stand beside others.
    pub(super) fn short(&self, language: &str, text: &Text<'_>) -> String {
        self.fitted(language, text, 1).0
    }

    /// A text in at most so many messages, and whether it takes more all the same.
    fn fitted(&self, language: &str, text: &Text<'_>, segments: u8) -> (String, bool) {
        match self.texts.fitted(language, text, segments.into(), parts) {
            Ok(fitted) => (fitted.text, fitted.is_too_long),
            Err(error) => {
                tracing::error!(%error, language, "a template of texts fails; what it tells is sent without it");
                (stand_in(text), false)
            }
        }
    }
}

/// How many messages a text takes.
fn parts(text: &str) -> usize {
    pdu::Text::split(text, PARTS, pdu::Width::Short).parts().len()
}

fn beginning(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

/// An incident, as a text tells it.
fn told<'a>(content: &'a Content, code: Option<u32>, link: &'a str) -> Told<'a> {
    let firing = content.members.iter().filter(|member| member.firing).count();
    Told {
        code,
        severity: &content.severity,
        summary: beginning(&content.summary, SUMMARY),
        alerts: firing + usize::try_from(content.truncated).unwrap_or(0),
        link,
    }
}

/// What is said if a template fails, which none does that ships.
fn stand_in(text: &Text<'_>) -> String {
    match text {
        Text::Page(told) | Text::MissedCall(told) | Text::Over(told) => told.summary.to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        modem::pdu::{Text as Split, Width},
        script::Keypad,
        store::Member,
    };

    fn words(segments: u8, link: Option<&str>) -> Words {
        let texts = Arc::new(Texts::new(Keypad::default()).expect("the built-in templates parse"));
        Words { texts, segments, link: link.map(str::to_owned) }
    }

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
        let id = IncidentId::generate();
        let said = |kind, language, content: &Content, code| words(3, None).about(kind, language, id, content, code);
        let disk = about("critical", "disk full\n on db-01", 1);
        assert_eq!(
            said(MessageKind::Page, "en", &disk, Some(17)),
            "#17 critical: disk full on db-01. Reply 4 17 = take, 5 17 = pass on, 6 17 = over"
        );
        assert_eq!(said(MessageKind::Page, "fr", &about("", "disk full", 3), None), "disk full (3 alertes)");
        let missed = said(MessageKind::MissedCall, "de", &about("", "disk full", 1), Some(2));
        assert!(missed.starts_with("Verpasster Anruf. #2 disk full. Antwort 4 2 = "), "{missed}");
        assert_eq!(said(MessageKind::Over, "en", &disk, Some(2)), "It is over: #2 critical: disk full on db-01");
        assert_eq!(said(MessageKind::Page, "en", &about("", "", 1), None), "an alert without words");
    }

    #[test]
    fn one_text_tells_of_as_many_as_are_recognised_in_it() {
        let many: Vec<(Content, u32)> =
            (1..=20).map(|nth| (about("", &format!("disk {nth} is full"), 1), nth)).collect();
        let (said, count) = words(3, None).several("en", &many[..3]).expect("they fit");
        assert_eq!(
            (said.as_str(), count),
            (
                "3 incidents: #1 disk 1 is full; #2 disk 2 is full; #3 disk 3 is full. \
                 Reply 4 1 = take, 5 1 = pass on, 6 1 = over, 4 all = take all",
                3
            )
        );
        let (said, count) = words(3, None).several("en", &many).expect("they fit");
        assert!(count == 10 && said.contains("#10 disk 10 is full. Reply"), "{said}");
        let long: Vec<(Content, u32)> = (1..=20).map(|nth| (about("critical", &"ж".repeat(500), 1), nth)).collect();
        let (said, count) = words(3, None).several("en", &long).expect("some fit");
        assert!((2..=3).contains(&count) && parts(&said) <= 3 && said.contains("#2 critical: жжж"), "{count} {said}");
        assert_eq!(words(1, None).several("en", &long), None, "each by itself");
    }

    #[test]
    fn a_summary_is_cut_so_that_how_to_answer_and_the_link_still_fit() {
        let id = IncidentId::generate();
        let (end, link) = (" 6 999 = over", "https://alerts.example.org/{id}");
        for (summary, segments) in [("x".repeat(5000), 1), ("x".repeat(5000), 3), ("ж".repeat(500), 2)] {
            let content = about("critical", &summary, 1);
            let page = |words: Words| words.about(MessageKind::Page, "en", id, &content, Some(999));
            let is_whole = |said: &str| !Split::split(said, segments.into(), Width::Short).is_cut();
            let said = page(words(segments, None));
            assert!(is_whole(&said) && said.contains("... Reply 4 999 =") || said.contains("...."), "{said}");
            assert!(said.ends_with(end), "{said}");
            let said = page(words(segments, Some(link)));
            assert!(is_whole(&said) && said.ends_with(&format!("{end}\nhttps://alerts.example.org/{id}")), "{said}");
            // What leaves no room for anything else is left out.
            let said = page(words(segments, Some(&format!("https://{}.example.org/{{id}}", "x".repeat(400)))));
            assert!(is_whole(&said) && said.ends_with(end), "{said}");
        }
    }
}
