//! What an operator is told about a schedule that cannot be used.

use super::*;

fn nights() -> Layer {
    let start = local("2026-11-23T09:00:00");
    Layer { name: "nights".into(), ..layer(&[ANN, BEN], start, 1, Unit::Weeks) }
}

fn mistakes(layers: Vec<Layer>) -> Vec<String> {
    Schedule { zone: zone("Europe/Rome"), layers }.mistakes()
}

fn with(rotation: impl Fn(&mut Rotation)) -> Vec<String> {
    let mut layer = nights();
    rotation(&mut layer.rotation);
    mistakes(vec![layer])
}

#[test]
fn what_is_right_is_no_mistake() {
    let days = Layer { name: "days".into(), ..nights() };
    assert_eq!(mistakes(vec![]), [""; 0]);
    assert_eq!(mistakes(vec![nights(), days.clone()]), [""; 0], "layers may overlap");
    assert_eq!(with(|r| r.participants = vec![ANN; 200]), [""; 0], "one person may have several turns");
    for (every, unit) in [(8784, Unit::Hours), (366, Unit::Days), (53, Unit::Weeks), (1, Unit::Hours)] {
        assert_eq!(with(|r| (r.every, r.unit) = (every, unit)), [""; 0]);
    }
    let full =
        Layer { restrictions: vec![daily(local("2026-01-01T09:00:00"), local("2026-01-01T17:00:00")); 50], ..nights() };
    assert_eq!(mistakes(vec![full]), [""; 0]);
    let soon = Layer { until: Some(utc("2026-11-23T08:00:01Z")), ..nights() };
    assert_eq!(mistakes(vec![soon]), [""; 0]);
    let many = (0..20).map(|n| Layer { name: n.to_string(), ..nights() }).collect();
    assert_eq!(mistakes(many), [""; 0]);
}

#[test]
fn the_mistakes_of_a_rotation() {
    assert_eq!(with(|r| r.participants.clear()), ["layer \"nights\": nobody takes part"]);
    let crowd = ["layer \"nights\": 201 people take part, and 200 is the most"];
    assert_eq!(with(|r| r.participants = vec![ANN; 201]), crowd);
    assert_eq!(with(|r| r.every = 0), ["layer \"nights\": its shifts are 0 weeks long"]);
    for (every, unit, words) in [
        (8785, Unit::Hours, "8785 hours long, and 8784"),
        (367, Unit::Days, "367 days long, and 366"),
        (54, Unit::Weeks, "54 weeks long, and 53"),
    ] {
        let words = format!("layer \"nights\": its shifts are {words} is the most");
        assert_eq!(with(|r| (r.every, r.unit) = (every, unit)), [words]);
    }
    for (start, year) in [("1969-12-31T23:00:00", "1969"), ("2201-01-01T00:00:00", "2201")] {
        let words = format!("layer \"nights\": it starts in the year {year}, which is not between 1970 and 2200");
        assert_eq!(with(|r| r.start = local(start)), [words]);
    }
}

#[test]
fn the_mistakes_of_a_layer() {
    let over = Layer { until: Some(utc("2026-11-23T08:00:00Z")), ..nights() };
    let words = "layer \"nights\": it ends at 2026-11-23 09:00:00, and starts only at 2026-11-23 09:00:00";
    assert_eq!(mistakes(vec![over]), [words]);
    let never = hours(r#"{"days":[],"from":"09:00","to":"17:00"}"#);
    let never = Layer { restrictions: vec![never], ..nights() };
    assert_eq!(mistakes(vec![never]), ["layer \"nights\": the hours 09:00 to 17:00 are on no day of the week"]);
    let full =
        Layer { restrictions: vec![daily(local("2026-01-01T09:00:00"), local("2026-01-01T17:00:00")); 51], ..nights() };
    assert_eq!(mistakes(vec![full]), ["layer \"nights\": there are 51 restrictions, and 50 is the most"]);
}

#[test]
fn the_mistakes_of_a_schedule() {
    assert_eq!(mistakes(vec![nights(), nights()]), ["two layers are called \"nights\""]);
    let nameless = Layer { name: " ".into(), ..nights() };
    assert_eq!(mistakes(vec![nights(), nameless]), ["layer 2, counted from the top, has no name"]);
    let many = (0..21).map(|n| Layer { name: n.to_string(), ..nights() }).collect();
    assert_eq!(mistakes(many), ["there are 21 layers, and 20 is the most"]);
}

#[test]
fn the_mistakes_of_an_override_and_of_a_window() {
    let (from, until) = (utc("2026-11-23T08:00:00Z"), utc("2026-11-23T09:00:00Z"));
    let of = |kind, people: &[ContactId], from, until| change(1, kind, people, from, until).mistakes();
    for kind in [OverrideKind::Add, OverrideKind::Replace, OverrideKind::Remove] {
        assert_eq!(of(kind, &[ANN], from, until), [""; 0]);
        let crowd: Vec<ContactId> = (0..26).map(person).collect();
        assert_eq!(of(kind, &crowd, from, until), ["it names 26 people, and 25 is the most"]);
    }
    assert_eq!(of(OverrideKind::Replace, &[], from, until), [""; 0], "nobody, on purpose");
    assert_eq!(of(OverrideKind::Add, &[], from, until), ["it adds nobody"]);
    assert_eq!(of(OverrideKind::Remove, &[], from, until), ["it removes nobody"]);

    let words = "it ends at 2026-11-23 08:00:00 UTC, before it starts at 2026-11-23 09:00:00 UTC";
    assert_eq!(of(OverrideKind::Replace, &[], until, from), [words]);
    assert_eq!(window(1, ANN, until, from, 1).mistakes(), [words]);
    let words = "it ends when it starts, at 2026-11-23 08:00:00 UTC";
    assert_eq!(of(OverrideKind::Replace, &[], from, from), [words]);
    assert_eq!(window(1, ANN, from, from, 1).mistakes(), [words]);
    assert_eq!(window(1, ANN, from, until, 1).mistakes(), [""; 0]);

    assert_eq!(of(OverrideKind::Add, &[ANN], from, from + MAX_SPAN), [""; 0]);
    let long = from + MAX_SPAN + minutes(1);
    assert_eq!(of(OverrideKind::Add, &[ANN], from, long), ["it is longer than 3 years"]);
}
