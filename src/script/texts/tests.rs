use proptest::prelude::*;

use super::*;
use crate::{
    answer::{Keys, Meaning, Verb, Which},
    modem::pdu::{Alphabet, Text as Segmented, Width},
};

const KEYS: Keys = Keys { acknowledge: '4', escalate: '5', resolve: '6' };
const DISK: Told<'_> =
    Told { code: Some(17), severity: "critical", summary: "disk full on db-01", alerts: 3, link: "" };

fn texts() -> Texts {
    Texts::new(Keypad::default()).expect("the built-in templates parse")
}

fn segments(text: &str) -> usize {
    Segmented::split(text, 255, Width::Short).parts().len()
}

fn written(language: &str, text: &Text<'_>) -> String {
    texts().text(language, text).expect("the built-in templates render")
}

fn each() -> Vec<Text<'static>> {
    let (codes, told): (&[u32], &[Told<'_>]) =
        (&[17, 18], &[DISK, Told { code: Some(18), severity: "", summary: "x", alerts: 1, link: "" }]);
    let mut each = vec![
        Text::Page(DISK),
        Text::Pages { told, more: 0 },
        Text::Pages { told, more: 3 },
        Text::Pages { told: &[], more: 0 },
        Text::MissedCall(DISK),
        Text::Over(DISK),
        Text::Taken { by: "Ben", told: DISK },
        Text::ShiftBegins { schedule: "Web", until: "" },
        Text::ShiftBegins { schedule: "Web", until: "08:00" },
        Text::ShiftEnds { schedule: "Web", next: "" },
        Text::ShiftEnds { schedule: "Web", next: "Ben" },
        Text::NobodyLeft { codes },
        Text::NothingOpen,
        Text::NoSuch { codes },
        Text::NotByText,
        Text::Stopped,
        Text::Started,
        Text::Help,
        Text::Raised,
        Text::NotUnderstood,
    ];
    for action in [Action::Acknowledge, Action::Escalate, Action::Resolve] {
        each.push(Text::Done { action, codes, unknown: &[] });
        each.push(Text::Done { action, codes, unknown: &[20] });
        each.push(Text::Which { action, codes });
    }
    each
}

#[test]
fn a_page_says_what_where_and_how_to_answer() {
    assert_eq!(
        written("en", &Text::Page(DISK)),
        "#17 critical: disk full on db-01 (3 alerts). Reply 4 17 = take, 5 17 = pass on, 6 17 = over"
    );
    assert_eq!(
        written("de-AT", &Text::Page(Told { severity: "", alerts: 1, ..DISK })),
        "#17 disk full on db-01. Antwort 4 17 = übernehmen, 5 17 = weitergeben, 6 17 = erledigt"
    );
    let told = [DISK, Told { code: Some(18), severity: "", summary: "\r\n", alerts: 1, link: "" }];
    assert_eq!(
        written("en", &Text::Pages { told: &told, more: 2 }),
        "4 incidents: #17 critical: disk full on db-01 (3 alerts); #18 an alert without words; 2 more. \
         Reply 4 17 = take, 5 17 = pass on, 6 17 = over, 4 all = take all"
    );
    let done = Text::Done { action: Action::Acknowledge, codes: &[17, 18], unknown: &[20] };
    assert_eq!(written("en", &done), "Done: you have taken #17, #18. Not open: #20.");
    let which = Text::Which { action: Action::Resolve, codes: &[17, 18] };
    assert_eq!(written("en", &which), "Which one? Open: #17, #18. Reply for instance 6 17, or 6 all");
}

#[test]
fn every_text_is_written_in_every_language_in_gsm_7_where_it_can_be() {
    let english: Vec<String> = each().iter().map(|text| written("en", text)).collect();
    for (language, lines) in LANGUAGES {
        let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, LANGUAGES[0].1.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{language}");
        for (text, english) in each().iter().zip(&english) {
            let written = written(language, text);
            let split = Segmented::split(&written, 255, Width::Short);
            let alphabet = if *language == "ru" { Alphabet::Ucs2 } else { Alphabet::Gsm7 };
            assert_eq!(split.alphabet(), alphabet, "{language}: {written}");
            assert!(split.parts().len() <= if *language == "ru" { 5 } else { 2 }, "{language}: {written}");
            assert!(!written.contains("{") && !written.contains("  "), "{language}: {written}");
            assert!(*language == "en" || written != *english, "{language}: {written}");
        }
        assert!(*language == "ru" || segments(&written(language, &Text::Page(DISK))) == 1, "{language}");
    }
}

/// What texts say that can be answered is understood.
#[test]
fn whoever_does_as_a_text_says_is_understood() {
    for (language, _) in LANGUAGES {
        let which = written(language, &Text::Which { action: Action::Acknowledge, codes: &[17, 18] });
        let all = which.rsplit(' ').next().expect("a last word");
        assert_eq!(
            Meaning::of(&format!("4 {all}"), KEYS),
            Meaning::Act { verb: Verb::Acknowledge, which: Which::All },
            "{language}: {which}"
        );
        let pages = written(language, &Text::Pages { told: &[DISK, DISK], more: 0 });
        assert!(pages.contains(&format!(", 4 {all} = ")), "{language}: {pages}");
        // The words beside the keys may be used instead of them.
        let page = written(language, &Text::Page(DISK));
        let how = page.split(" = ").skip(1).map(|part| part.split(',').next().unwrap_or_default());
        for (word, verb) in how.zip([Verb::Acknowledge, Verb::Escalate, Verb::Resolve]) {
            let is_plain = !["pass on", "over", "übernehmen", "weitergeben"].contains(&word);
            let expected = Meaning::Act { verb, which: Which::Coded(vec![17]) };
            assert!(!is_plain || Meaning::of(&format!("{word} 17"), KEYS) == expected, "{language}: {word}");
        }
        let loud = |text: &Text<'_>| {
            let text = written(language, text);
            let words = text
                .split(|c: char| !c.is_alphabetic())
                .filter(|word| word.chars().count() > 3 && word.chars().all(char::is_uppercase));
            words.map(|word| Meaning::of(word, KEYS)).collect::<Vec<_>>()
        };
        assert_eq!(loud(&Text::Stopped), [Meaning::Start], "{language}");
        assert_eq!(loud(&Text::Started), [Meaning::Stop], "{language}");
        assert_eq!(loud(&Text::Help), [Meaning::Stop], "{language}");
    }
}

#[test]
fn what_has_no_code_cannot_be_answered_and_a_link_stands_at_the_end() {
    assert_eq!(written("en", &Text::Page(Told { code: None, alerts: 0, ..DISK })), "critical: disk full on db-01");
    let link = "https://alerts.example.org/0193";
    let page = texts().fitted("en", &Text::Page(Told { summary: &"x".repeat(500), link, ..DISK }), 1, segments);
    let page = page.expect("a text");
    assert!(page.is_cut && !page.is_too_long && page.text.ends_with(&format!(" = over\n{link}")), "{page:?}");
}

#[test]
fn keys_that_are_no_digits_are_written_as_words() {
    let keypad = Keypad { escalate: '*', repeat: '5', ..Keypad::default() };
    let texts = Texts::new(keypad).expect("templates");
    let page = texts.text("en", &Text::Page(DISK)).expect("a text");
    assert!(page.contains("4 17 = take, esc 17 = pass on"), "{page}");
}

#[test]
fn what_comes_from_outside_is_text_on_one_line_and_never_a_template() {
    let page = written("en", &Text::Page(Told { summary: "{{ 6 * 7 }}\r\n<b>&\0 _@$[]{}", ..DISK }));
    assert!(page.contains("critical: {{ 6 * 7 }} <b>& _@$[]{} (3 alerts)"), "{page}");
    assert_eq!(texts().language("tlh"), "en");
    assert_eq!(texts().language("DE"), "de");
}

/// No summary of the next test is longer.
const LONGEST: usize = 160;

/// Slow and obvious: one character less at a time, until it fits.
fn slowly(texts: &Texts, language: &str, text: &Text<'_>, most: usize) -> String {
    let render = |longest| texts.render(language, text, longest).expect("a text");
    let mut longest = LONGEST;
    while longest > 0 && segments(&render(longest)) > most {
        longest -= 1;
    }
    render(longest)
}

#[test]
fn a_text_is_cut_so_that_it_just_fits() {
    let long = "disk full on db-01, which has 12 TB and none left; ".repeat(3);
    let emoji = "👨\u{200d}👩\u{200d}👧👍🏽 e\u{301} ".repeat(13);
    let mixed = format!("{}ж{}", "plain words ".repeat(4), "more words ".repeat(9));
    let texts = texts();
    for summary in [&*long, &emoji, &mixed, &"x".repeat(LONGEST), "short"] {
        assert!(summary.chars().count() <= LONGEST);
        for language in ["en", "ru"] {
            for most in 1..=2 {
                let one = Told { summary, ..DISK };
                let told = [one, Told { code: Some(18), ..one }, Told { code: Some(19), summary: "short", ..one }];
                for text in [Text::Page(one), Text::Pages { told: &told, more: 1 }] {
                    let fitted = texts.fitted(language, &text, most, segments).expect("a text");
                    assert_eq!(fitted.text, slowly(&texts, language, &text, most), "{language} {most}");
                    assert_eq!(fitted.is_too_long, segments(&fitted.text) > most);
                    assert_eq!(fitted.is_cut, fitted.text.contains(CUT), "{}", fitted.text);
                    let how = texts.text(language, &Text::Page(Told { summary: "x", ..DISK })).expect("a text");
                    let how = how.split_once(". ").expect("how").1;
                    assert!(fitted.text.contains(how), "{}", fitted.text);
                    assert!(fitted.text.contains("#17 "), "{}", fitted.text);
                    assert!(!fitted.text.contains("\u{200d}..."), "{}", fitted.text);
                }
            }
        }
    }
    let fitted = texts.fitted("en", &Text::Page(Told { summary: &long, ..DISK }), 1, segments).expect("a text");
    assert_eq!(
        fitted.text,
        "#17 critical: disk full on db-01, which has 12 TB and none left; disk full on db-01, which has 12... (3 alerts). \
         Reply 4 17 = take, 5 17 = pass on, 6 17 = over"
    );
}

proptest! {
    #[test]
    fn whatever_is_told_the_code_and_how_to_answer_are_whole(summary in any::<String>(), severity in ".{0,40}", most in 1_usize..4) {
        let text = Text::Page(Told { summary: &summary, severity: &severity, ..DISK });
        let fitted = texts().fitted("en", &text, most, segments).expect("a text");
        prop_assert!(fitted.text.starts_with("#17 "));
        prop_assert!(fitted.text.ends_with(". Reply 4 17 = take, 5 17 = pass on, 6 17 = over"));
        prop_assert!(segments(&fitted.text) <= most || fitted.is_too_long);
        prop_assert!(!fitted.is_too_long || most < 3);
    }
}
