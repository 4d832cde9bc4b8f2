//! Parts that come in any order, twice, late or never.

use chrono::{DateTime, TimeDelta, Utc};

use super::super::{
    Address, Alphabet, Assembled, Body, Coding, Concatenation, Content, Reassembly, Reference, Text, Width,
};

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn number(text: &str) -> Option<Address> {
    Some(text.parse().unwrap())
}

fn parts(text: &str, reference: u16) -> Vec<Content> {
    Text::split(text, 255, Width::Short).contents(reference).collect()
}

fn texts(done: &[Assembled]) -> Vec<String> {
    done.iter().map(|done| done.text().unwrap()).collect()
}

#[test]
fn parts_are_put_together_in_any_order_and_what_comes_twice_counts_once() {
    let text = "Ring down the line. ".repeat(30);
    let mut parts = parts(&text, 9);
    assert_eq!(parts.len(), 4);
    parts.rotate_left(2);
    parts.swap(0, 1);
    let mut reassembly = Reassembly::default();
    let ana = number("+4915112345678");
    for content in &parts[..3] {
        for _ in 0..2 {
            assert_eq!(reassembly.add(ana.as_ref(), content, noon()), []);
        }
    }
    let done = reassembly.add(ana.as_ref(), &parts[3], noon());
    assert_eq!(texts(&done), [text]);
    assert!(done[0].is_whole() && done[0].sender == ana);
    for content in &parts {
        assert_eq!(reassembly.add(ana.as_ref(), content, noon()), [], "it was whole already");
    }
}

#[test]
fn messages_that_come_through_each_other_are_told_apart() {
    let mut reassembly = Reassembly::default();
    let (ana, ben) = (number("+4915112345678"), number("+4915187654321"));
    let long = |letter: &str| letter.repeat(200);
    let (a, b, c) = (parts(&long("a"), 1), parts(&long("b"), 1), parts(&long("c"), 2));
    let mut done = Vec::new();
    for nth in [1, 0] {
        done.extend(reassembly.add(ana.as_ref(), &a[nth], noon()));
        done.extend(reassembly.add(ben.as_ref(), &b[nth], noon()));
        done.extend(reassembly.add(ana.as_ref(), &c[nth], noon()));
        done.extend(reassembly.add(None, &c[nth], noon()));
    }
    assert_eq!(texts(&done), [long("a"), long("b"), long("c"), long("c")]);
    assert_eq!(texts(&reassembly.add(ana.as_ref(), &Content::whole(Body::of("OK")), noon())), ["OK"]);
}

#[test]
fn what_never_comes_is_given_up_with_a_gap() {
    let mut reassembly = Reassembly::new(64, TimeDelta::hours(1));
    let ana = number("+4915112345678");
    let parts = parts(&["a", "b", "c", "d"].map(|letter| letter.repeat(153)).concat(), 1);
    for nth in [0, 3] {
        assert_eq!(reassembly.add(ana.as_ref(), &parts[nth], noon()), []);
    }
    assert_eq!(reassembly.expire(noon() + TimeDelta::hours(1)), []);
    let given_up = reassembly.expire(noon() + TimeDelta::seconds(3601));
    assert_eq!(texts(&given_up), [format!("{}[...]{}", "a".repeat(153), "d".repeat(153))]);
    assert!(!given_up[0].is_whole());
    assert_eq!(reassembly.expire(noon() + TimeDelta::days(9)), []);
}

#[test]
fn no_more_is_kept_than_allowed_and_the_oldest_goes_first() {
    let mut reassembly = Reassembly::new(2, TimeDelta::days(1));
    let long = |letter: &str| letter.repeat(200);
    let [a, b, c, d] =
        [("a", 1), ("b", 2), ("c", 3), ("d", 4)].map(|(letter, reference)| parts(&long(letter), reference));
    assert_eq!(reassembly.add(None, &a[0], noon()), []);
    assert_eq!(reassembly.add(None, &b[0], noon()), []);
    assert_eq!(texts(&reassembly.add(None, &b[1], noon())), [long("b")]);
    assert_eq!(reassembly.add(None, &c[0], noon()), [], "the whole one made room");
    let given_up = reassembly.add(None, &d[0], noon());
    assert_eq!(texts(&given_up), [format!("{}[...]", "a".repeat(153))]);
    assert_eq!(texts(&reassembly.add(None, &c[1], noon())), [long("c")]);
}

#[test]
fn a_reference_that_is_used_again_begins_a_new_message() {
    let mut reassembly = Reassembly::default();
    let (old, new) = (parts(&"a".repeat(200), 1), parts(&"b".repeat(200), 1));
    assert_eq!(reassembly.add(None, &old[0], noon()), []);
    assert_eq!(texts(&reassembly.add(None, &new[0], noon())), [format!("{}[...]", "a".repeat(153))]);
    assert_eq!(texts(&reassembly.add(None, &new[1], noon())), ["b".repeat(200)]);
    assert_eq!(reassembly.add(None, &old[1], noon()), [], "the newer one is whole: this begins another");
}

#[test]
fn a_character_that_a_careless_sender_has_parted_is_whole_again() {
    let part = |number, body: Body| Content {
        coding: Coding::of(body.alphabet()),
        concatenation: Some(Concatenation { reference: Reference::Long(5), total: 3, number }),
        elements: Vec::new(),
        body,
    };
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.add(None, &part(2, Body::Ucs2(vec![0xde00])), noon()), []);
    assert_eq!(reassembly.add(None, &part(1, Body::Ucs2(vec![0x41, 0xd83d])), noon()), []);
    assert_eq!(texts(&reassembly.add(None, &part(3, Body::Gsm7(vec![0x42])), noon())), ["A😀B"]);
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.add(None, &part(1, Body::Gsm7(vec![0x41, 0x1b])), noon()), []);
    assert_eq!(reassembly.add(None, &part(2, Body::Gsm7(vec![0x65])), noon()), []);
    let done = reassembly.add(None, &part(3, Body::Data(vec![1])), noon());
    assert_eq!(done[0].text(), None, "data are no text");
    assert_eq!(done[0].parts[&3].alphabet(), Alphabet::Data);
}
